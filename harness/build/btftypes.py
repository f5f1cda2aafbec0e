"""BTF as the types it holds: of an object, or of a kernel with 150,000 of them.

The format is Documentation/bpf/btf.rst of the kernel. The bytes may be hostile: whatever does not fit is a
`BtfError` that says what, and nothing here follows a reference without a bound. Byte order is the blob's own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = 0xEB9F
MAX_NAME = 1024  # bytes; KSYM_NAME_LEN is 512
_SKIPPED = 32  # modifiers in a row; libbpf gives up at the same depth
INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST = range(1, 11)
RESTRICT, FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = range(11, 20)
KIND_NAMES = [
    "void",
    "int",
    "ptr",
    "array",
    "struct",
    "union",
    "enum",
    "fwd",
    "typedef",
    "volatile",
    "const",
    "restrict",
    "func",
    "func_proto",
    "var",
    "datasec",
    "float",
    "decl_tag",
    "type_tag",
    "enum64",
]
MODIFIERS = frozenset({VOLATILE, CONST, RESTRICT, TYPE_TAG})
_THROUGH = MODIFIERS | {TYPEDEF}
# Bytes behind a type's head, fixed or for each of its parts (`vlen`).
_FIXED = {INT: 4, ARRAY: 12, VAR: 4, DECL_TAG: 4}
_EACH = {STRUCT: 12, UNION: 12, ENUM: 8, FUNC_PROTO: 8, DATASEC: 12, ENUM64: 12}


class BtfError(ValueError):
    """BTF that is not what its header or its types say."""


@dataclass(frozen=True, slots=True)
class BtfType:
    """One type; `value` is its size or the type it refers to, whichever the kind has."""

    kind: int
    name: str
    flag: bool  # kind_flag: bit-fields, signed enums, a union announced
    vlen: int
    value: int
    rest: bytes


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a struct or union; `offset` and `width` in bits, width 0 where it is no bit-field."""

    name: str
    type: int
    offset: int
    width: int


