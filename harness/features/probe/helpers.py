"""Helpers × program types: the shortest program of each type calls each, and the verifier's words decide.

The program calls the helper with its context in R1 and nothing else. Where the type may call it the verifier
goes on to the arguments and complains of those, or accepts the call; where it may not, it says so.
"""

from __future__ import annotations

from dataclasses import replace

from harness.features.documented import documented
from harness.features.probe.instructions import call_and_exit
from harness.features.probe.rounds import Rounds
from harness.features.probe.subject import Subject
from harness.features.types import FeatureKind, Finding, MeasuredFeature, Method, Support, evidence


def helper_numbers() -> dict[str, int]:
    """The documented helpers with their numbers in enum bpf_func_id."""
    return {
        name: record.id
        for (kind, name), record in documented().items()
        if kind is FeatureKind.HELPER and record.id is not None
    }


def probe_helpers(subject: Subject) -> list[MeasuredFeature]:
    """What every program type may call of every helper."""
    numbers = helper_numbers()
    rounds = Rounds(
        subject,
        FeatureKind.HELPER,
        lambda placed, name: replace(placed.load, code=call_and_exit(numbers[name])),
    )
    gone = {name: _with_btf(subject, name, said) for name, said in rounds.missing(numbers).items()}
    rounds.ask(list(numbers), list(gone))
    return [rounds.feature(name, gone) for name in sorted(numbers)]


def _with_btf(subject: Subject, name: str, said: Finding) -> Finding:
    """A helper the verifier does not know, with what BTF says of it; unknown where the two disagree."""
    enumerators = subject.helper_enumerators
    if not enumerators:
        return said
    wanted = f"BPF_FUNC_{name.removeprefix('bpf_')}"
    if wanted in enumerators:
        words = f"{said.evidence}, but enum bpf_func_id of its BTF has {wanted}"
        return Finding(Support.UNKNOWN, Method.NONE, evidence(words))
    words = f"{said.evidence}; enum bpf_func_id of its BTF has no {wanted}"
    return Finding(said.support, said.method, evidence(words))
