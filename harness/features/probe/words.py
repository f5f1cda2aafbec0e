"""What the verifier's words say of a call, by the rules of `data/probe/words.yaml`.

A yes and a no are each proven by words; what no rule recognises is unknown, and says what was read.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.catalog.yamlfile import load
from harness.features.probe.attempts import DATA
from harness.features.types import FeatureKind, Finding, Method, Support, evidence
from harness.guest.calls import Called

LOOKED_AT = 16 << 10  # characters of a log
_STATISTICS = re.compile(r"^(processed \d+ insns|verification time|stack depth|subprog \d|\d+: |func#)")
_SAYS = {"yes": Support.YES, "no": Support.NO, "undecided": Support.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `of_kernel`: it says the same of every program type. `again`: with what to ask once more."""

    name: str
    about: FeatureKind | None
    says: Support
    of_kernel: bool
    again: str
    pattern: re.Pattern[str]
    kernels: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer says, and the rule that found it; None: it was accepted, or no rule knows it."""

    finding: Finding
    rule: Rule | None = None


@cache
def rules(path: Path = DATA / "words.yaml") -> tuple[Rule, ...]:
    """All rules in their order; UserError where the file is against its schema."""
    schema = json.loads(path.with_suffix(".schema.json").read_text(encoding="utf-8"))
    return tuple(
        Rule(
            row["name"],
            FeatureKind(row["about"]) if "about" in row else None,
            _SAYS[row["says"]],
            row.get("of") == "kernel",
            row.get("again", ""),
            re.compile(row["pattern"], re.MULTILINE),
            row["kernels"],
        )
        for row in load(path, schema).data["rules"]
    )


def read(kind: FeatureKind, called: Called) -> Reading:
    """What the load of a program that makes one call says of that call. `kind`: HELPER or KFUNC."""
    if called.errno is None:
        return Reading(Finding(Support.YES, Method.VERIFIER, "a program that calls it is accepted"))
    log = called.log[:LOOKED_AT]
    for rule in rules():
        if rule.about not in (None, kind):
            continue
        match = rule.pattern.search(log)
        if match:
            line = evidence(log[match.start() :].partition("\n")[0])
            method = Method.NONE if rule.says is Support.UNKNOWN else Method.VERIFIER
            return Reading(Finding(rule.says, method, line), rule)
    return Reading(Finding(Support.UNKNOWN, Method.NONE, evidence(unread(called))))


def unread(called: Called) -> str:
    """The errno and the first line that is no statistics."""
    lines = (line.strip() for line in called.log[:LOOKED_AT].splitlines())
    words = next((line for line in lines if line and not _STATISTICS.match(line)), "no words")
    return f"{called.errno}: {words}"
