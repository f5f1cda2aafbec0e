"""Steps of `data/probe/calls.yaml` become system calls: bpf() by its fields, programs, and others."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.features.objects.core import KernelTypes
from harness.features.probe.attempts import Attempt, Placed, Prelude, place, program_types
from harness.features.probe.attr import COMMON_ATTRS, COMMON_SIZE, SIZE, command_number, layout
from harness.features.probe.btfblob import Blob
from harness.features.probe.instructions import assemble
from harness.features.probe.loads import LOG_BYTES, LOG_TAIL, btf_call, load_call
from harness.features.probe.memory import Asker, Memory, Unplaced
from harness.features.probe.subject import BRIEF
from harness.guest.calls import ARGUMENTS, Call, Patch, PatchKind, Sys

Step = Mapping[str, Any]
_ATTEMPT_FIELDS = frozenset(("function", "typedef", "struct", "member", "sleepable"))


@dataclass(frozen=True, slots=True)
class Composed:
    """A call, what it is called for people, and the calls it refers to."""

    call: Call
    title: str
    needs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Composer:
    """What steps are put together with. `thing` gives the call that makes a thing."""

    types: KernelTypes | None
    prelude: Prelude
    thing: Callable[[str], int]

    def compose(self, step: Step, asker: Asker) -> Composed:
        """The call of a step. Raise Unplaced where this kernel has nothing to put it together with."""
        if "program" in step:
            return self._program(step, asker)
        if "btf" in step:
            return Composed(btf_call(map_btf()), "BPF_BTF_LOAD")
        memory = Memory(self.types, asker, self.thing)
        return _bpf(step, memory) if "bpf" in step else _other(step, memory)

    def _program(self, step: Step, asker: Asker) -> Composed:
        name, own = step["program"], step.get("attach") == "$name"
        fields = {key: step[key] for key in _ATTEMPT_FIELDS & set(step)}
        attach = asker.name if own else step.get("attach", "")
        placed = self._place(Attempt(name, program_types()[name], attach, **fields))
        load = replace(
            placed.load,
            code=assemble(step.get("code", "r0 = 1\nexit")).code,
            flags=placed.load.flags | step.get("flags", 0),
            log_level=BRIEF,
            keep=True,
        )
        if own and asker.number is not None:
            load = replace(load, attach_type=asker.number)
        return Composed(load_call(load), f"BPF_PROG_LOAD of {name}")

    def _place(self, attempt: Attempt) -> Placed:
        placed = place(attempt, self.types, self.prelude)
        if placed is None:
            what = attempt.function or attempt.typedef or f"{attempt.struct}.{attempt.member}"
            raise Unplaced(f"no {what} in the kernel's BTF to write a program for")
        return placed


def _bpf(step: Step, memory: Memory) -> Composed:
    """A command of bpf(); blob 0 is its attribute."""
    command, out = step["bpf"], None
    memory.add(bytes(SIZE))
    memory.patches.append(Patch(ARGUMENTS, 1, PatchKind.ADDRESS, 0))
    for name, value in step.get("with", {}).items():
        field = layout(command)[name]
        if field.pointer:
            pointed = memory.point(0, field.at, value)
            out = pointed if step.get("out") == name else out
        else:
            memory.write(0, field.at, field.width, value)
    number, title = command_number(command), command.partition("/")[0]
    if not step.get("common"):
        return _composed(step, memory, title, Call(Sys.BPF, (number, 0, SIZE), out=out))
    _add_common(memory)
    call = Call(Sys.BPF, (number | COMMON_ATTRS, 0, SIZE, 0, COMMON_SIZE), log_bytes=LOG_BYTES)
    return _composed(step, memory, f"{title} with BPF_COMMON_ATTRS", replace(call, log_tail=LOG_TAIL))


def _add_common(memory: Memory) -> None:
    """Add struct bpf_common_attr: log_buf, log_size, log_level, log_true_size."""
    place = memory.add(struct.pack("<QIII", 0, LOG_BYTES, 1, 0).ljust(COMMON_SIZE, b"\0"))
    memory.patches.append(Patch(place, 0, PatchKind.LOG))
    memory.patches.append(Patch(ARGUMENTS, 3, PatchKind.ADDRESS, place))


def _other(step: Step, memory: Memory) -> Composed:
    """Another system call; a path among its arguments is part of its title."""
    values = step.get("arguments", ())
    arguments = tuple(memory.argument(at, value) for at, value in enumerate(values))
    paths = [value for value in values if isinstance(value, str) and value.startswith("/")]
    return _composed(
        step, memory, " ".join((step["call"], *paths)), Call(Sys[step["call"].upper()], arguments)
    )


def _composed(step: Step, memory: Memory, title: str, call: Call) -> Composed:
    data = tuple(map(bytes, memory.blobs))
    whole = replace(call, data=data, patches=tuple(memory.patches), close=step.get("close", False))
    return Composed(whole, title, tuple(memory.needs))


def map_btf() -> bytes:
    """The types of our maps: 1 is int, 2 struct bpf_spin_lock, 3 a struct of an int and such a lock."""
    blob = Blob()
    number = blob.integer("int", 4, signed=True)
    lock = blob.structure("bpf_spin_lock", 4, [("val", number, 0)])
    blob.structure("element", 8, [("value", number, 0), ("lock", lock, 4)])
    return blob.blob()
