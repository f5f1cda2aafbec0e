"""The types of an object as text: one line per named type of its BTF, in the order they are in.

    int unsigned int size=4
    struct event size=24 { u64 ts @0; u32 direct @64:1; union { int a @0; char[3] b @0 } @96; }
    enum color size=4 { RED=0, BLUE=-1 }
    typedef u64 = __u64
    func main_prog(void * ctx) -> int global
    datasec .maps { m, events }

`@` is a member's place in bits from the start of its struct, `:` the width of a bit-field. Format:
Documentation/bpf/btf.rst of the kernel. Written for objects of our own compilers: a damaged blob is an
error, never a loop.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from elftools.elf.elffile import ELFFile

from harness.errors import UserError

_MAGIC = 0xEB9F
_HEADER = struct.Struct("<HBBIIIII")
_DEPTH = 8  # nested types shown; deeper ones are `…`
_NAMED = frozenset({1, 4, 5, 6, 7, 8, 12, 14, 15, 16, 17, 19})
_INT, _PTR, _ARRAY, _STRUCT, _UNION, _ENUM, _FWD, _TYPEDEF, _VOLATILE, _CONST = range(1, 11)
_RESTRICT, _FUNC, _FUNC_PROTO, _VAR, _DATASEC, _FLOAT, _DECL_TAG, _TYPE_TAG, _ENUM64 = range(11, 20)
# Bytes behind a type's head, fixed or for each of its parts (`vlen`).
_FIXED = {_INT: 4, _ARRAY: 12, _VAR: 4, _DECL_TAG: 4}
_EACH = {_STRUCT: 12, _UNION: 12, _ENUM: 8, _FUNC_PROTO: 8, _DATASEC: 12, _ENUM64: 12}
_QUALIFIERS = {_VOLATILE: "volatile", _CONST: "const", _RESTRICT: "restrict"}
_LINKAGE = ("static", "global", "extern")


@dataclass(frozen=True, slots=True)
class _Type:
    kind: int
    name: str
    flag: bool  # kind_flag: bit-fields, signed enums, a union announced
    vlen: int
    value: int  # size or type, whichever the kind has
    rest: bytes


def btf_text(stream: Any) -> str:
    """Return the text of the ELF object in `stream`; "" when it has no BTF. UserError if damaged."""
    section = ELFFile(stream).get_section_by_name(".BTF")
    return describe(section.data()) if section is not None else ""


def describe(blob: bytes) -> str:
    """Return the text of a raw .BTF blob; UserError when it is none or damaged."""
    try:
        types = _Types(blob)
        return "".join(f"{types.line(number)}\n" for number in types.named())
    except (struct.error, ValueError, IndexError, KeyError) as error:
        raise UserError(
            f"damaged BTF ({error})", hint="compile it with `clang -target bpf -O2 -g`"
        ) from error


class _Types:
    """A parsed blob; type 0 is void."""

    def __init__(self, blob: bytes) -> None:
        magic, _, _, head, type_at, type_size, text_at, text_size = _HEADER.unpack_from(blob)
        if magic != _MAGIC:
            raise ValueError("wrong magic")
        self._strings = blob[head + text_at : head + text_at + text_size]
        self._types = [_Type(0, "void", False, 0, 0, b"")]
        self._types += self._read(blob[head + type_at : head + type_at + type_size])
        self._lines: dict[int, Callable[[_Type], str]] = {
            _INT: lambda t: f"int {t.name} size={t.value}",
            _FLOAT: lambda t: f"float {t.name} size={t.value}",
            _STRUCT: self._composite,
            _UNION: self._composite,
            _ENUM: self._enum,
            _ENUM64: self._enum,
            _FWD: lambda t: f"{'union' if t.flag else 'struct'} {t.name} announced",
            _TYPEDEF: lambda t: f"typedef {t.name} = {self.ref(t.value)}",
            _FUNC: self._func,
            _VAR: lambda t: f"var {t.name}: {self.ref(t.value)} {_LINKAGE[self._words(t)[0]]}",
            _DATASEC: self._datasec,
            _DECL_TAG: lambda t: f"decl_tag {t.name} on {self._types[t.value].name}",
        }

    def named(self) -> Iterator[int]:
        """Numbers of the types that get a line: those with a name."""
        return (n for n, t in enumerate(self._types) if t.kind in _NAMED and t.name)

    def line(self, number: int) -> str:
        """Return the line of one type."""
        found = self._types[number]
        return self._lines[found.kind](found)

    def ref(self, number: int, depth: int = 0) -> str:
        """Return a type as it is referred to: by name, or written out where it has none."""
        found = self._types[number]
        if depth > _DEPTH:
            return "…"
        inner = depth + 1
        if found.kind == _PTR:
            return f"{self.ref(found.value, inner)} *"
        if found.kind == _ARRAY:
            element, _, count = struct.unpack("<III", found.rest)
            return f"{self.ref(element, inner)}[{count}]"
        if found.kind in _QUALIFIERS:
            return f"{_QUALIFIERS[found.kind]} {self.ref(found.value, inner)}"
        if found.kind == _FUNC_PROTO:
            return f"{self.ref(found.value, inner)} ({self._parameters(found, inner)})"
        return self._tagged(found, depth)

    def _tagged(self, found: _Type, depth: int) -> str:
        words = {_STRUCT: "struct", _UNION: "union", _ENUM: "enum", _ENUM64: "enum"}
        if found.kind == _TYPE_TAG:
            return f"{self.ref(found.value, depth + 1)} tag({found.name})"
        if found.kind == _FWD:
            return f"{'union' if found.flag else 'struct'} {found.name}"
        if found.kind not in words:
            return found.name
        if found.name:
            return f"{words[found.kind]} {found.name}"
        if found.kind in (_ENUM, _ENUM64):
            return f"enum {{ {self._constants(found)} }}"
        return f"{words[found.kind]} {{ {self._members(found, depth + 1)} }}"

    def _composite(self, found: _Type) -> str:
        word = "struct" if found.kind == _STRUCT else "union"
        return f"{word} {found.name} size={found.value} {{ {self._members(found, 0)} }}"

    def _members(self, found: _Type, depth: int) -> str:
        parts = []
        for name, kind, offset in struct.iter_unpack("<III", found.rest):
            width = offset >> 24 if found.flag else 0
            place = offset & 0xFFFFFF if found.flag else offset
            words = f"{self.ref(kind, depth)} {self._string(name)}".rstrip()
            parts.append(f"{words} @{place}" + (f":{width}" if width else ""))
        return "; ".join(parts)

    def _enum(self, found: _Type) -> str:
        if not found.vlen:
            return f"enum {found.name} announced"
        return f"enum {found.name} size={found.value} {{ {self._constants(found)} }}"

    def _constants(self, found: _Type) -> str:
        letter = "q" if found.kind == _ENUM64 else "i"
        values = struct.iter_unpack(f"<I{letter if found.flag else letter.upper()}", found.rest)
        return ", ".join(f"{self._string(name)}={value}" for name, value in values)

    def _func(self, found: _Type) -> str:
        proto = self._types[found.value]
        result = self.ref(proto.value)
        return f"func {found.name}({self._parameters(proto, 0)}) -> {result} {_LINKAGE[found.vlen]}"

    def _parameters(self, proto: _Type, depth: int) -> str:
        parts = struct.iter_unpack("<II", proto.rest)
        return ", ".join(f"{self.ref(kind, depth)} {self._string(name)}".rstrip() for name, kind in parts)

    def _datasec(self, found: _Type) -> str:
        names = (self._types[kind].name for kind, _, _ in struct.iter_unpack("<III", found.rest))
        return f"datasec {found.name} {{ {', '.join(names)} }}"

    @staticmethod
    def _words(found: _Type) -> tuple[int, ...]:
        return struct.unpack(f"<{len(found.rest) // 4}I", found.rest)

    def _string(self, offset: int) -> str:
        end = self._strings.index(b"\0", offset)
        return self._strings[offset:end].decode(errors="replace")

    def _read(self, data: bytes) -> Iterator[_Type]:
        at = 0
        while at < len(data):
            name, info, value = struct.unpack_from("<III", data, at)
            kind, vlen = info >> 24 & 0x1F, info & 0xFFFF
            if not 0 < kind <= _ENUM64:
                raise ValueError(f"unknown kind {kind}")
            at += 12
            size = _FIXED.get(kind, 0) + _EACH.get(kind, 0) * vlen
            if at + size > len(data):
                raise ValueError("cut short")
            yield _Type(kind, self._string(name), bool(info >> 31), vlen, value, data[at : at + size])
            at += size
