"""The enumerations of bpf() in a kernel's BTF: which names this kernel's own source had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.build import btftypes as kinds
from harness.features.objects.core import KernelTypes
from harness.features.types import FeatureKind

# Flags stand in enumerations without name. Flags of programs are macros, which BTF does not have.
ENUMS = {
    FeatureKind.PROGRAM_TYPE: "bpf_prog_type",
    FeatureKind.MAP_TYPE: "bpf_map_type",
    FeatureKind.ATTACH_TYPE: "bpf_attach_type",
    FeatureKind.LINK_TYPE: "bpf_link_type",
    FeatureKind.COMMAND: "bpf_cmd",
    FeatureKind.MAP_FLAG: "",
}
_KNOWN_FLAG = "BPF_F_NO_PREALLOC"  # of every kernel that has any of it


@dataclass(frozen=True, slots=True)
class Enumeration:
    """One enumeration: its name for people, and the enumerators without those that only count the others."""

    title: str
    numbers: Mapping[str, int] = field(default_factory=dict)

    def has(self, name: str, number: int | None) -> bool:
        """Whether it has that name, or that number by another name."""
        return name in self.numbers or (number is not None and number in self.numbers.values())


def enumerations(types: KernelTypes | None) -> dict[FeatureKind, Enumeration]:
    """The enumerations this kernel's BTF has; one it lacks is left out, as are all without BTF."""
    if types is None:
        return {}
    found = {}
    for kind, name in ENUMS.items():
        numbers = _of_name(types, name) if name else _nameless(types)
        if numbers and (name or _KNOWN_FLAG in numbers):
            found[kind] = Enumeration(f"enum {name}" if name else "the flags", _without_counts(numbers))
    return found


def _of_name(types: KernelTypes, name: str) -> dict[str, int]:
    for number in types.by_name.get(name, ()):
        if types.btf.kind(number) in (kinds.ENUM, kinds.ENUM64) and types.btf.name(number) == name:
            return dict(types.btf.enumerators(types.btf[number]))
    return {}


def _nameless(types: KernelTypes) -> dict[str, int]:
    """All enumerators of enumerations without name that are about BPF."""
    btf = types.btf
    found: dict[str, int] = {}
    for number in range(1, len(btf)):
        if btf.kind(number) in (kinds.ENUM, kinds.ENUM64) and not btf.name(number):
            found |= {name: value for name, value in btf.enumerators(btf[number]) if name.startswith("BPF_")}
    return found


def _without_counts(numbers: Mapping[str, int]) -> dict[str, int]:
    return {
        name: value
        for name, value in numbers.items()
        if not name.startswith(("__", "MAX_")) and not name.endswith("_UNSPEC")
    }
