"""A small BTF of our own, type by type, for programs and maps that are loaded without a compiler.

Format: Documentation/bpf/btf.rst of the kernel. Little-endian, as the guests are.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from harness.build import btftypes as kinds

_HEADER = struct.Struct("<HBBIIIII")
STATIC, GLOBAL, EXTERN = 0, 1, 2  # linkage of functions and variables
_SIGNED = 1 << 24


class Blob:
    """BTF being put together; every method returns the number of the type it adds."""

    def __init__(self) -> None:
        self._strings = b"\0"
        self._types: list[bytes] = []

    def blob(self) -> bytes:
        """The blob as BPF_BTF_LOAD takes it."""
        types = b"".join(self._types)
        head = _HEADER.pack(kinds.MAGIC, 1, 0, _HEADER.size, 0, len(types), len(types), len(self._strings))
        return head + types + self._strings

    def string(self, text: str) -> int:
        """The offset of a text among the strings."""
        if not text:
            return 0
        self._strings += text.encode() + b"\0"
        return len(self._strings) - len(text.encode()) - 1

    def add(
        self,
        kind: int,
        name: str = "",
        value: int = 0,
        rest: bytes = b"",
        vlen: int = 0,
        *,
        flag: bool = False,
    ) -> int:
        """A type of any kind; `value` is its size or the type it refers to."""
        info = flag << 31 | kind << 24 | vlen
        self._types.append(struct.pack("<III", self.string(name), info, value) + rest)
        return len(self._types)

    def integer(self, name: str, size: int, *, signed: bool = False) -> int:
        """An integer of `size` bytes."""
        return self.add(kinds.INT, name, size, struct.pack("<I", size * 8 | _SIGNED * signed))

    def pointer(self, to: int) -> int:
        """A pointer; to 0: `void *`."""
        return self.add(kinds.PTR, value=to)

    def array(self, element: int, count: int, index: int) -> int:
        """An array of `count` elements."""
        return self.add(kinds.ARRAY, rest=struct.pack("<III", element, index, count))

    def structure(self, name: str, size: int, members: Sequence[tuple[str, int, int]] = ()) -> int:
        """A struct of members (name, type, offset in bytes)."""
        rest = b"".join(struct.pack("<III", self.string(n), kind, at * 8) for n, kind, at in members)
        return self.add(kinds.STRUCT, name, size, rest, len(members))

    def prototype(self, result: int, parameters: Sequence[tuple[str, int]] = ()) -> int:
        """What a function takes and returns."""
        rest = b"".join(struct.pack("<II", self.string(n), kind) for n, kind in parameters)
        return self.add(kinds.FUNC_PROTO, "", result, rest, len(parameters))

    def function(self, name: str, prototype: int, linkage: int = GLOBAL) -> int:
        """A function."""
        return self.add(kinds.FUNC, name, prototype, vlen=linkage)

    def variable(self, name: str, kind: int, linkage: int = GLOBAL) -> int:
        """A global variable."""
        return self.add(kinds.VAR, name, kind, struct.pack("<I", linkage))

    def section(self, name: str, size: int, variables: Sequence[tuple[int, int, int]]) -> int:
        """A data section of variables (type, offset, size)."""
        rest = b"".join(struct.pack("<III", *row) for row in variables)
        return self.add(kinds.DATASEC, name, size, rest, len(variables))

    def tag(self, kind: int, name: str, on: int, component: int = -1) -> int:
        """A DECL_TAG on a type or one of its components, or a TYPE_TAG."""
        rest = struct.pack("<i", component) if kind == kinds.DECL_TAG else b""
        return self.add(kind, name, on, rest)

    def program(self, context: str, name: str = "probe") -> int:
        """`int probe(<context> *)`, what a program's function looks like."""
        number = self.integer("int", 4, signed=True)
        inner = self.structure(context, 0) if context != "bpf_user_pt_regs_t" else self._alias(context)
        return self.function(name, self.prototype(number, [("ctx", self.pointer(inner))]))

    def _alias(self, name: str) -> int:
        return self.add(kinds.TYPEDEF, name, self.structure("pt_regs", 0))
