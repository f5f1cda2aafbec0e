"""What each instruction of a function uses, one sighting for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import NamedTuple

from harness.features.objects.externs import KCONFIG
from harness.features.objects.guards import relocation_text
from harness.features.objects.instructions import (
    CALL,
    LD_IMM64,
    PSEUDO_CALL,
    PSEUDO_FUNC,
    PSEUDO_KFUNC,
    successors,
)
from harness.features.objects.model import BpfObject, CoreRelocation, Function, Instruction, TargetKind
from harness.features.objects.sections import table
from harness.features.objects.uses import UseKey, UseKind

_ACCESSES = frozenset({1, 2, 3})  # classes LDX, ST, STX


class Sighting(NamedTuple):
    """A use at an instruction; `relocation` where it is a CO-RE relocation."""

    key: UseKey
    at: int
    relocation: CoreRelocation | None = None
    access: bool = False  # a load or store holds it


class _Rule(NamedTuple):
    feature: str
    isa: int
    off: frozenset[int]
    imm: frozenset[int]


def sightings(function: Function, found: BpfObject, helpers: Mapping[int, str]) -> Iterator[Sighting]:
    """What the instructions of `function` use; `helpers` names the helpers by number."""
    second = False  # the second slot of a 16-byte load is no instruction
    for at, instruction in enumerate(function.instructions):
        if second:
            second = False
            continue
        second = instruction.code == LD_IMM64
        yield from (Sighting(key, at) for key in _plain(function, at, instruction, found, helpers))
        for rule in isa_rules(instruction):
            yield Sighting(UseKey(UseKind.LANGUAGE, rule.feature), at)
        relocation = function.core.get(at)
        if relocation is not None and found.btf is not None and relocation.kind.must_fit:
            text = relocation_text(found.btf, relocation)
            access = instruction.code & 0x07 in _ACCESSES
            yield Sighting(UseKey(UseKind.CORE, text), at, relocation, access)
    for at in back_edges(function):
        yield Sighting(UseKey(UseKind.LANGUAGE, "bounded_loops"), at)


def isa_rules(instruction: Instruction) -> Iterator[_Rule]:
    """The rules of data/isa.json that an instruction falls under."""
    for rule in _rules().get(instruction.code, ()):
        if (not rule.off or instruction.off in rule.off) and (not rule.imm or instruction.imm in rule.imm):
            yield rule


def isa_level(found: BpfObject) -> int:
    """LLVM's -mcpu level the object needs at least."""
    levels = [rule.isa for f in found.functions for i in f.instructions for rule in isa_rules(i)]
    return max([1, *levels])


def back_edges(function: Function) -> list[int]:
    """The instructions that close a loop: from them control goes back to where it came from."""
    code = function.instructions
    state = bytearray(len(code))  # 0 not seen, 1 on the way, 2 done
    closing: list[int] = []
    stack: list[tuple[int, Iterator[int]]] = []
    if code:
        state[0] = 1
        stack.append((0, iter(successors(0, code[0]))))
    while stack:
        at, rest = stack[-1]
        following = next(rest, None)
        if following is None:
            state[at] = 2
            stack.pop()
        elif 0 <= following < len(code):
            if state[following] == 1:
                closing.append(at)
            elif state[following] == 0:
                state[following] = 1
                stack.append((following, iter(successors(following, code[following]))))
    return closing


def _plain(
    function: Function, at: int, instruction: Instruction, found: BpfObject, helpers: Mapping[int, str]
) -> Iterator[UseKey]:
    if instruction.code == CALL:
        yield from _call(function, at, instruction, helpers)
    elif instruction.code == LD_IMM64:
        yield from _load(function, at, instruction, found)


def _call(
    function: Function, at: int, instruction: Instruction, helpers: Mapping[int, str]
) -> Iterator[UseKey]:
    target = function.targets.get(at)
    if target is not None and target.kind is TargetKind.EXTERN:
        yield UseKey(UseKind.KFUNC, target.name)
        yield UseKey(UseKind.LANGUAGE, "kfunc_calls")
        if target.name.startswith("bpf_iter_") and target.name.endswith("_new"):
            yield UseKey(UseKind.LANGUAGE, "open_coded_iterators")
    elif instruction.src == PSEUDO_KFUNC:
        yield UseKey(UseKind.LANGUAGE, "kfunc_calls")
    elif instruction.src == PSEUDO_CALL:
        yield UseKey(UseKind.LANGUAGE, "bpf2bpf_calls")
    elif instruction.src == 0 and at not in function.core:
        yield UseKey(UseKind.HELPER, helpers.get(instruction.imm, f"helper #{instruction.imm}"))


def _load(function: Function, at: int, instruction: Instruction, found: BpfObject) -> Iterator[UseKey]:
    target = function.targets.get(at)
    if target is None:
        if instruction.src == PSEUDO_FUNC:
            yield UseKey(UseKind.LANGUAGE, "callback_functions")
    elif target.kind is TargetKind.FUNCTION:
        yield UseKey(UseKind.LANGUAGE, "callback_functions")
    elif target.kind is TargetKind.DATA:
        yield UseKey(UseKind.LANGUAGE, "global_data")
    elif target.kind is TargetKind.EXTERN:
        extern = found.externs.get(target.name)
        if extern is not None and extern.section == KCONFIG:
            yield UseKey(UseKind.KCONFIG, target.name)
            yield UseKey(UseKind.LANGUAGE, "global_data")
        else:
            yield UseKey(UseKind.KSYM, target.name)
            if extern is not None and extern.typed:
                yield UseKey(UseKind.LANGUAGE, "typed_ksyms")


@cache
def _rules() -> Mapping[int, tuple[_Rule, ...]]:
    found: dict[int, list[_Rule]] = {}
    for rule in table("isa.json")["rules"]:
        made = _Rule(
            rule["feature"], rule["isa"], frozenset(rule.get("off", ())), frozenset(rule.get("imm", ()))
        )
        for code in rule["codes"]:
            found.setdefault(int(code, 16), []).append(made)
    return {code: tuple(rules) for code, rules in found.items()}
