"""An assembler of BPF instructions: LLVM's spelling, and names where a kernel or a batch knows the number.

    r1 = *(u32 *)(r2 + 4)        call 12                 if w1 s> 5 goto done
    r1 = map events              call kfunc bpf_rdonly_cast    done:
    r1 = value data + 4          call function twice     r2 = function callback
    r0 = cmpxchg_64(r1 + 0, r0, r2)                      insn 0x85 0 9 0 1

Encoding: Documentation/bpf/standardization/instruction-set.rst of the kernel; `map`, `value`, `kfunc`,
`function` and `type` are the pseudo source registers of include/uapi/linux/bpf.h. `insn` is an instruction
by its fields (code, dst, src, off, imm), for what no kernel has.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_INSN = struct.Struct("<BBhi")
_SIZES = {"u8": 0x10, "u16": 0x08, "u32": 0x00, "u64": 0x18, "s8": 0x10, "s16": 0x08, "s32": 0x00}
_ALU = {"+": 0x00, "-": 0x10, "*": 0x20, "/": 0x30, "|": 0x40, "&": 0x50, "<<": 0x60, ">>": 0x70}
_ALU |= {"%": 0x90, "^": 0xA0, "s>>": 0xC0, "s/": 0x30, "s%": 0x90}
_JUMPS = {"==": 0x10, ">": 0x20, ">=": 0x30, "&": 0x40, "!=": 0x50, "s>": 0x60, "s>=": 0x70}
_JUMPS |= {"<": 0xA0, "<=": 0xB0, "s<": 0xC0, "s<=": 0xD0}
_ATOMICS = {"add": 0x00, "or": 0x40, "and": 0x50, "xor": 0xA0}
_LOCKED = {"+": 0x00, "|": 0x40, "&": 0x50, "^": 0xA0}
_FETCH, _XCHG, _CMPXCHG, _ACQUIRE, _RELEASE = 0x01, 0xE1, 0xF1, 0x100, 0x110
_REGISTER = r"([rw])(1[0-1]|\d)"
_MEMORY = rf"{_REGISTER}\s*([+-]\s*\d+)"
_NUMBER = r"(-?(?:0x[0-9a-fA-F]+|\d+))"
_NAME = r"([A-Za-z_]\w*)"
_TARGET = r"([+-]\d+|[A-Za-z_]\w*)"
PSEUDO_MAP_FD, PSEUDO_MAP_VALUE, PSEUDO_BTF_ID, PSEUDO_FUNC = 1, 2, 3, 4
PSEUDO_CALL, PSEUDO_KFUNC_CALL = 1, 2

Fields = tuple[int, int, int, int, int]  # code, dst, src, off, imm


class AssemblyError(ValueError):
    """A line that is no instruction, or a label or name nobody knows."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """A program: its bytes, and where a map's descriptor is to be written (byte offset -> map's name)."""

    code: bytes
    maps: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    labels: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))  # instruction numbers


def instruction(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    """One instruction of 8 bytes; `imm` as 32 bits with or without sign."""
    return _INSN.pack(code, dst | src << 4, off, _signed(imm))


def call_and_exit(number: int, source: int = 0, off: int = 0) -> bytes:
    """The shortest program that calls a helper (or a kfunc, source 2), with its context for an argument."""
    return instruction(0x85, 0, source, off, number) + instruction(0x95)


def assemble(text: str, names: Mapping[str, int] = MappingProxyType({})) -> Assembled:
    """Assemble a text of one instruction or label per line; what follows `;` or `#` is a comment.

    `names` are BTF ids of kfuncs and types. Raise AssemblyError with the line, KeyError for a name that is
    not in `names`.
    """
    lines = [line for raw in text.splitlines() if (line := re.split(r"[;#]", raw)[0].strip())]
    labels: dict[str, int] = {}
    kept: list[str] = []
    at = 0
    for line in lines:
        if line.endswith(":"):
            labels[line[:-1]] = at
        else:
            kept.append(line)
            at += 2 if _is_wide(line) else 1
    return _Assembler(labels, names).run(kept)


def _is_wide(line: str) -> bool:
    return bool(re.search(r" ll$|= (map|value|function|type) ", line))


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def _offset(text: str) -> int:
    return int(text.replace(" ", ""))


class _Assembler:
    def __init__(self, labels: Mapping[str, int], names: Mapping[str, int]) -> None:
        self._labels = labels
        self._names = names
        self._code = b""
        self._maps: dict[int, str] = {}

    def run(self, lines: list[str]) -> Assembled:
        for line in lines:
            for pattern, make in _RULES:
                match = re.fullmatch(pattern, line)
                if match:
                    self._code += b"".join(instruction(*fields) for fields in make(self, match))
                    break
            else:
                raise AssemblyError(f"no instruction: {line!r}")
        return Assembled(self._code, MappingProxyType(self._maps), MappingProxyType(dict(self._labels)))

    @property
    def _at(self) -> int:
        return len(self._code) // 8

    def _distance(self, target: str) -> int:
        """From behind this instruction to a label, or a distance as it stands."""
        if target[0] in "+-":
            return int(target)
        if target not in self._labels:
            raise AssemblyError(
                f"no label {target!r}; there are: {', '.join(sorted(self._labels)) or 'none'}"
            )
        return self._labels[target] - self._at - 1

    def move(self, m: re.Match[str]) -> list[Fields]:
        code = 0xB7 if m[1] == "r" else 0xB4
        return [(code | 0x08, int(m[2]), int(m[4]), 0, 0)]

    def move_number(self, m: re.Match[str]) -> list[Fields]:
        return [(0xB7 if m[1] == "r" else 0xB4, int(m[2]), 0, 0, int(m[3], 0))]

    def wide(self, m: re.Match[str]) -> list[Fields]:
        value = int(m[3], 0)
        return [(0x18, int(m[2]), 0, 0, value), (0, 0, 0, 0, value >> 32)]

    def named(self, m: re.Match[str]) -> list[Fields]:
        kind, name, extra = m[3], m[4], int((m[5] or "0").replace(" ", ""))
        if kind in ("map", "value"):
            self._maps[len(self._code) + 4] = name
            return [(0x18, int(m[2]), PSEUDO_MAP_FD + (kind == "value"), 0, 0), (0, 0, 0, 0, extra)]
        source = PSEUDO_FUNC if kind == "function" else PSEUDO_BTF_ID
        value = self._distance(name) if kind == "function" else self._names[name]
        return [(0x18, int(m[2]), source, 0, value), (0, 0, 0, 0, 0)]

    def move_signed(self, m: re.Match[str]) -> list[Fields]:
        return [(0xBF if m[1] == "r" else 0xBC, int(m[2]), int(m[5]), int(m[3]), 0)]

    def cast(self, m: re.Match[str]) -> list[Fields]:
        return [(0xBF, int(m[2]), int(m[4]), 1, int(m[5], 0) << 16 | int(m[6], 0))]

    def calculate(self, m: re.Match[str]) -> list[Fields]:
        code = _ALU[m[3]] | (0x07 if m[1] == "r" else 0x04)
        off = int(m[3] in ("s/", "s%"))
        if m[5] is not None:
            return [(code | 0x08, int(m[2]), int(m[5]), off, 0)]
        return [(code, int(m[2]), 0, off, int(m[6], 0))]

    def negate(self, m: re.Match[str]) -> list[Fields]:
        return [(0x87 if m[1] == "r" else 0x84, int(m[2]), 0, 0, 0)]

    def swap(self, m: re.Match[str]) -> list[Fields]:
        return [({"le": 0xD4, "be": 0xDC, "bswap": 0xD7}[m[3]], int(m[2]), 0, 0, int(m[4]))]

    def load(self, m: re.Match[str]) -> list[Fields]:
        mode = 0x81 if m[3].startswith("s") else 0x61
        return [(mode | _SIZES[m[3]], int(m[2]), int(m[5]), _offset(m[6]), 0)]

    def store(self, m: re.Match[str]) -> list[Fields]:
        return [(0x63 | _SIZES[m[1]], int(m[3]), int(m[6]), _offset(m[4]), 0)]

    def store_number(self, m: re.Match[str]) -> list[Fields]:
        return [(0x62 | _SIZES[m[1]], int(m[3]), 0, _offset(m[4]), int(m[5], 0))]

    def _atomic(self, size: str, base: str, off: str, source: str, kind: int) -> list[Fields]:
        return [(0xC3 | _SIZES[size], int(base), int(source), _offset(off), kind)]

    def locked(self, m: re.Match[str]) -> list[Fields]:
        return self._atomic(m[1], m[3], m[4], m[7], _LOCKED[m[5]])

    def fetch(self, m: re.Match[str]) -> list[Fields]:
        return self._atomic(m[4], m[6], m[7], m[9], _ATOMICS[m[3]] | _FETCH)

    def exchange(self, m: re.Match[str]) -> list[Fields]:
        return self._atomic("u64" if m[3] == "_" else "u32", m[5], m[6], m[8], _XCHG)

    def compare_exchange(self, m: re.Match[str]) -> list[Fields]:
        return self._atomic("u64" if m[3] == "_" else "u32", m[5], m[6], m[8], _CMPXCHG)

    def acquire(self, m: re.Match[str]) -> list[Fields]:
        return [(0xC3 | _SIZES[m[3]], int(m[2]), int(m[5]), _offset(m[6]), _ACQUIRE)]

    def release(self, m: re.Match[str]) -> list[Fields]:
        return self._atomic(m[1], m[3], m[4], m[6], _RELEASE)

    def jump_if(self, m: re.Match[str]) -> list[Fields]:
        code = _JUMPS[m[3]] | (0x05 if m[1] == "r" else 0x06)
        off = self._distance(m[7])
        if m[5] is not None:
            return [(code | 0x08, int(m[2]), int(m[5]), off, 0)]
        return [(code, int(m[2]), 0, off, int(m[6], 0))]

    def jump(self, m: re.Match[str]) -> list[Fields]:
        off = self._distance(m[2])
        if m[1] == "gotol":
            return [(0x06, 0, 0, 0, off)]
        return [(0x05 if m[1] == "goto" else 0xE5, 0, 0, off, 0)]

    def jump_to(self, m: re.Match[str]) -> list[Fields]:
        return [(0x0D, int(m[2]), 0, 0, 0)]

    def call(self, m: re.Match[str]) -> list[Fields]:
        return [(0x85, 0, 0, 0, int(m[1]))]

    def call_named(self, m: re.Match[str]) -> list[Fields]:
        if m[1] == "kfunc":
            return [(0x85, 0, PSEUDO_KFUNC_CALL, 0, self._names[m[2]])]
        return [(0x85, 0, PSEUDO_CALL, 0, self._distance(m[2]))]

    def packet(self, m: re.Match[str]) -> list[Fields]:
        if m[3]:
            return [(0x40 | _SIZES[m[1]], 0, int(m[3]), 0, 0)]
        return [(0x20 | _SIZES[m[1]], 0, 0, 0, int(m[4], 0))]

    def exit(self, _: re.Match[str]) -> list[Fields]:
        return [(0x95, 0, 0, 0, 0)]

    def raw(self, m: re.Match[str]) -> list[Fields]:
        code, dst, src, off, imm = (int(part, 0) for part in m.groups())
        return [(code, dst, src, off, imm)]


_OPERAND = rf"(?:{_REGISTER}|{_NUMBER})"
_RULES: list[tuple[str, Callable[[_Assembler, re.Match[str]], list[Fields]]]] = [
    (rf"{_REGISTER} = {_REGISTER}", _Assembler.move),
    (rf"{_REGISTER} = {_NUMBER}", _Assembler.move_number),
    (rf"{_REGISTER} = {_NUMBER} ll", _Assembler.wide),
    (rf"{_REGISTER} = (map|value|function|type) {_NAME}(?: (\+ \d+))?", _Assembler.named),
    (rf"{_REGISTER} = \(s(8|16|32)\){_REGISTER}", _Assembler.move_signed),
    (rf"{_REGISTER} = addr_space_cast\({_REGISTER}, {_NUMBER}, {_NUMBER}\)", _Assembler.cast),
    (rf"{_REGISTER} (s>>|s/|s%|<<|>>|[-+*/%&|^])= {_OPERAND}", _Assembler.calculate),
    (rf"{_REGISTER} = -{_REGISTER}", _Assembler.negate),
    (rf"{_REGISTER} = (le|be|bswap)(16|32|64) {_REGISTER}", _Assembler.swap),
    (rf"{_REGISTER} = \*\(([us]\d+) \*\)\({_MEMORY}\)", _Assembler.load),
    (rf"\*\((u\d+) \*\)\({_MEMORY}\) = {_REGISTER}", _Assembler.store),
    (rf"\*\((u\d+) \*\)\({_MEMORY}\) = {_NUMBER}", _Assembler.store_number),
    (rf"lock \*\((u\d+) \*\)\({_MEMORY}\) ([+&|^])= {_REGISTER}", _Assembler.locked),
    (
        rf"{_REGISTER} = atomic_fetch_(add|or|and|xor)\(\((u\d+) \*\)\({_MEMORY}\), {_REGISTER}\)",
        _Assembler.fetch,
    ),
    (rf"{_REGISTER} = xchg(_|32_)\d\d\({_MEMORY}, {_REGISTER}\)", _Assembler.exchange),
    (rf"{_REGISTER} = cmpxchg(_|32_)\d\d\({_MEMORY}, [rw]0, {_REGISTER}\)", _Assembler.compare_exchange),
    (rf"{_REGISTER} = load_acquire\(\((u\d+) \*\)\({_MEMORY}\)\)", _Assembler.acquire),
    (rf"store_release\(\((u\d+) \*\)\({_MEMORY}\), {_REGISTER}\)", _Assembler.release),
    (rf"if {_REGISTER} (s?[<>]=?|[=!]=|&) {_OPERAND} goto {_TARGET}", _Assembler.jump_if),
    (rf"(goto|gotol|may_goto) {_TARGET}", _Assembler.jump),
    (rf"gotox {_REGISTER}", _Assembler.jump_to),
    (r"call (\d+)", _Assembler.call),
    (rf"call (kfunc|function) {_NAME}", _Assembler.call_named),
    (rf"r0 = \*\((u\d+) \*\)skb\[(?:{_REGISTER}|{_NUMBER})\]", _Assembler.packet),
    (r"exit", _Assembler.exit),
    (r"insn (\S+) (\S+) (\S+) (\S+) (\S+)", _Assembler.raw),
]
