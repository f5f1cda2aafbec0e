"""What an object's maps use: types, flags, and the structs in their values that are features of their own."""

from __future__ import annotations

from collections.abc import Iterator

from harness.build import btftypes as kinds
from harness.build.btftypes import Btf
from harness.features.documented import documented
from harness.features.objects.model import BpfObject, MapDefinition
from harness.features.objects.sections import table
from harness.features.objects.uses import Use, UseKey, UseKind
from harness.features.types import FeatureKind

_DEPTH = 8
_FLAG_BITS = 32


def map_uses(found: BpfObject) -> Iterator[Use]:
    """One use for each map type and flag, with the maps' names. libbpf creates every map, used or not.

    BtfError for values that cannot be followed.
    """
    users: dict[UseKey, list[str]] = {}
    for definition in found.maps:
        for key in _keys(definition, found.btf):
            users.setdefault(key, []).append(definition.name)
    if found.data_sections:
        users.setdefault(UseKey(UseKind.LANGUAGE, "global_data"), []).extend(found.data_sections)
    for key, names in users.items():
        shown = ", ".join(name[:40] for name in names[:4]) + (" …" if len(names) > 4 else "")
        yield Use(key, why=shown)


def _keys(definition: MapDefinition, btf: Btf | None) -> Iterator[UseKey]:
    if definition.type is not None:
        names = {
            record.id: name for (kind, name), record in documented().items() if kind is FeatureKind.MAP_TYPE
        }
        name = names.get(definition.type, f"map type {definition.type}")
        yield UseKey(UseKind.MAP_TYPE, name)
    flags = table("language.json")["map_flags"]
    for bit in range(_FLAG_BITS):
        if definition.flags >> bit & 1:
            yield UseKey(UseKind.MAP_FLAG, flags.get(str(bit), f"map flag 1 << {bit}"))
    if btf is not None and definition.value_type:
        for feature in sorted(_fields(btf, definition.value_type)):
            yield UseKey(UseKind.LANGUAGE, feature)


def _fields(btf: Btf, number: int, depth: int = 0) -> set[str]:
    """The features among the members of a value's type."""
    known, tags = table("language.json")["fields"], table("language.json")["type_tags"]
    number = btf.resolve(number)
    found = btf[number]
    if found.kind == kinds.PTR:
        target = btf[found.value]
        return {tags[target.name]} if target.kind == kinds.TYPE_TAG and target.name in tags else set()
    if found.name in known:
        return {known[found.name]}
    if depth >= _DEPTH:
        return set()
    if found.kind == kinds.ARRAY:
        return _fields(btf, btf.words(found)[0], depth + 1)
    features: set[str] = set()
    if found.kind in (kinds.STRUCT, kinds.UNION):
        for member in {each.type for each in btf.members(found)}:
            features |= _fields(btf, member, depth + 1)
    return features
