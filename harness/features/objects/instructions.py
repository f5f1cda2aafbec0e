"""Instructions: decoding, what a relocated one refers to, where control goes from one.

The encoding is Documentation/bpf/standardization/instruction-set.rst of the kernel; for big-endian objects
the register fields change places as well.
"""

from __future__ import annotations

import struct

from harness.features.objects.elf import Section, Symbol
from harness.features.objects.model import Instruction, MapDefinition, Target, TargetKind

LD_IMM64 = 0x18
CALL, CALL_REGISTER, EXIT = 0x85, 0x8D, 0x95
JA, JA32 = 0x05, 0x06
MAY_GOTO = 0xE5
PSEUDO_CALL, PSEUDO_KFUNC = 1, 2  # src of a call
PSEUDO_FUNC = 4  # src of a LD_IMM64
_JUMPS = frozenset({0x05, 0x06})  # classes JMP and JMP32
_NOT_TARGETS = frozenset({CALL, CALL_REGISTER, EXIT})


def decode(data: bytes, *, big_endian: bool) -> list[Instruction]:
    """The instructions of a section; a rest of less than 8 bytes is left out."""
    order = ">" if big_endian else "<"
    decoded: list[Instruction] = []
    for code, registers, off, imm in struct.iter_unpack(f"{order}BBhi", data[: len(data) // 8 * 8]):
        low, high = registers & 0xF, registers >> 4
        dst, src = (high, low) if big_endian else (low, high)
        if code == 0 and decoded and decoded[-1].code == LD_IMM64:
            first = decoded[-1]
            decoded[-1] = first._replace(wide=(first.imm & 0xFFFFFFFF) | (imm & 0xFFFFFFFF) << 32)
        decoded.append(Instruction(code, dst, src, off, imm))
    return decoded


def target_of(
    symbol: Symbol, place: Section | None, instruction: Instruction, maps: dict[int, MapDefinition]
) -> Target:
    """What a relocation against `symbol`, defined in `place`, means on `instruction`; as libbpf reads it."""
    if place is None:
        return Target(TargetKind.EXTERN, symbol.name)
    if place.name in (".maps", "maps"):
        offset = symbol.value + (instruction.imm if symbol.kind == "STT_SECTION" else 0)
        declared = maps.get(offset)
        return Target(TargetKind.MAP, declared.name if declared else symbol.name, place.name, offset)
    if place.executable:
        step = 8 * (instruction.imm + 1) if instruction.code == CALL else instruction.imm
        return Target(TargetKind.FUNCTION, symbol.name, place.name, symbol.value + step)
    if place.name.startswith((".data", ".rodata", ".bss")):
        return Target(TargetKind.DATA, symbol.name, place.name, symbol.value + instruction.imm)
    return Target(TargetKind.OTHER, symbol.name, place.name, symbol.value)


def is_jump(instruction: Instruction) -> bool:
    """Whether control may go elsewhere than to the next instruction, calls and exit aside."""
    return instruction.code & 0x07 in _JUMPS and instruction.code not in _NOT_TARGETS


def successors(at: int, instruction: Instruction) -> tuple[int, ...]:
    """Where control goes from instruction `at`: behind it first, then the jump's target. Not checked."""
    code = instruction.code
    if code == EXIT:
        return ()
    if code == LD_IMM64:
        return (at + 2,)
    if code == JA:
        return (at + 1 + instruction.off,)
    if code == JA32:
        return (at + 1 + instruction.imm,)
    if is_jump(instruction):
        return (at + 1, at + 1 + instruction.off)
    return (at + 1,)
