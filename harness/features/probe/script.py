"""System calls put together from data: a batch whose steps refer to each other and to the kernel's BTF.

A step is one call. Its numbers are numbers, or words that only this kernel and this batch can turn into one:

    @cgroup      what the thing `cgroup` returned (a descriptor); things are made when they are first needed
    $number      the number of the feature that is asked about
    function:NAME, struct:NAME    BTF ids
    size:NAME    bytes of a struct
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.build import btftypes as kinds
from harness.build.btftypes import Btf
from harness.features.objects.core import KernelTypes
from harness.features.probe.attempts import Attempt, Placed, exact, place, program_types
from harness.features.probe.attr import COMMON_ATTRS, COMMON_SIZE, SIZE, command_number, layout
from harness.features.probe.btfblob import Blob
from harness.features.probe.instructions import assemble
from harness.features.probe.loads import LOG_BYTES, LOG_TAIL, btf_call, load_call
from harness.features.probe.subject import BRIEF, NO_ANSWER, Subject
from harness.guest.calls import ARGUMENTS, Call, Called, Patch, PatchKind, Sys

Step = Mapping[str, Any]
_TIME_LIMIT_S = 60.0
_ATTEMPT_FIELDS = frozenset(("function", "typedef", "struct", "member", "sleepable"))


class Unplaced(Exception):  # noqa: N818 - no error: an answer about the kernel
    """A step that cannot be made on this kernel, and why."""


@dataclass(frozen=True, slots=True)
class Asker:
    """On whose behalf steps are put together: the feature's name and number, and what is its alone."""

    name: str = ""
    number: int | None = None
    own: Mapping[str, int] = field(default_factory=dict)  # name -> call that returned it


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question's calls returned, in order, those it depends on first; `unplaced`: it was not asked."""

    steps: tuple[tuple[str, Called], ...] = ()
    unplaced: str = ""

    def failed(self) -> tuple[str, Called] | None:
        """The first call that failed, with its title."""
        return next(((title, called) for title, called in self.steps if called.errno), None)

    def came_to_its_end(self) -> bool:
        """Whether all calls before the last were answered without an error."""
        return bool(self.steps) and all(called.errno is None for _, called in self.steps[:-1])


class Script:
    """One batch being put together, and its answers."""

    def __init__(self, subject: Subject, things: Mapping[str, Step]) -> None:
        self._subject = subject
        self._things = things
        self._made: dict[str, int] = {}
        self._added: dict[str, int] = {}
        self._calls: list[Call] = []
        self._titles: list[str] = []
        self._needs: list[frozenset[int]] = []
        self._answers: list[Called] = []
        self._undone: list[Step] = []

    @property
    def types(self) -> KernelTypes | None:
        """The kernel's BTF."""
        return self._subject.types

    def thing(self, name: str) -> int:
        """The call that makes a thing, added where nothing needed it before; KeyError for an unknown one."""
        if name not in self._made:
            self._made[name] = self._append(self._things[name], Asker(name))
            if "undo" in self._things[name]:
                self._undone.append(self._things[name]["undo"])
        return self._made[name]

    def add(self, step: Step, asker: Asker) -> int:
        """Add a step and what it needs; its call's number, an earlier one's where the step is the same.

        Raise Unplaced where this kernel has nothing to put it together with.
        """
        key = _identity(step, asker)
        if key not in self._added:
            self._added[key] = self._append(step, asker)
        return self._added[key]

    def _append(self, step: Step, asker: Asker) -> int:
        first = [self.thing(step["needs"])] if "needs" in step else []
        call, title, needs = _Composer(self, asker).compose(step)
        needs += first
        self._calls.append(call)
        self._titles.append(title)
        needed = frozenset(needs).union(*(self._needs[index] for index in needs))
        self._needs.append(needed)
        return len(self._calls) - 1

    def run(self) -> None:
        """Make all calls, in one process of the guest, which lets go of all at its end; undo what stays."""
        for step in reversed(self._undone):
            self._append(step, Asker())
        done = self._subject.guest.calls(self._calls, _TIME_LIMIT_S)
        self._subject.kernel_messages += done.kernel_messages
        rest = len(self._calls) - len(done.called)
        self._answers = [*done.called, *[Called(-1, NO_ANSWER)] * rest]

    def asked(self, index: int) -> Asked:
        """What a call and those it needs returned."""
        numbers = [*sorted(self._needs[index]), index]
        return Asked(tuple((self._titles[n], self._answers[n]) for n in numbers))

    def place(self, attempt: Attempt) -> Placed:
        """A program with this kernel's numbers."""
        placed = place(attempt, self.types, self._subject.prelude)
        if placed is None:
            what = attempt.function or attempt.typedef or f"{attempt.struct}.{attempt.member}"
            raise Unplaced(f"no {what} in the kernel's BTF to write a program for")
        return placed


