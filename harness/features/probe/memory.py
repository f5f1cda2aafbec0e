"""The memory of one call, put together from data: bytes, and what only the guest and its kernel know.

Numbers are numbers, or words that only this kernel and this batch can turn into one:

    @cgroup      what the thing `cgroup` returned (a descriptor)
    $number      the number of the feature that is asked about
    function:NAME, struct:NAME    BTF ids
    size:NAME    bytes of a struct
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.build import btftypes as kinds
from harness.build.btftypes import Btf
from harness.features.objects.core import KernelTypes
from harness.features.probe.attempts import exact
from harness.guest.calls import ARGUMENTS, Patch, PatchKind


class Unplaced(Exception):  # noqa: N818 - no error: an answer about the kernel
    """A step that cannot be made on this kernel, and why."""


@dataclass(frozen=True, slots=True)
class Asker:
    """On whose behalf steps are put together: the feature's name and number, and what is its alone."""

    name: str = ""
    number: int | None = None
    own: Mapping[str, int] = field(default_factory=dict)  # name -> call that returned it


class Memory:
    """The blobs and patches of one call, and the calls it refers to.

    `thing` gives the call that makes a thing.
    """

    def __init__(self, types: KernelTypes | None, asker: Asker, thing: Callable[[str], int]) -> None:
        self._types = types
        self._asker = asker
        self._thing = thing
        self.blobs: list[bytearray] = []
        self.patches: list[Patch] = []
        self.needs: list[int] = []

    def add(self, content: bytes) -> int:
        """One more blob; its number."""
        self.blobs.append(bytearray(content))
        return len(self.blobs) - 1

    def refer(self, where: int, at: int, value: str) -> None:
        """Let a place (or an argument) hold what a call returned, by its `@name`."""
        name = value.removeprefix("@")
        index = self._asker.own[name] if name in self._asker.own else self._thing(name)
        self.needs.append(index)
        self.patches.append(Patch(where, at, PatchKind.RESULT, index))

    def write(self, blob: int, at: int, width: int, value: int | str) -> None:
        """Write a number, little-endian."""
        if isinstance(value, str) and value.startswith("@"):
            self.refer(blob, at, value)
            return
        number = self._number(value) & ((1 << 8 * width) - 1)
        self.blobs[blob][at : at + width] = number.to_bytes(width, "little")

    def point(self, where: int, at: int, value: Any) -> int:
        """Let a place (or an argument) hold the address of some memory; which blob that is."""
        index = self.add(b"")
        if isinstance(value, str):
            self.blobs[index] += value.encode() + b"\0"
        else:
            self._fill(index, value)
            self.blobs[index] += bytes(max(0, value.get("bytes", 0) - len(self.blobs[index])))
        self.patches.append(Patch(where, at, PatchKind.ADDRESS, index))
        return index

    def argument(self, at: int, value: Any) -> int:
        """An argument of a system call: a number as it stands, 0 where it is patched."""
        if isinstance(value, int):
            return value
        if isinstance(value, str) and value.startswith("@"):
            self.refer(ARGUMENTS, at, value)
        else:
            self.point(ARGUMENTS, at, value)
        return 0

    def _fill(self, index: int, value: Mapping[str, Any]) -> None:
        if "hex" in value:
            self.blobs[index] += bytes.fromhex(value["hex"])
        elif "u32" in value:
            self._words(index, value["u32"])
        elif "texts" in value:  # an array of addresses of texts
            self.blobs[index] += bytes(8 * len(value["texts"]))
            for number, text in enumerate(value["texts"]):
                self.point(index, 8 * number, text)
        elif "struct" in value:
            self._structure(index, value["struct"], value["set"])

    def _words(self, index: int, values: Sequence[int | str]) -> None:
        self.blobs[index] += bytes(4 * len(values))
        for number, value in enumerate(values):
            self.write(index, 4 * number, 4, value)

    def _structure(self, index: int, name: str, members: Mapping[str, int | str]) -> None:
        """A struct of the kernel's with some members set: a number, or a text in an array of characters."""
        types, number = self._found(kinds.STRUCT, name)
        self.blobs[index] += bytes(types.btf.size(number))
        for path, value in members.items():
            at = _offset(types.btf, number, path)
            if isinstance(value, str) and not value.startswith("@"):
                self.blobs[index][at : at + len(value)] = value.encode()
            else:
                self.write(index, at, 4, value)

    def _number(self, value: int | str) -> int:
        if isinstance(value, int):
            return value
        if value == "$number":
            if self._asker.number is None:
                raise Unplaced(f"the number of {self._asker.name} is not known")
            return self._asker.number
        what, _, name = value.partition(":")
        types, number = self._found(kinds.FUNC if what == "function" else kinds.STRUCT, name)
        return types.btf.size(number) if what == "size" else number

    def _found(self, kind: int, name: str) -> tuple[KernelTypes, int]:
        number = exact(self._types, kind, name) if self._types else None
        if self._types is None or number is None:
            raise Unplaced(f"no {name} in the kernel's BTF")
        return self._types, number


def _offset(btf: Btf, number: int, path: str) -> int:
    """The offset in bytes of a member of a member."""
    at = 0
    for name in path.split("."):
        found = next((m for m in btf.members(btf[btf.resolve(number)]) if m.name == name), None)
        if found is None:
            raise Unplaced(f"no member {path} of {btf.name(number)} in the kernel's BTF")
        at, number = at + found.offset // 8, found.type
    return at
