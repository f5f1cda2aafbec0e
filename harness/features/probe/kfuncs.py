"""Kernel functions × program types: BTF says which there are, the verifier which may be called.

Known are the functions the BTF tags `bpf_kfunc`, and the documented ones among all functions of the BTF (a
kernel built before pahole 1.26 tags none). Each is called as helpers are.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

from harness.catalog.yamlfile import load
from harness.features.documented import documented
from harness.features.probe.attempts import DATA, Placed
from harness.features.probe.instructions import PSEUDO_KFUNC_CALL, assemble, call_and_exit
from harness.features.probe.loads import Load, Map, map_call
from harness.features.probe.rounds import Rounds
from harness.features.probe.subject import Subject
from harness.features.types import FeatureKind, Finding, MeasuredFeature, Method, Support, evidence

# BPF_MAP_TYPE_ARENA with BPF_F_MMAPABLE, at an address of its own.
_ARENA = Map(33, 0, 0, 1, 1 << 10, extra=1 << 44)


@cache
def kfuncs_of_modules() -> frozenset[str]:
    """Documented kernel functions no obtainable kernel has built in (`data/probe/kfuncs.yaml`)."""
    path = DATA / "kfuncs.yaml"
    schema = json.loads(path.with_suffix(".schema.json").read_text(encoding="utf-8"))
    return frozenset(load(path, schema).data["modules"])


def probe_kfuncs(subject: Subject) -> list[MeasuredFeature]:
    """What every program type may call of every kernel function."""
    known = [name for kind, name in documented() if kind is FeatureKind.KFUNC]
    names = sorted({*known, *subject.tagged_kfuncs})
    numbers = {name: subject.functions[name] for name in names if name in subject.functions}
    rounds = Rounds(
        subject,
        FeatureKind.KFUNC,
        lambda placed, name: replace(placed.load, code=call_and_exit(numbers[name], PSEUDO_KFUNC_CALL)),
    )
    gone = _no_calls_at_all(subject, names)
    gone = gone or {**rounds.missing(numbers), **_not_in_btf(subject, names)}
    rounds.ask([name for name in numbers if name not in gone])
    _ask_with_arena(rounds, numbers)
    return [rounds.feature(name, gone) for name in names]


def _no_calls_at_all(subject: Subject, names: list[str]) -> dict[str, Finding]:
    """Every name, where the kernel's verifier knows no calls of kernel functions; else none."""
    asking = Rounds(
        subject,
        FeatureKind.KFUNC,
        lambda placed, _: replace(placed.load, code=call_and_exit(1, PSEUDO_KFUNC_CALL)),
    )
    said = asking.missing(["any"])
    return dict.fromkeys(names, said["any"]) if "any" in said else {}


def _not_in_btf(subject: Subject, names: list[str]) -> dict[str, Finding]:
    """The names that are no function of the kernel's BTF; one that modules bring stays unknown."""
    if subject.types is None:
        words = "the kernel has no BTF, without which nobody can call a kernel function by name"
        return dict.fromkeys(names, Finding(Support.UNKNOWN, Method.NONE, words))
    gone: dict[str, Finding] = {}
    for name in names:
        if name in subject.functions:
            continue
        words = f"no function {name} in the kernel's BTF"
        if name in kfuncs_of_modules():
            gone[name] = Finding(Support.UNKNOWN, Method.NONE, f"{words}; a module may bring it")
        else:
            gone[name] = Finding(Support.NO, Method.BTF, evidence(words))
    return gone


def _ask_with_arena(rounds: Rounds, numbers: dict[str, int]) -> None:
    """Ask again what wants a program that uses an arena."""
    questions = rounds.again("arena")
    at = len(rounds.subject.prelude.calls)

    def make(placed: Placed, name: str) -> Load:
        done = assemble("r9 = map arena\ncall kfunc wanted\nexit", {"wanted": numbers[name]})
        return replace(placed.load, code=done.code, maps=tuple((place, at) for place in done.maps))

    if questions:
        rounds.put(questions, make, [map_call(_ARENA)])
