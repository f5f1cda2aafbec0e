"""What the running kernel is asked, as system calls, and what its answers mean. Pure.

The questions are data (`questions.json`). An answer no expression knows is unknown.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.features.types import Finding, Method, Support, evidence
from harness.guest.calls import Call, Called, Patch, PatchKind, Sys, argument

_FILE = Path(__file__).with_name("questions.json")
_MAP_CREATE, _PROG_LOAD = 0, 5  # commands of bpf()
_ATTRIBUTES = 128  # bytes of union bpf_attr that are passed; zeros where older kernels know less
_LOG = 1 << 14
_EXIT = struct.pack("<BBhi", 0x95, 0, 0, 0)
_RETURN_0 = struct.pack("<BBhi", 0xB7, 0, 0, 0) + _EXIT
_RETURN_1 = struct.pack("<BBhi", 0xB7, 0, 0, 1) + _EXIT


@dataclass(frozen=True, slots=True)
class Questions:
    """What can be asked: program types that load by themselves, map types with arguments they take."""

    program_types: Mapping[str, tuple[int, int]]  # short name -> expected_attach_type, flags
    map_types: Mapping[str, tuple[int, int, int, int]]  # key and value size, entries, flags
    words: Sequence[tuple[str, re.Pattern[str]]]


@cache
def questions() -> Questions:
    """Read the package's questions."""
    data = json.loads(_FILE.read_text(encoding="utf-8"))
    return Questions(
        {name: (attach, flags) for name, (attach, flags) in data["program_types"].items()},
        {name: (key, value, most, flags) for name, (key, value, most, flags) in data["map_types"].items()},
        tuple((meaning, re.compile(text, re.MULTILINE)) for meaning, text in data["words"]),
    )


def helper_call(number: int, program_type: str, type_id: int) -> Call:
    """Load a program of the type that calls helper `number` with nothing prepared, and leaves."""
    attach, flags = questions().program_types[program_type]
    call = struct.pack("<BBhi", 0x85, 0, 0, number)
    return _load(type_id, call + _RETURN_0, attach, flags)


def type_call(program_type: str, type_id: int) -> Call:
    """Load a program of the type that does nothing."""
    attach, flags = questions().program_types[program_type]
    # What netfilter and reverse path programs may return does not include 0 everywhere, 1 is always fine.
    return _load(type_id, _RETURN_1, attach, flags)


def map_call(name: str, type_id: int) -> Call:
    """Make a map of the type."""
    key, value, most, flags = questions().map_types[name]
    attributes = struct.pack("<5I", type_id, key, value, most, flags).ljust(_ATTRIBUTES, b"\0")
    return Call(Sys.BPF, (_MAP_CREATE, 0, _ATTRIBUTES), (attributes,), (argument(1),), close=True)


def helper_finding(called: Called) -> tuple[Finding, bool]:
    """Whether the program may call the helper, by the verifier's words; and whether no program may."""
    if called.errno is None:
        return Finding(Support.YES, Method.VERIFIER, "loaded"), False
    lines = [line for line in called.log.splitlines() if not line.startswith("processed ")]
    for meaning, pattern in questions().words:
        for line in reversed(lines):
            if pattern.search(line):
                support = Support.YES if meaning == "yes" else Support.NO
                return Finding(support, Method.VERIFIER, evidence(line)), meaning == "absent"
    said = lines[-1] if lines else "nothing"
    return Finding(
        Support.UNKNOWN, Method.NONE, evidence(f"{called.errno}; the verifier said: {said}")
    ), False


def made_finding(called: Called) -> Finding:
    """Whether a map or program could be made; only EINVAL says that there is no such type."""
    if called.errno is None:
        return Finding(Support.YES, Method.CREATED, "made")
    if called.errno == "EINVAL" and not called.log:
        return Finding(Support.NO, Method.ERRNO, "EINVAL to arguments this type takes")
    return Finding(Support.UNKNOWN, Method.NONE, evidence(f"{called.errno}; {called.log or 'no words'}"))


def _load(type_id: int, instructions: bytes, attach: int, flags: int) -> Call:
    # union bpf_attr for BPF_PROG_LOAD: type, count, instructions, licence, log level, size and buffer,
    # kernel version, flags, name[16], interface, expected_attach_type (include/uapi/linux/bpf.h)
    attributes = struct.pack(
        "<IIQQIIQII16xII", type_id, len(instructions) // 8, 0, 0, 1, _LOG, 0, 0, flags, 0, attach
    ).ljust(_ATTRIBUTES, b"\0")
    patches = (
        Patch(0, 8, PatchKind.ADDRESS, 1),
        Patch(0, 16, PatchKind.ADDRESS, 2),
        Patch(0, 32, PatchKind.LOG),
        argument(1),
    )
    data = (attributes, instructions, b"GPL\0")
    return Call(
        Sys.BPF,
        (_PROG_LOAD, 0, _ATTRIBUTES),
        data,
        patches,
        log_bytes=_LOG,
        log_tail=2000,
        close=True,
    )
