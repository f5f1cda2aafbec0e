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
from typing import Any

from elftools.elf.elffile import ELFFile

from harness.build import btftypes as kinds
from harness.build.btftypes import Btf, BtfType
from harness.errors import UserError

_DEPTH = 8  # nested types shown; deeper ones are `…`
_NAMED = frozenset({1, 4, 5, 6, 7, 8, 12, 14, 15, 16, 17, 19})
_QUALIFIERS = {kinds.VOLATILE: "volatile", kinds.CONST: "const", kinds.RESTRICT: "restrict"}
_LINKAGE = ("static", "global", "extern")


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
    """A parsed blob and the words for each kind."""

    def __init__(self, blob: bytes) -> None:
        self._btf = Btf(blob)
        self._types = [self._btf[number] for number in range(len(self._btf))]
        self._lines: dict[int, Callable[[BtfType], str]] = {
            kinds.INT: lambda t: f"int {t.name} size={t.value}",
            kinds.FLOAT: lambda t: f"float {t.name} size={t.value}",
            kinds.STRUCT: self._composite,
            kinds.UNION: self._composite,
            kinds.ENUM: self._enum,
            kinds.ENUM64: self._enum,
            kinds.FWD: lambda t: f"{'union' if t.flag else 'struct'} {t.name} announced",
            kinds.TYPEDEF: lambda t: f"typedef {t.name} = {self.ref(t.value)}",
            kinds.FUNC: self._func,
            kinds.VAR: lambda t: f"var {t.name}: {self.ref(t.value)} {_LINKAGE[self._btf.words(t)[0]]}",
            kinds.DATASEC: self._datasec,
            kinds.DECL_TAG: lambda t: f"decl_tag {t.name} on {self._types[t.value].name}",
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
        if found.kind == kinds.PTR:
            return f"{self.ref(found.value, inner)} *"
        if found.kind == kinds.ARRAY:
            element, _, count = self._btf.words(found)
            return f"{self.ref(element, inner)}[{count}]"
        if found.kind in _QUALIFIERS:
            return f"{_QUALIFIERS[found.kind]} {self.ref(found.value, inner)}"
        if found.kind == kinds.FUNC_PROTO:
            return f"{self.ref(found.value, inner)} ({self._parameters(found, inner)})"
        return self._tagged(found, depth)

    def _tagged(self, found: BtfType, depth: int) -> str:
        words = {kinds.STRUCT: "struct", kinds.UNION: "union", kinds.ENUM: "enum", kinds.ENUM64: "enum"}
        if found.kind == kinds.TYPE_TAG:
            return f"{self.ref(found.value, depth + 1)} tag({found.name})"
        if found.kind == kinds.FWD:
            return f"{'union' if found.flag else 'struct'} {found.name}"
        if found.kind not in words:
            return found.name
        if found.name:
            return f"{words[found.kind]} {found.name}"
        if found.kind in (kinds.ENUM, kinds.ENUM64):
            return f"enum {{ {self._constants(found)} }}"
        return f"{words[found.kind]} {{ {self._members(found, depth + 1)} }}"

    def _composite(self, found: BtfType) -> str:
        word = "struct" if found.kind == kinds.STRUCT else "union"
        return f"{word} {found.name} size={found.value} {{ {self._members(found, 0)} }}"

    def _members(self, found: BtfType, depth: int) -> str:
        parts = []
        for member in self._btf.members(found):
            words = f"{self.ref(member.type, depth)} {member.name}".rstrip()
            parts.append(f"{words} @{member.offset}" + (f":{member.width}" if member.width else ""))
        return "; ".join(parts)

    def _enum(self, found: BtfType) -> str:
        if not found.vlen:
            return f"enum {found.name} announced"
        return f"enum {found.name} size={found.value} {{ {self._constants(found)} }}"

    def _constants(self, found: BtfType) -> str:
        return ", ".join(f"{name}={value}" for name, value in self._btf.enumerators(found))

    def _func(self, found: BtfType) -> str:
        proto = self._types[found.value]
        result = self.ref(proto.value)
        return f"func {found.name}({self._parameters(proto, 0)}) -> {result} {_LINKAGE[found.vlen]}"

    def _parameters(self, proto: BtfType, depth: int) -> str:
        parts = self._btf.parameters(proto)
        return ", ".join(f"{self.ref(kind, depth)} {name}".rstrip() for name, kind in parts)

    def _datasec(self, found: BtfType) -> str:
        names = (self._types[kind].name for kind, _, _ in self._btf.variables(found))
        return f"datasec {found.name} {{ {', '.join(names)} }}"
