"""CO-RE relocations as libbpf understands them: an access string, followed through the object's types.

After bpf_core_parse_spec of libbpf's src/relo_core.c.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.build import btftypes as kinds
from harness.build.btftypes import Btf, BtfError
from harness.features.objects.model import CoreRelocation, RelocationKind

MAX_STEPS = 64  # BPF_CORE_SPEC_MAX_LEN
ENUMS = frozenset({kinds.ENUM, kinds.ENUM64})
COMPOSITES = frozenset({kinds.STRUCT, kinds.UNION})


@dataclass(frozen=True, slots=True)
class Step:
    """A named member, or an element of an array (`name` is "" then), of the type it is in."""

    type: int
    index: int
    name: str = ""


@dataclass(slots=True)
class Spec:
    """A way into a type: the turning points of it, and the place it leads to."""

    kind: RelocationKind
    root: int
    steps: list[Step] = field(default_factory=list)
    raw: int = 0  # steps counted with unnamed structs between
    bits: int = 0  # offset of the place

    def deeper(self) -> None:
        """Count a step; BtfError where libbpf gives up."""
        self.raw += 1
        if self.raw > MAX_STEPS:
            raise BtfError("too deep")


def parse_spec(btf: Btf, relocation: CoreRelocation) -> Spec:
    """The local specification; BtfError for one that libbpf refuses."""
    spec = Spec(relocation.kind, relocation.type)
    numbers = _numbers(relocation.access)
    if not (relocation.kind.is_field or relocation.kind.is_enumerator):
        if numbers != [0]:
            raise BtfError(f"access {relocation.access[:40]!r} on a type")
        return spec
    number = btf.resolve(relocation.type)
    found = btf[number]
    if relocation.kind.is_enumerator:
        names = [name for name, _ in btf.enumerators(found)] if found.kind in ENUMS else []
        if len(numbers) != 1 or numbers[0] >= len(names):
            raise BtfError(f"access {relocation.access[:40]!r} on {len(names)} enumerators")
        spec.steps.append(Step(number, numbers[0], names[numbers[0]]))
        return spec
    spec.steps.append(Step(number, numbers[0]))
    spec.raw = 1
    spec.bits = numbers[0] * btf.size(number) * 8
    for index in numbers[1:]:
        number = _into(btf, spec, btf.resolve(number), index)
    return spec


def is_flexible(btf: Btf, step: Step, elements: int) -> bool:
    """Whether an array of `elements` that `step` leads to may be longer: the last member, of length 0."""
    return bool(step.name) and elements == 0 and step.index == btf[step.type].vlen - 1


def _into(btf: Btf, spec: Spec, number: int, index: int) -> int:
    """Follow one number of an access string; return the type it leads to."""
    found = btf[number]
    spec.deeper()
    if found.kind in COMPOSITES:
        members = list(btf.members(found))
        if index >= len(members):
            raise BtfError(f"member {index} of {len(members)}")
        member = members[index]
        spec.bits += member.offset
        if member.name:
            spec.steps.append(Step(number, index, member.name))
        return member.type
    if found.kind == kinds.ARRAY:
        element, _, count = btf.words(found)
        if index >= count and not is_flexible(btf, spec.steps[-1], count):
            raise BtfError(f"element {index} of {count}")
        element = btf.resolve(element)
        spec.steps.append(Step(element, index))
        spec.bits += index * btf.size(element) * 8
        return element
    raise BtfError(f"access into a {kinds.KIND_NAMES[found.kind]}")


def _numbers(access: str) -> list[int]:
    parts = access.split(":")
    if not 0 < len(parts) <= MAX_STEPS or not all(part.isascii() and part.isdigit() for part in parts):
        raise BtfError(f"access {access[:40]!r}")
    if any(len(part) > 9 for part in parts):
        raise BtfError(f"access {access[:40]!r}")
    return [int(part) for part in parts]
