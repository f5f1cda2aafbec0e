"""CO-RE relocations against a kernel's BTF: what libbpf would write into the program, or why it could not.

After bpf_core_calc_relo_insn of libbpf's src/relo_core.c. A relocation that finds nothing does not fail by
itself: libbpf puts an invalid instruction there, which the verifier meets only where control gets to.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from harness.build import btftypes as kinds
from harness.build.btftypes import Btf, BtfError, essential_name
from harness.features.objects.core_compat import (
    fields_compatible,
    kinds_compatible,
    types_compatible,
    types_match,
)
from harness.features.objects.core_spec import COMPOSITES, ENUMS, Spec, Step, is_flexible, parse_spec
from harness.features.objects.model import CoreRelocation, RelocationKind

_MAX_CANDIDATES = 64


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a relocation becomes. `value` is None where it cannot be satisfied or `problem` ends the load.

    `candidates`: how many types of that name and kind the kernel has; with none a module might have one.
    """

    value: int | None
    candidates: int
    problem: str = ""  # libbpf gives up on the whole object
    size: int | None = None  # bytes of the field, for loads and stores
    number_kind: str = ""  # of that field: "ptr", "unsigned", or "" for anything else


class KernelTypes:
    """A kernel's BTF with its types by essential name."""

    def __init__(self, btf: Btf) -> None:
        self.btf = btf

    @cached_property
    def by_name(self) -> dict[str, list[int]]:
        """Type numbers by essential name; a third of a second for a kernel of today."""
        found: dict[str, list[int]] = {}
        for number in range(1, len(self.btf)):
            name = self.btf.name(number)
            if name:
                found.setdefault(essential_name(name), []).append(number)
        return found

    def has(self, kind: int, name: str) -> bool:
        """Whether there is a type of that kind and exact name."""
        numbers = self.by_name.get(essential_name(name), ())
        return any(self.btf.kind(n) == kind and self.btf.name(n) == name for n in numbers)

    def candidates(self, kind: int, name: str) -> list[int]:
        """The types a local type of that kind and name may mean."""
        found = self.by_name.get(essential_name(name), ())
        return [n for n in found if kinds_compatible(kind, self.btf.kind(n))][:_MAX_CANDIDATES]


def resolve(local: Btf, relocation: CoreRelocation, kernel: KernelTypes) -> Resolution:
    """Relocate; BtfError never comes out: what libbpf refuses is a `problem`."""
    try:
        return _resolve(local, relocation, kernel)
    except BtfError as error:
        return Resolution(None, 0, f"the relocation is refused ({error})")


def _resolve(local: Btf, relocation: CoreRelocation, kernel: KernelTypes) -> Resolution:
    spec = parse_spec(local, relocation)
    if relocation.kind is RelocationKind.TYPE_ID_LOCAL:
        return Resolution(relocation.type, 1)
    name = local.name(relocation.type)
    if not name:
        raise BtfError("a type without name")
    candidates = kernel.candidates(local.kind(relocation.type), name)
    found: list[tuple[Resolution, int]] = []
    for number in candidates:
        target = _matched(local, spec, kernel.btf, number)
        if target is not None:
            found.append((_result(kernel.btf, target, len(candidates)), target.bits))
    if not found:
        return Resolution(0 if _answers_anyway(relocation.kind) else None, len(candidates))
    first, bits = found[0]
    if any(place != bits or other.value != first.value for other, place in found[1:]):
        return Resolution(None, len(candidates), "several types of the kernel fit, and differently")
    return first


def _answers_anyway(kind: RelocationKind) -> bool:
    """Whether the relocation is 0, and no invalid instruction, where nothing fits."""
    return kind is RelocationKind.FIELD_EXISTS or kind is RelocationKind.ENUMVAL_EXISTS or _is_type(kind)


def _is_type(kind: RelocationKind) -> bool:
    return not (kind.is_field or kind.is_enumerator)


def _matched(local: Btf, spec: Spec, target: Btf, number: int) -> Spec | None:
    """The same way in a type of the kernel; None where it does not lead anywhere."""
    if _is_type(spec.kind):
        same = types_match if spec.kind is RelocationKind.TYPE_MATCHES else types_compatible
        return Spec(spec.kind, number) if same(local, spec.root, target, number) else None
    if spec.kind.is_enumerator:
        return _enumerator(spec, target, number)
    made = Spec(spec.kind, number)
    for at, step in enumerate(spec.steps):
        number = target.resolve(number)
        if step.name:
            following = _member(local, step, target, number, made)
            if following is None:
                return None
            number = following
        elif not (number := _element(step, target, number, made, first=at == 0)):
            return None
    return made


def _enumerator(spec: Spec, target: Btf, number: int) -> Spec | None:
    number = target.resolve(number)
    found = target[number]
    if found.kind not in ENUMS:
        return None
    wanted = essential_name(spec.steps[0].name)
    for index, (name, _) in enumerate(target.enumerators(found)):
        if essential_name(name) == wanted:
            return Spec(spec.kind, spec.root, [Step(number, index, name)])
    return None


