"""The maps an object declares: BTF-style in `.maps`, or the legacy `maps` section libbpf 1.0 gave up.

In BTF a number is the length of an array behind a pointer (`__uint`) or the value of an enumerator
(`__ulong`); the type of keys and values is what a pointer points to (`__type`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from harness.build import btftypes as kinds
from harness.build.btftypes import Btf, BtfError, BtfType
from harness.features.objects.elf import ElfObject
from harness.features.objects.model import MapDefinition

SECTION = ".maps"
LEGACY = "maps"
_LEGACY_FIELDS = 5  # type, key_size, value_size, max_entries, map_flags


def read_maps(btf: Btf) -> Iterator[tuple[int, MapDefinition]]:
    """Each map with its offset in `.maps`, inner maps behind the one they are declared in; BtfError."""
    for number in range(1, len(btf)):
        if btf.kind(number) != kinds.DATASEC or btf.name(number) != SECTION:
            continue
        for variable, offset, _ in btf.variables(btf[number]):
            found = btf[variable]
            if found.kind != kinds.VAR:
                raise BtfError(f"{SECTION} holds a {kinds.KIND_NAMES[found.kind]}")
            for definition in _definitions(btf, found.name, found.value, inner=False):
                yield offset, definition


def read_legacy_maps(elf: ElfObject) -> Iterator[tuple[int, MapDefinition]]:
    """Each map of the legacy section with its offset in it; what does not fit is left out."""
    order = ">" if elf.big_endian else "<"
    for symbol in elf.symbols:
        number = symbol.section
        if number is None or not 0 < number < len(elf.sections) or symbol.kind == "STT_SECTION":
            continue
        section = elf.sections[number]
        if section.name != LEGACY:
            continue
        if symbol.value + 4 * _LEGACY_FIELDS <= len(section.data):
            kind, _, _, entries, flags = struct.unpack_from(f"{order}5I", section.data, symbol.value)
            yield symbol.value, MapDefinition(symbol.name, kind, flags, max_entries=entries)


def _definitions(btf: Btf, name: str, type_id: int, *, inner: bool) -> Iterator[MapDefinition]:
    found = btf[btf.resolve(type_id)]
    if found.kind != kinds.STRUCT:
        raise BtfError(f"map {name[:40]!r} is declared as a {kinds.KIND_NAMES[found.kind]}")
    members = {member.name: member.type for member in btf.members(found)}
    kind = _number(btf, members.get("type"))
    yield MapDefinition(
        name,
        kind,
        _number(btf, members.get("map_flags")) or 0,
        _pointed(btf, members.get("value")),
        inner,
        _number(btf, members.get("max_entries")) or 0,
        bool(_number(btf, members.get("pinning"))),
    )
    nested = _inner(btf, members.get("values"))
    if nested and not inner:  # as libbpf: one level
        yield from _definitions(btf, f"{name}.inner", nested, inner=True)


def _number(btf: Btf, type_id: int | None) -> int | None:
    if type_id is None:
        return None
    found = btf[btf.resolve(type_id)]
    if found.kind in (kinds.ENUM, kinds.ENUM64):
        return next((value for _, value in btf.enumerators(found)), None)
    target = _behind(btf, found)
    return btf.words(target)[2] if target is not None and target.kind == kinds.ARRAY else None


def _pointed(btf: Btf, type_id: int | None) -> int:
    if type_id is None:
        return 0
    found = btf[btf.resolve(type_id)]
    return found.value if found.kind == kinds.PTR else 0


def _inner(btf: Btf, type_id: int | None) -> int:
    """The struct an element of `values` points to; 0 for programs and for none."""
    if type_id is None:
        return 0
    found = btf[btf.resolve(type_id)]
    if found.kind != kinds.ARRAY:
        return 0
    element = btf[btf.resolve(btf.words(found)[0])]
    target = _behind(btf, element)
    return element.value if target is not None and target.kind == kinds.STRUCT else 0


def _behind(btf: Btf, found: BtfType) -> BtfType | None:
    return btf[btf.resolve(found.value)] if found.kind == kinds.PTR else None