class _Composer:
    """One call being put together. Blob 0 is the attribute of bpf()."""

    def __init__(self, script: Script, asker: Asker) -> None:
        self._script = script
        self._asker = asker
        self._data: list[bytearray] = []
        self._patches: list[Patch] = []
        self._needs: list[int] = []

    def compose(self, step: Step) -> tuple[Call, str, list[int]]:
        if "program" in step:
            return self._program(step)
        if "btf" in step:
            return btf_call(map_btf()), "BPF_BTF_LOAD", []
        return self._bpf(step) if "bpf" in step else self._plain(step)

    def _program(self, step: Step) -> tuple[Call, str, list[int]]:
        name = step["program"]
        attach = self._asker.name if step.get("attach") == "$name" else step.get("attach", "")
        fields = {key: step[key] for key in _ATTEMPT_FIELDS & set(step)}
        placed = self._script.place(Attempt(name, program_types()[name], attach, **fields))
        load = replace(
            placed.load,
            code=assemble(step.get("code", "r0 = 1\nexit")).code,
            flags=placed.load.flags | step.get("flags", 0),
            log_level=BRIEF,
            keep=True,
        )
        if step.get("attach") == "$name" and self._asker.number is not None:
            load = replace(load, attach_type=self._asker.number)
        return load_call(load), f"BPF_PROG_LOAD of {name}", []

    def _bpf(self, step: Step) -> tuple[Call, str, list[int]]:
        command = step["bpf"]
        self._data.append(bytearray(SIZE))
        out = None
        for name, value in step.get("with", {}).items():
            place = layout(command)[name]
            if place.pointer:
                pointed = self._point(0, place.at, value)
                out = pointed if step.get("out") == name else out
            else:
                self._write(0, place.at, place.width, value)
        number, title = command_number(command), command.partition("/")[0]
        arguments = [number, 0, SIZE]
        self._patches.append(Patch(ARGUMENTS, 1, PatchKind.ADDRESS, 0))
        if step.get("common"):
            arguments = [number | COMMON_ATTRS, 0, SIZE, 0, COMMON_SIZE]
            self._common()
            title += " with BPF_COMMON_ATTRS"
        return self._call(Sys.BPF, arguments, out=out, close=step.get("close", False)), title, self._needs

    def _common(self) -> None:
        """Add struct bpf_common_attr: log_buf, log_size, log_level, log_true_size."""
        self._data.append(bytearray(struct.pack("<QIII", 0, LOG_BYTES, 1, 0).ljust(COMMON_SIZE, b"\0")))
        place = len(self._data) - 1
        self._patches.append(Patch(place, 0, PatchKind.LOG))
        self._patches.append(Patch(ARGUMENTS, 3, PatchKind.ADDRESS, place))

    def _plain(self, step: Step) -> tuple[Call, str, list[int]]:
        arguments: list[int] = []
        for at, value in enumerate(step.get("arguments", ())):
            arguments.append(0)
            if isinstance(value, str) and value.startswith("@"):
                self._patches.append(Patch(ARGUMENTS, at, PatchKind.RESULT, self._result(value)))
            elif isinstance(value, int):
                arguments[at] = value
            else:
                self._point(ARGUMENTS, at, value)
        title = step["call"] + "".join(f" {value}" for value in step.get("arguments", ()) if _is_path(value))
        number = Sys[step["call"].upper()]
        return self._call(number, arguments, close=step.get("close", False)), title, self._needs

    def _call(self, number: int, arguments: Sequence[int], *, out: int | None = None, close: bool) -> Call:
        return Call(
            number,
            tuple(arguments),
            tuple(bytes(blob) for blob in self._data),
            tuple(self._patches),
            log_bytes=LOG_BYTES if len(arguments) > 4 and number == Sys.BPF else 0,
            log_tail=LOG_TAIL,
            out=out,
            close=close,
        )

    def _result(self, value: str) -> int:
        name = value.removeprefix("@")
        index = self._asker.own[name] if name in self._asker.own else self._script.thing(name)
        self._needs.append(index)
        return index

    def _write(self, blob: int, at: int, width: int, value: int | str) -> None:
        if isinstance(value, str) and value.startswith("@"):
            self._patches.append(Patch(blob, at, PatchKind.RESULT, self._result(value)))
            return
        number = self._number(value) & ((1 << 8 * width) - 1)
        self._data[blob][at : at + width] = number.to_bytes(width, "little")

    def _number(self, value: int | str) -> int:
        if isinstance(value, int):
            return value
        if value == "$number":
            if self._asker.number is None:
                raise Unplaced(f"the number of {self._asker.name} is not known")
            return self._asker.number
        what, _, name = value.partition(":")
        types, kind = self._script.types, kinds.FUNC if what == "function" else kinds.STRUCT
        number = exact(types, kind, name) if types else None
        if types is None or number is None:
            raise Unplaced(f"no {name} in the kernel's BTF")
        return types.btf.size(number) if what == "size" else number

    def _point(self, where: int, at: int, value: Any) -> int:
        """Let a place hold the address of some memory; which blob that is."""
        index = len(self._data)
        self._data.append(bytearray())
        if isinstance(value, str):
            self._data[index] += value.encode() + b"\0"
        elif "hex" in value:
            self._data[index] += bytes.fromhex(value["hex"])
        elif "u32" in value:
            self._words(index, value["u32"])
        elif "texts" in value:  # an array of addresses of texts
            self._data[index] += bytes(8 * len(value["texts"]))
            for number, text in enumerate(value["texts"]):
                self._point(index, 8 * number, text)
        elif "struct" in value:
            self._structure(index, value["struct"], value["set"])
        self._data[index] += (
            bytes(max(0, value.get("bytes", 0) - len(self._data[index])))
            if isinstance(value, Mapping)
            else b""
        )
        self._patches.append(Patch(where, at, PatchKind.ADDRESS, index))
        return index

    def _words(self, index: int, values: Sequence[int | str]) -> None:
        self._data[index] += bytes(4 * len(values))
        for number, value in enumerate(values):
            self._write(index, 4 * number, 4, value)

    def _structure(self, index: int, name: str, members: Mapping[str, int | str]) -> None:
        """A struct of the kernel's with some members set: a number, or a text in an array of characters."""
        types = self._script.types
        number = exact(types, kinds.STRUCT, name) if types else None
        if types is None or number is None:
            raise Unplaced(f"no struct {name} in the kernel's BTF")
        self._data[index] += bytes(types.btf.size(number))
        for path, value in members.items():
            at = _offset(types.btf, number, path)
            if isinstance(value, str) and not value.startswith("@"):
                self._data[index][at : at + len(value)] = value.encode()
            else:
                self._write(index, at, 4, value)


def _identity(step: Step, asker: Asker) -> str:
    """What makes two steps the same call: their words, and for whom they are where the words say so."""
    words = json.dumps(step, sort_keys=True)
    return f"{words} {dict(asker.own)} {(asker.name, asker.number) if '$' in words else ''}"


def _is_path(value: object) -> bool:
    return isinstance(value, str) and value.startswith("/")


def _offset(btf: Btf, number: int, path: str) -> int:
    """The offset in bytes of a member of a member."""
    at = 0
    for name in path.split("."):
        found = next((m for m in btf.members(btf[btf.resolve(number)]) if m.name == name), None)
        if found is None:
            raise Unplaced(f"no member {path} of {btf.name(number)} in the kernel's BTF")
        at, number = at + found.offset // 8, found.type
    return at


def map_btf() -> bytes:
    """The types of our maps: 1 is int, 2 struct bpf_spin_lock, 3 a struct of an int and such a lock."""
    blob = Blob()
    number = blob.integer("int", 4, signed=True)
    lock = blob.structure("bpf_spin_lock", 4, [("val", number, 0)])
    blob.structure("element", 8, [("value", number, 0), ("lock", lock, 4)])
    return blob.blob()