def _element(step: Step, target: Btf, number: int, made: Spec, *, first: bool) -> int:
    """Step to an array's element, or to the struct itself at the beginning; 0: there is no such element."""
    if not first:
        found = target[number]
        if found.kind != kinds.ARRAY:
            return 0
        element, _, count = target.words(found)
        if step.index >= count and not is_flexible(target, made.steps[-1], count):
            return 0
        number = target.resolve(element)
    made.deeper()
    made.steps.append(Step(number, step.index))
    made.bits += step.index * target.size(number) * 8
    return number


def _member(local: Btf, step: Step, target: Btf, number: int, made: Spec) -> int | None:
    """Step to the member of that name, through unnamed structs and unions; None where there is none."""
    number = target.resolve(number)
    found = target[number]
    if found.kind not in COMPOSITES:
        return None
    for index, member in enumerate(target.members(found)):
        made.deeper()
        made.bits += member.offset
        if not member.name:
            deeper = _member(local, step, target, member.type, made)
            if deeper is not None:
                return deeper
        elif member.name == step.name:
            made.steps.append(Step(number, index, member.name))
            mine = list(local.members(local[step.type]))[step.index]
            return member.type if fields_compatible(local, mine.type, target, member.type) else None
        made.bits -= member.offset
        made.raw -= 1
    return None


def _result(btf: Btf, spec: Spec, candidates: int) -> Resolution:
    kind = spec.kind
    if kind is RelocationKind.TYPE_SIZE:
        return Resolution(btf.size(spec.root), candidates)
    if kind is RelocationKind.TYPE_ID_TARGET:
        return Resolution(spec.root, candidates)
    if kind is RelocationKind.ENUMVAL_VALUE:
        step = spec.steps[0]
        return Resolution(list(btf.enumerators(btf[step.type]))[step.index][1], candidates)
    if kind.is_field and kind is not RelocationKind.FIELD_EXISTS:
        return _field(btf, spec, candidates)
    return Resolution(1, candidates)


def _field(btf: Btf, spec: Spec, candidates: int) -> Resolution:
    """After bpf_core_calc_field_relo, for a little-endian kernel."""
    step = spec.steps[-1]
    if not step.name:
        return _array_field(btf, spec, step, candidates)
    member = list(btf.members(btf[step.type]))[step.index]
    number = btf.resolve(member.type)
    size = btf.size(number)
    width = member.width or size * 8
    place = spec.bits // 8
    if member.width:
        place, size = _bit_field(spec.bits, member.width, max(1, size))
    values = {
        RelocationKind.FIELD_BYTE_OFFSET: place,
        RelocationKind.FIELD_BYTE_SIZE: size,
        RelocationKind.FIELD_SIGNED: int(_is_signed(btf, number)),
        RelocationKind.FIELD_LSHIFT_U64: 64 - (spec.bits + width - place * 8),
        RelocationKind.FIELD_RSHIFT_U64: 64 - width,
    }
    return Resolution(
        values[spec.kind],
        candidates,
        size=None if member.width else size,
        number_kind=_number_kind(btf, number),
    )


def _array_field(btf: Btf, spec: Spec, step: Step, candidates: int) -> Resolution:
    size = btf.size(step.type)
    if spec.kind is RelocationKind.FIELD_BYTE_SIZE:
        return Resolution(size, candidates)
    if spec.kind is RelocationKind.FIELD_BYTE_OFFSET:
        return Resolution(
            spec.bits // 8, candidates, size=size, number_kind=_number_kind(btf, btf.resolve(step.type))
        )
    raise BtfError("it cannot be asked of an array's element")


def _bit_field(bits: int, width: int, size: int) -> tuple[int, int]:
    """The place and size in bytes of the smallest load that holds a bit-field."""
    place = bits // 8 // size * size
    while bits + width - place * 8 > size * 8:
        if size >= 8:
            raise BtfError("a bit-field that no 64-bit load holds")
        size *= 2
        place = bits // 8 // size * size
    return place, size


def _is_signed(btf: Btf, number: int) -> bool:
    found = btf[number]
    if found.kind in ENUMS:
        return found.flag
    return found.kind == kinds.INT and bool(btf.words(found)[0] >> 24 & 1)


def _number_kind(btf: Btf, number: int) -> str:
    found = btf[number]
    if found.kind == kinds.PTR:
        return "ptr"
    return "unsigned" if found.kind == kinds.INT and btf.words(found)[0] >> 24 & 0xF != 1 else ""


def fits_access(local: Btf, relocation: CoreRelocation, there: Resolution) -> bool:
    """Whether a load or store of the field may be given the kernel's size of it, as libbpf decides.

    Sizes may differ where both are pointers or both integers without sign.
    """
    if relocation.kind is not RelocationKind.FIELD_BYTE_OFFSET:
        return True
    here = _field(local, parse_spec(local, relocation), 1)
    if here.size == there.size:
        return True
    return here.number_kind == there.number_kind != ""
