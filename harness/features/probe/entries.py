"""What a kernel's BTF has by name: enumerators, types, members, functions, parameters.

A name that is there proves itself. One that is not proves an absence only where something beside it shows
that the BTF would have it: compilers leave out enums that nothing uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from harness.build import btftypes as kinds
from harness.build.btftypes import BtfType
from harness.features.objects.core import KernelTypes
from harness.features.probe.attempts import exact

_NESTED = 8  # anonymous structs and unions within each other
_KINDS = {"struct": kinds.STRUCT, "union": kinds.UNION, "typedef": kinds.TYPEDEF, "function": kinds.FUNC}


@dataclass(frozen=True, slots=True)
class Entry:
    """Something a BTF may have: `kind` is struct, union, typedef, function, enumerator, member or attribute.

    A member is named `type.member`; an attribute is a member of union bpf_attr, at any depth.
    """

    kind: str
    name: str

    def __str__(self) -> str:
        return f"union bpf_attr's {self.name}" if self.kind == "attribute" else f"{self.kind} {self.name}"


class Entries:
    """The names of one kernel's BTF."""

    def __init__(self, types: KernelTypes) -> None:
        self._types = types

    def has(self, entry: Entry) -> bool:
        """Whether the BTF has it."""
        if entry.kind == "enumerator":
            return entry.name in self.enumerators
        if entry.kind == "attribute":
            return entry.name in self.attributes
        if entry.kind == "member":
            outer, _, member = entry.name.partition(".")
            return any(member in self._members(number) for number in self._composites(outer))
        return exact(self._types, _KINDS[entry.kind], entry.name) is not None

    @cached_property
    def enumerators(self) -> dict[str, int]:
        """The enumerators of all enums, each with the number of an enum that has it."""
        btf = self._types.btf
        found: dict[str, int] = {}
        for number in range(1, len(btf)):
            if btf.kind(number) in (kinds.ENUM, kinds.ENUM64):
                found.update(dict.fromkeys((name for name, _ in btf.enumerators(btf[number])), number))
        return found

    def enum_of(self, enumerator: str) -> str:
        """What the enum of an enumerator is called: `enum bpf_attach_type`, or after the first in it."""
        btf = self._types.btf
        enum = btf[self.enumerators[enumerator]]
        return f"enum {enum.name}" if enum.name else f"the enum of {next(btf.enumerators(enum))[0]}"

    @cached_property
    def attributes(self) -> frozenset[str]:
        """The members of union bpf_attr, those of the unnamed structs and unions in it too."""
        return frozenset(name for n in self._composites("bpf_attr") for name in self._members(n))

    def parameters(self, function: str) -> list[str]:
        """The names of a function's parameters; none where there is no such function."""
        number = exact(self._types, kinds.FUNC, function)
        if number is None:
            return []
        btf = self._types.btf
        proto = btf[btf[number].value]
        return [name for name, _ in btf.parameters(proto)] if proto.kind == kinds.FUNC_PROTO else []

    def _composites(self, name: str) -> list[int]:
        found = (exact(self._types, kind, name) for kind in (kinds.STRUCT, kinds.UNION))
        return [number for number in found if number is not None]

    def _members(self, number: int, depth: int = 0) -> set[str]:
        btf = self._types.btf
        found: set[str] = set()
        for member in btf.members(btf[number]):
            if member.name:
                found.add(member.name)
            inner: BtfType = btf[member.type]
            if depth < _NESTED and not inner.name and inner.kind in (kinds.STRUCT, kinds.UNION):
                found |= self._members(member.type, depth + 1)
        return found