class Btf:
    """A parsed .BTF blob; type 0 is void. Types are looked at one by one, names when they are asked for."""

    def __init__(self, blob: bytes) -> None:
        """Raise BtfError for a blob that is none or is damaged."""
        self.order = _order(blob)
        header = struct.Struct(f"{self.order}HBBIIIII")
        if len(blob) < header.size:
            raise BtfError(f"{len(blob)} bytes are too few for a header")
        _, version, _, head, type_at, type_size, text_at, text_size = header.unpack_from(blob)
        if version != 1:
            raise BtfError(f"version {version}")
        self._strings = _cut(blob, head, text_at, text_size, "strings")
        self._types = _cut(blob, head, type_at, type_size, "types")
        self._heads = struct.Struct(f"{self.order}III")
        self._places = [-1, *self._walk()]
        self._names: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._places)

    def kind(self, number: int) -> int:
        """The kind of a type; BtfError for a number out of range."""
        place = self._place(number)
        return 0 if place < 0 else self._heads.unpack_from(self._types, place)[1] >> 24 & 0x1F

    def name(self, number: int) -> str:
        """The name of a type, "" where it has none."""
        place = self._place(number)
        return "" if place < 0 else self.string(self._heads.unpack_from(self._types, place)[0])

    def __getitem__(self, number: int) -> BtfType:
        place = self._place(number)
        if place < 0:
            return BtfType(0, "void", False, 0, 0, b"")
        name, info, value = self._heads.unpack_from(self._types, place)
        kind, vlen = info >> 24 & 0x1F, info & 0xFFFF
        start = place + 12
        size = _FIXED.get(kind, 0) + _EACH.get(kind, 0) * vlen
        return BtfType(
            kind, self.string(name), bool(info >> 31), vlen, value, self._types[start : start + size]
        )

    def string(self, offset: int) -> str:
        """The text at `offset` of the strings; BtfError outside of them or without an end."""
        known = self._names.get(offset)
        if known is not None:
            return known
        if not 0 <= offset < len(self._strings):
            raise BtfError(f"a name at {offset}, behind the strings")
        end = self._strings.find(b"\0", offset, offset + MAX_NAME)
        if end < 0:
            raise BtfError(f"the name at {offset} has no end")
        text = self._names[offset] = self._strings[offset:end].decode(errors="replace")
        return text

    def resolve(self, number: int) -> int:
        """The type behind typedefs and modifiers, 0 for void; BtfError where they go in circles."""
        for _ in range(_SKIPPED):
            found = self[number]
            if found.kind not in _THROUGH:
                return number
            number = found.value
        raise BtfError(f"type {number} is only typedefs")

    def size(self, number: int) -> int:
        """Bytes of a type; BtfError for one that has no size."""
        count = 1
        for _ in range(_SKIPPED):
            number = self.resolve(number)
            found = self[number]
            if found.kind == PTR:
                return 8 * count
            if found.kind in (INT, STRUCT, UNION, ENUM, ENUM64, FLOAT, DATASEC):
                return found.value * count
            if found.kind != ARRAY:
                break
            number, _, elements = self.words(found)
            count *= elements
        raise BtfError(f"type {number} has no size")

    def members(self, found: BtfType) -> Iterator[Member]:
        """The members of a struct or union, in order."""
        for name, kind, offset in self._records("III", found):
            width = offset >> 24 if found.flag else 0
            yield Member(self.string(name), kind, offset & 0xFFFFFF if found.flag else offset, width)

    def enumerators(self, found: BtfType) -> Iterator[tuple[str, int]]:
        """The names and values of an enum or enum64, in order."""
        if found.kind == ENUM64:
            for name, low, high in self._records("III", found):
                value = high << 32 | low
                yield self.string(name), value - (1 << 64) if found.flag and value >> 63 else value
        else:
            letter = "i" if found.flag else "I"
            for name, value in self._records(f"I{letter}", found):
                yield self.string(name), value

    def parameters(self, proto: BtfType) -> Iterator[tuple[str, int]]:
        """The names and types of a function prototype's parameters."""
        for name, kind in self._records("II", proto):
            yield self.string(name), kind

    def variables(self, datasec: BtfType) -> Iterator[tuple[int, ...]]:
        """The type, offset and size in bytes of each entry of a data section."""
        yield from self._records("III", datasec)

    def words(self, found: BtfType) -> tuple[int, ...]:
        """What stands behind a type's head, as 32-bit words."""
        return struct.unpack(f"{self.order}{len(found.rest) // 4}I", found.rest)

    def _records(self, form: str, found: BtfType) -> Iterator[tuple[int, ...]]:
        """The parts of a type; BtfError for a kind that has others."""
        try:
            yield from struct.iter_unpack(f"{self.order}{form}", found.rest)
        except struct.error as error:
            raise BtfError(f"a {KIND_NAMES[found.kind]} has no such parts") from error

    def _place(self, number: int) -> int:
        if not 0 <= number < len(self._places):
            raise BtfError(f"there is no type {number}")
        return self._places[number]

    def _walk(self) -> Iterator[int]:
        at, end = 0, len(self._types)
        unpack = self._heads.unpack_from
        fixed = [_FIXED.get(kind, 0) for kind in range(32)]
        each = [_EACH.get(kind, 0) for kind in range(32)]
        while at < end:
            if at + 12 > end:
                raise BtfError("the types are cut short")
            _, info, _ = unpack(self._types, at)
            kind = info >> 24 & 0x1F
            if not 0 < kind <= ENUM64:
                raise BtfError(f"unknown kind {kind}")
            yield at
            at += 12 + fixed[kind] + each[kind] * (info & 0xFFFF)
        if at > end:
            raise BtfError("the types are cut short")


def essential_name(name: str) -> str:
    """A type's or enumerator's name without its flavour: `task_struct___old` is `task_struct`.

    As libbpf's bpf_core_essential_name_len: the last `___` between two characters other than `_` ends it.
    """
    if "___" not in name:  # nearly all of a kernel's
        return name
    for at in range(len(name) - 5, -1, -1):
        if name[at] != "_" and name[at + 1 : at + 4] == "___" and name[at + 4] != "_":
            return name[: at + 1]
    return name


def _order(blob: bytes) -> str:
    if len(blob) < 2:
        raise BtfError(f"{len(blob)} bytes are too few for a header")
    for order in "<>":
        if struct.unpack_from(f"{order}H", blob)[0] == MAGIC:
            return order
    raise BtfError("wrong magic")


def _cut(blob: bytes, head: int, at: int, size: int, what: str) -> bytes:
    """A part of the blob; lengths that reach behind its end are the commonest lie."""
    if head < 24 or head + at + size > len(blob):
        raise BtfError(f"the header says its {what} end at {head + at + size} of {len(blob)} bytes")
    return blob[head + at : head + at + size]
