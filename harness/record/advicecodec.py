"""A pitfall's advice to plain JSON values and back."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from harness.advice import Advice, Answer, Clause, NoteClaim

Json = dict[str, Any]
Condition = Mapping[str, tuple[str | int | bool, ...]]


def advice_to_json(advice: Advice | None) -> Json | None:
    """Return the `advice` of a run file's program, shaped like the manifest's block."""
    if advice is None:
        return None
    return {
        "claims": [
            {"says": claim.says, "holds_when": [_clause_to_json(clause) for clause in claim.clauses]}
            for claim in advice.claims
        ],
        "wrong": _when_to_json(advice.wrong) if advice.wrong is not None else None,
        "right": [_when_to_json(when) for when in advice.right],
        "figures": advice.figures,
    }


def advice_from_json(raw: Mapping[str, Any] | None) -> Advice | None:
    """Rebuild it; KeyError, TypeError or ValueError when it is none."""
    if raw is None:
        return None
    return Advice(
        claims=tuple(
            NoteClaim(claim["says"], tuple(_clause_from_json(clause) for clause in claim["holds_when"]))
            for claim in raw["claims"]
        ),
        wrong=_when_from_json(raw["wrong"]) if raw["wrong"] is not None else None,
        right=tuple(_when_from_json(when) for when in raw["right"]),
        figures=raw["figures"],
    )


def _clause_to_json(clause: Clause) -> Json:
    return {
        "when": _when_to_json(clause.when),
        "is": clause.answer.value,
        "stage": clause.stage,
        "errno": clause.errno,
        "cause": clause.cause,
        "kernels": clause.kernels,
        "some": clause.some,
    }


def _clause_from_json(raw: Mapping[str, Any]) -> Clause:
    return Clause(
        when=_when_from_json(raw["when"]),
        answer=Answer(raw["is"]),
        stage=raw["stage"],
        errno=raw["errno"],
        cause=raw["cause"],
        kernels=raw["kernels"],
        some=raw["some"],
    )


def _when_to_json(when: Condition) -> Json:
    return {axis: list(values) for axis, values in when.items()}


def _when_from_json(raw: Mapping[str, Any]) -> Condition:
    return MappingProxyType({axis: tuple(values) for axis, values in raw.items()})
