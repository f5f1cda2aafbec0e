"""Requests to the agent and its answers, as domain types. Pure."""

from __future__ import annotations

import itertools
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from harness.guest.errors import GuestConfused
from harness.guest.tables import capability_mask, errno_name, map_type_name
from harness.guest.wire import FIELD, Message, MessageType, WireError, decode_fields, number
from harness.model import (
    GuestFacts,
    Loader,
    LoadSettings,
    MapCreated,
    Observation,
    ObservationStatus,
    Stage,
)
from harness.scenario import Step, StepResult

UNLIMITED = (1 << 64) - 1
# A full log of a program that took longer than this to reject would take minutes under emulation.
FULL_LOG_INSNS = 50_000

_MAP = struct.Struct("<7I")
_UNKNOWN_ENTRIES = 0xFFFFFFFF
_STAGES = dict(
    enumerate((Stage.OPEN, Stage.MAP_CREATE, Stage.BTF_LOAD, Stage.LOAD, Stage.ATTACH, Stage.RUN), 1)
)
# What is believed of a guest's step results: it may have run anything.
_MAX_STEPS = 4096
_MAX_VALUES = 1024
_MAX_VALUE = 4 << 20
_MAX_WORDS = 8192
_STATES = re.compile(r"total_states (\d+) peak_states (\d+)")


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """One program of one object, and how to load it."""

    object_path: Path
    object_sha256: str
    program: str
    settings: LoadSettings
    steps: tuple[Step, ...] = ()  # of a scenario; none: the program is only loaded


def case_fields(
    request: LoadRequest, bpf_object: tuple[int, bytes], btf_blob: str | None
) -> list[tuple[int, bytes]]:
    """The fields of a CASE message, `bpf_object` being field 1 or 10. UserError for an unknown capability."""
    settings = request.settings
    memlock = UNLIMITED if settings.memlock is None else settings.memlock
    fields = [
        bpf_object,
        (2, request.program.encode()),
        (3, number(int(settings.loader is Loader.RAW))),
        (4, number(memlock)),
        (5, number(capability_mask(settings.capabilities))),
        (6, number(int(settings.time_limit_s * 1000))),
        (7, number(settings.log_bytes)),
        (9, number(FULL_LOG_INSNS)),
    ]
    if btf_blob:
        fields.append((8, btf_blob.encode()))
    return [*fields, *((11, step_bytes(step)) for step in request.steps)]


def step_bytes(step: Step) -> bytes:
    """A step as CASE's field 11 carries it (PROTOCOL.md, "Step")."""
    fields = [(1, number(int(step.op))), (2, number(round(step.time_limit_s * 1000)))]
    fields += [(3, step.name.encode()), (6, number(step.flags)), (7, number(step.count))]
    fields += [(4, step.key)] if step.key else []
    fields += [(10, step.fact.encode())] if step.fact else [(5, step.value)]
    fields += [(8, argument.encode()) for argument in step.args]
    fields += [(9, number(int(step.may_fail)))]
    return b"".join(FIELD.pack(tag, len(value)) + value for tag, value in fields)


def facts_of(hello: Message, config: frozenset[str] = frozenset()) -> GuestFacts:
    """The facts a HELLO states; `config` comes from the kernel's package."""
    return GuestFacts(
        release=hello.text(4),
        version_text=hello.text(5),
        has_btf=bool(hello.number(7)),
        map_types=frozenset(hello.texts(8)),
        libbpf=hello.text(6),
        agent=hello.text(3),
        config=config,
    )


def observation_of(result: Message, wall_us: int) -> Observation:
    """What a RESULT says; GuestConfused when the message is no usable RESULT."""
    if result.type != MessageType.RESULT:
        raise GuestConfused(f"message {result.type} is no RESULT")
    status = result.number(1)
    if status == 0:
        return _common(result, ObservationStatus.LOADED, None, None, wall_us)
    if status == 1:
        stage = _STAGES.get(result.number(2) or 0, Stage.LOAD)
        return _common(result, ObservationStatus.FAILED, stage, errno_name(result.number(3) or 0), wall_us)
    if status == 2:
        note = "the case's time limit passed; its process was ended"
        return _common(result, ObservationStatus.HANG, None, None, wall_us, note)
    note = f"the process that loaded it died of signal {result.number(13)}"
    return _common(result, ObservationStatus.CRASH, None, None, wall_us, note)


def _common(
    result: Message,
    status: ObservationStatus,
    stage: Stage | None,
    errno: str | None,
    wall_us: int,
    note: str = "",
) -> Observation:
    states = _STATES.search(result.text(16))
    return Observation(
        status=status,
        stage=stage,
        errno=errno,
        verifier_log=result.text(4),
        log_truncated=bool(result.number(5)),
        log_level=result.number(6) or 0,
        loader_log=result.text(7),
        insns_processed=result.number(14),
        total_states=int(states[1]) if states else None,
        peak_states=int(states[2]) if states else None,
        kernel_time_us=result.number(8),
        bpf_time_us=result.number(9),
        maps=tuple(_map(raw) for raw in result.all(10)),
        fixups=result.texts(11),
        kernel_messages=result.texts(12),
        wall_us=wall_us,
        guest_us=result.number(15),
        note="; ".join(filter(None, (note, _earlier(result)))),
        steps=tuple(_step(raw) for raw in itertools.islice(result.all(18), _MAX_STEPS)),
    )


def _step(raw: bytes) -> StepResult:
    """One step's result; GuestConfused when it is none."""
    try:
        body = Message(MessageType.RESULT, 0, decode_fields(raw))
        index, error = body.number(1), body.number(2)
        numbers = [Message(MessageType.RESULT, 0, ((5, value),)).number(5) for value in body.all(5)]
    except WireError as problem:
        raise GuestConfused(f"a step's result cannot be read: {problem}") from problem
    if index is None:
        raise GuestConfused("a step's result does not say which step's")
    return StepResult(
        index=index,
        errno=errno_name(error) if error else None,
        message=body.text(3)[:_MAX_WORDS],
        values=tuple(value[:_MAX_VALUE] for value in itertools.islice(body.all(4), _MAX_VALUES)),
        numbers=tuple(number for number in numbers[:_MAX_VALUES] if number is not None),
    )


def _earlier(result: Message) -> str:
    """What the kernel complained about before this case began; it is not this case's doing."""
    lines = result.texts(17)
    return f"before this case the kernel said: {' / '.join(lines)}" if lines else ""


def _map(raw: bytes) -> MapCreated:
    if len(raw) < _MAP.size:
        raise GuestConfused("a map's record is cut short")
    kind, key, value, entries, flags, error, declared = _MAP.unpack_from(raw)
    return MapCreated(
        name=raw[_MAP.size :].decode("utf-8", "replace"),
        type=map_type_name(kind),
        key_size=key,
        value_size=value,
        max_entries=entries,
        flags=flags,
        errno=errno_name(error) if error else None,
        declared_entries=None if declared == _UNKNOWN_ENTRIES else declared,
    )
