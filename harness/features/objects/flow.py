"""Which instructions of a function control can reach, given what is known of the values guards are made of.

Constants are followed through registers and through 8-byte slots of the stack, one value for each register at
each instruction; where two ways bring different values nothing is known. A conditional jump on a known value
goes one way only, any other goes both: what is called unreachable here cannot be reached, never the reverse.
Whoever gives up (too much work) says that everything is reached.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from harness.features.objects.arithmetic import calculate, compare
from harness.features.objects.instructions import (
    CALL,
    CALL_REGISTER,
    JA,
    JA32,
    LD_IMM64,
    MAY_GOTO,
    is_jump,
    successors,
)
from harness.features.objects.model import Function, Instruction

_FRAME = 10  # the register that points at the stack
_LD, _LDX, _ST, _STX, _ALU, _ALU64 = 0, 1, 2, 3, 4, 7
_WIDTHS = (4, 2, 1, 8)  # bytes, by the size bits of a load or store
_ATOMIC = 0xC0  # the mode bits of an atomic operation
_SLOT = 0x18  # the size bits of a load or store of 8 bytes


class Nonzero:
    """A value that is not 0 and otherwise unknown: the address of something that is there."""

    def __repr__(self) -> str:
        return "nonzero"


NONZERO: Final = Nonzero()


@dataclass(frozen=True, slots=True)
class Variable:
    """The address of a variable that never changes; `size` in bytes, 0 where that does not matter."""

    content: int | None
    size: int = 0


Value = int | Nonzero | Variable | None  # None: nothing is known
State = tuple[Value, ...]  # eleven registers, then one value for each slot of the function's stack


class Budget:
    """How many instructions may still be looked at; shared by all passes over an object."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    @property
    def spent(self) -> bool:
        """Whether nothing is left: results from here on are `everything is reached`."""
        return self.left <= 0


def reachable(function: Function, known: Mapping[int, Value], budget: Budget) -> frozenset[int]:
    """The instructions control can reach from the first. `known`: by instruction, the value it loads."""
    everything = frozenset(range(len(function.instructions)))
    if budget.spent:
        return everything
    return _Pass(function, known, budget).run() or everything


