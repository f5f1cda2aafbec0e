"""What arithmetic and comparing instructions make of constants; None where that is not followed."""

from __future__ import annotations

from collections.abc import Callable

_WIDE, _NARROW = (1 << 64) - 1, (1 << 32) - 1
_ALU64, _JMP32 = 7, 6


def calculate(code: int, off: int, left: int | None, right: int | None) -> int | None:
    """The new value of the register an ALU instruction writes, as 64 bits without sign."""
    wide = code & 0x07 == _ALU64
    mask, bits = (_WIDE, 64) if wide else (_NARROW, 32)
    operation = code >> 4
    if off or right is None or operation not in _OPERATIONS:
        return None
    if operation == _MOV:
        return right & mask
    if left is None:
        return 0 if operation == _AND and right & mask == 0 else None
    return _OPERATIONS[operation](left & mask, right & mask, bits) & mask


def compare(code: int, left: int | None, right: int | None, *, nonzero: bool = False) -> bool | None:
    """Whether a conditional jump is taken; None when that is not known. `nonzero`: all known of `left`."""
    operation = code >> 4
    narrow = code & 0x07 == _JMP32
    if nonzero and right == 0 and not narrow:
        return {_JEQ: False, _JNE: True}.get(operation)
    if left is None or right is None or operation not in _COMPARISONS:
        return None
    mask, bits = (_NARROW, 32) if narrow else (_WIDE, 64)
    left, right = left & mask, right & mask
    if operation in _SIGNED:
        left, right = _signed(left, bits), _signed(right, bits)
    return _COMPARISONS[operation](left, right)


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


_AND, _MOV = 0x5, 0xB
_OPERATIONS: dict[int, Callable[[int, int, int], int]] = {
    0x0: lambda a, b, _: a + b,
    0x1: lambda a, b, _: a - b,
    0x2: lambda a, b, _: a * b,
    0x4: lambda a, b, _: a | b,
    _AND: lambda a, b, _: a & b,
    0x6: lambda a, b, bits: a << (b & (bits - 1)),
    0x7: lambda a, b, bits: a >> (b & (bits - 1)),
    0xA: lambda a, b, _: a ^ b,
    _MOV: lambda _a, b, _: b,
    0xC: lambda a, b, bits: _signed(a, bits) >> (b & (bits - 1)),
}
_JEQ, _JNE = 0x1, 0x5
_SIGNED = frozenset({0x6, 0x7, 0xC, 0xD})
_COMPARISONS: dict[int, Callable[[int, int], bool]] = {
    _JEQ: lambda a, b: a == b,
    0x2: lambda a, b: a > b,
    0x3: lambda a, b: a >= b,
    0x4: lambda a, b: bool(a & b),
    _JNE: lambda a, b: a != b,
    0x6: lambda a, b: a > b,
    0x7: lambda a, b: a >= b,
    0xA: lambda a, b: a < b,
    0xB: lambda a, b: a <= b,
    0xC: lambda a, b: a < b,
    0xD: lambda a, b: a <= b,
}
