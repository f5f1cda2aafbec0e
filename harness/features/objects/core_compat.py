"""When two types are alike enough for a CO-RE relocation: libbpf's three notions of it.

After bpf_core_fields_are_compat, __bpf_core_types_are_compat and __bpf_core_types_match of src/relo_core.c.
"""

from __future__ import annotations

from harness.build import btftypes as kinds
from harness.build.btftypes import Btf, BtfError, BtfType, essential_name
from harness.features.objects.core_spec import COMPOSITES, ENUMS

_DEPTH = 32
_SIGNED = 1  # BTF_INT_SIGNED


def kinds_compatible(local: int, target: int) -> bool:
    """Whether two kinds of types may stand for each other: the same, or enum and enum64."""
    return local == target or (local in ENUMS and target in ENUMS)


def fields_compatible(local: Btf, local_id: int, target: Btf, target_id: int) -> bool:
    """Whether a member of the one type may be read as the other."""
    for _ in range(_DEPTH):
        mine, theirs = local[local.resolve(local_id)], target[target.resolve(target_id)]
        if mine.kind in COMPOSITES and theirs.kind in COMPOSITES:
            return True
        if not kinds_compatible(mine.kind, theirs.kind):
            return False
        if mine.kind != kinds.ARRAY:
            return _leaves_compatible(local, mine, target, theirs)
        local_id, target_id = local.words(mine)[0], target.words(theirs)[0]
    raise BtfError("too deep")


def types_compatible(local: Btf, local_id: int, target: Btf, target_id: int, level: int = _DEPTH) -> bool:
    """Whether `bpf_core_type_exists` takes the one type for the other; names were compared before."""
    if not kinds_compatible(local.kind(local_id), target.kind(target_id)):
        return False
    for _ in range(_DEPTH):
        mine, theirs = local[local.resolve(local_id)], target[target.resolve(target_id)]
        if not kinds_compatible(mine.kind, theirs.kind):
            return False
        if mine.kind in (0, kinds.STRUCT, kinds.UNION, kinds.FWD) or mine.kind in ENUMS:
            return True
        if mine.kind == kinds.INT:
            return not _int_offset(local, mine) and not _int_offset(target, theirs)
        if mine.kind == kinds.PTR:
            local_id, target_id = mine.value, theirs.value
        elif mine.kind == kinds.ARRAY:
            local_id, target_id = local.words(mine)[0], target.words(theirs)[0]
        elif mine.kind == kinds.FUNC_PROTO:
            if not _parameters_compatible(local, mine, target, theirs, level):
                return False
            local_id, target_id = local.resolve(mine.value), target.resolve(theirs.value)
        else:
            return False
    raise BtfError("too deep")


def types_match(
    local: Btf, local_id: int, target: Btf, target_id: int, *, behind: bool = False, level: int = _DEPTH
) -> bool:
    """Whether `bpf_core_type_matches` takes the one type for the other; `behind` a pointer names suffice."""
    if level <= 0:
        raise BtfError("too deep")
    for _ in range(_DEPTH):
        mine, theirs = local[local.resolve(local_id)], target[target.resolve(target_id)]
        if not _names_match(mine.name, theirs.name):
            return False
        if mine.kind == kinds.PTR and theirs.kind == kinds.PTR:
            behind, local_id, target_id = True, mine.value, theirs.value
        elif mine.kind == kinds.ARRAY and theirs.kind == kinds.ARRAY:
            (local_id, _, count), (target_id, _, their_count) = local.words(mine), target.words(theirs)
            if count != their_count:
                return False
        elif mine.kind == kinds.FUNC_PROTO and theirs.kind == kinds.FUNC_PROTO:
            if not _parameters_match(local, mine, target, theirs, behind=behind, level=level):
                return False
            local_id, target_id = mine.value, theirs.value
        else:
            return _leaves_match(local, mine, target, theirs, behind=behind, level=level)
    raise BtfError("too deep")


def _leaves_compatible(local: Btf, mine: BtfType, target: Btf, theirs: BtfType) -> bool:
    if mine.kind in (kinds.PTR, kinds.FLOAT):
        return True
    if mine.kind == kinds.FWD or mine.kind in ENUMS:
        names = essential_name(mine.name), essential_name(theirs.name)
        return not all(names) or names[0] == names[1]
    if mine.kind == kinds.INT:
        return not _int_offset(local, mine) and not _int_offset(target, theirs)
    return False


def _int_offset(btf: Btf, found: BtfType) -> int:
    return btf.words(found)[0] >> 16 & 0xFF


def _parameters_compatible(local: Btf, mine: BtfType, target: Btf, theirs: BtfType, level: int) -> bool:
    if mine.vlen != theirs.vlen:
        return False
    if mine.vlen and level <= 0:
        raise BtfError("too deep")
    pairs = zip(local.parameters(mine), target.parameters(theirs), strict=True)
    return all(
        types_compatible(local, local.resolve(a), target, target.resolve(b), level - 1)
        for (_, a), (_, b) in pairs
    )


def _parameters_match(
    local: Btf, mine: BtfType, target: Btf, theirs: BtfType, *, behind: bool, level: int
) -> bool:
    if mine.vlen != theirs.vlen:
        return False
    pairs = zip(local.parameters(mine), target.parameters(theirs), strict=True)
    return all(types_match(local, a, target, b, behind=behind, level=level - 1) for (_, a), (_, b) in pairs)


def _names_match(mine: str, theirs: str) -> bool:
    return essential_name(mine) == essential_name(theirs) if theirs else not mine


def _leaves_match(
    local: Btf, mine: BtfType, target: Btf, theirs: BtfType, *, behind: bool, level: int
) -> bool:
    if mine.kind in ENUMS:
        return theirs.kind in ENUMS and _enums_match(local, mine, target, theirs)
    if mine.kind == kinds.FWD:
        return _announced_matches(mine, theirs, behind=behind)
    if mine.kind in COMPOSITES and behind:
        announced = theirs.kind == kinds.FWD and (mine.kind == kinds.UNION) == theirs.flag
        return mine.kind == theirs.kind or announced
    if mine.kind in COMPOSITES:
        return mine.kind == theirs.kind and _members_match(local, mine, target, theirs, level)
    if mine.kind == kinds.INT and theirs.kind == kinds.INT:
        signs = [btf.words(found)[0] >> 24 & _SIGNED for btf, found in ((local, mine), (target, theirs))]
        return mine.value == theirs.value and signs[0] == signs[1]
    return mine.kind == theirs.kind == 0


def _announced_matches(mine: BtfType, theirs: BtfType, *, behind: bool) -> bool:
    if theirs.kind == kinds.FWD:
        return mine.flag == theirs.flag
    return behind and theirs.kind == (kinds.UNION if mine.flag else kinds.STRUCT)


def _enums_match(local: Btf, mine: BtfType, target: Btf, theirs: BtfType) -> bool:
    if mine.value != theirs.value or mine.vlen > theirs.vlen:
        return False
    there = {essential_name(name) for name, _ in target.enumerators(theirs)}
    return all(essential_name(name) in there for name, _ in local.enumerators(mine))


def _members_match(local: Btf, mine: BtfType, target: Btf, theirs: BtfType, level: int) -> bool:
    if mine.vlen > theirs.vlen:
        return False
    members = list(target.members(theirs))
    return all(
        any(
            _names_match(member.name, their.name)
            and types_match(local, member.type, target, their.type, level=level - 1)
            for their in members
        )
        for member in local.members(mine)
    )