class _Pass:
    def __init__(self, function: Function, known: Mapping[int, Value], budget: Budget) -> None:
        self._code = function.instructions
        self._known = known
        self._budget = budget
        self._slots = _stack_slots(self._code)
        self._states: dict[int, State] = {0: (None,) * (11 + len(self._slots))}

    def run(self) -> frozenset[int] | None:
        """All reached instructions; None when the budget ran out."""
        waiting = [0]
        while waiting:
            at = waiting.pop()
            self._budget.left -= 1
            if self._budget.spent:
                return None
            state = self._after(at, self._states[at])
            for following in self._ways(at, self._states[at]):
                if 0 <= following < len(self._code) and self._join(following, state):
                    waiting.append(following)
        return frozenset(self._states)

    def _join(self, at: int, state: State) -> bool:
        """Bring `state` to `at`; whether that changed what is known there."""
        before = self._states.get(at)
        if before is None:
            self._states[at] = state
            return True
        if before == state:
            return False
        joined = tuple(old if old == new else _both(old, new) for old, new in zip(before, state, strict=True))
        self._states[at] = joined
        return joined != before

    def _ways(self, at: int, state: State) -> tuple[int, ...]:
        instruction = self._code[at]
        ways = successors(at, instruction)
        if not is_jump(instruction) or instruction.code in (JA, JA32, MAY_GOTO):
            return ways
        left = state[instruction.dst] if instruction.dst <= _FRAME else None
        right = self._operand(at, instruction, state)
        taken = compare(instruction.code, _plain(left), _plain(right), nonzero=isinstance(left, Nonzero))
        return ways if taken is None else (ways[1] if taken else ways[0],)

    def _operand(self, at: int, instruction: Instruction, state: State) -> Value:
        if instruction.code & 0x08:  # BPF_X
            return state[instruction.src] if instruction.src <= _FRAME else None
        return self._known.get(at, instruction.imm)

    def _after(self, at: int, state: State) -> State:
        """What is known behind the instruction."""
        instruction = self._code[at]
        kind = instruction.code & 0x07
        if instruction.dst > _FRAME:
            return state
        if kind in (_ALU, _ALU64, _LDX) or instruction.code == LD_IMM64:
            return _with(state, instruction.dst, self._written(at, instruction, state))
        if kind == _LD or instruction.code in (CALL, CALL_REGISTER):
            return self._called(state)
        if kind in (_ST, _STX):
            return self._stored(instruction, state, kind)
        return state

    def _written(self, at: int, instruction: Instruction, state: State) -> Value:
        if instruction.code == LD_IMM64:
            return self._known.get(at, instruction.wide if instruction.src == 0 else None)
        if instruction.code & 0x07 == _LDX:
            return self._loaded(instruction, state)
        return self._calculated(at, instruction, state)

    def _calculated(self, at: int, instruction: Instruction, state: State) -> Value:
        right = self._operand(at, instruction, state)
        if instruction.code in (0xB7, 0xBF) and instruction.off == 0:
            return right
        left = state[instruction.dst]
        return calculate(instruction.code, instruction.off, _plain(left), _plain(right))

    def _loaded(self, instruction: Instruction, state: State) -> Value:
        base = state[instruction.src] if instruction.src <= _FRAME else None
        if isinstance(base, Variable) and instruction.off == 0:
            return _read(base, instruction)
        if instruction.src == _FRAME and instruction.code & 0xF8 == 0x60 | _SLOT:
            place = self._slots.get(instruction.off)
            return None if place is None else state[place]
        return None

    def _called(self, state: State) -> State:
        """A call leaves the registers it may change, and what it may write through a pointer, unknown."""
        kept = [None if number <= 5 else value for number, value in enumerate(state[:11])]
        return (*kept, *(None,) * len(self._slots))

    def _stored(self, instruction: Instruction, state: State, kind: int) -> State:
        if kind == _STX and instruction.code & 0xE0 == _ATOMIC:
            for register in {0, instruction.dst, min(instruction.src, _FRAME)} - {_FRAME}:
                state = _with(state, register, None)  # fetched values come back in one of them
        if instruction.dst != _FRAME:
            return state[:11] + (None,) * len(self._slots)
        size = _WIDTHS[instruction.code >> 3 & 3]
        changed = list(state)
        for offset, place in self._slots.items():
            if offset < instruction.off + size and instruction.off < offset + 8:
                changed[place] = None
        place = self._slots.get(instruction.off, -1)
        if place >= 0 and size == 8 and kind == _STX and instruction.code & 0xE0 == 0x60:
            changed[place] = state[instruction.src] if instruction.src <= _FRAME else None
        return tuple(changed)


def _read(variable: Variable, instruction: Instruction) -> int | None:
    """What a load of the variable gives; None for a load that is wider, or keeps a sign."""
    width = _WIDTHS[instruction.code >> 3 & 3]
    if variable.content is None or width > (variable.size or 8) or instruction.code & 0xE0 != 0x60:
        return None
    return variable.content & ((1 << 8 * width) - 1)


def _stack_slots(code: tuple[Instruction, ...]) -> dict[int, int]:
    """Stack offsets values are kept at, with their place in a state; at most 32 are followed."""
    stored = {i.off for i in code if i.code == 0x63 | _SLOT and i.dst == _FRAME}
    return {offset: 11 + number for number, offset in enumerate(sorted(stored)[:32])}


def _with(state: State, register: int, value: Value) -> State:
    return (*state[:register], value, *state[register + 1 :])


def _plain(value: Value) -> int | None:
    return value if isinstance(value, int) else None


def _both(old: Value, new: Value) -> Value:
    """What two different values have in common."""
    if old is None or new is None or old == 0 or new == 0:
        return None
    if isinstance(old, Variable) or isinstance(new, Variable):
        return None
    return NONZERO
