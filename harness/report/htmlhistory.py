"""The nights of one cell, as its panel shows them: nights in a row with the same answer are one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from harness.model import CaseResult, KernelRun, Outcome, Run, VerdictKind
from harness.record.history import Entry, Night
from harness.record.snapshot import Answer, record
from harness.report.matrix import SYMBOLS, Mark
from harness.scenario import Behaviour
from harness.verdict.text import one_line

NIGHTS = 14  # how many a page tells of, with its own
_BEHAVIOURS = {Behaviour.BEHAVES: Mark.BEHAVES, Behaviour.MISBEHAVES: Mark.MISBEHAVES}
_ABNORMAL = {Outcome.CRASH: Mark.CRASH, Outcome.HANG: Mark.HANG, Outcome.SPLAT: Mark.SPLAT}


@dataclass(frozen=True, slots=True)
class Stretch:
    """Nights in a row that gave the same; `at` is the number of nights before the first of them."""

    css: str
    symbol: str
    answer: str
    dates: str
    releases: str
    nights: int
    at: int
    changed: bool  # another answer than in the night before


def stretches(case: CaseResult, run: Run, kernel: KernelRun, earlier: Sequence[Entry]) -> tuple[Stretch, ...]:
    """Return the nights of a cell up to this run, the latest first."""
    now = Entry(Night(0, run.id, run.start), record(case, run, kernel))
    others = [entry for entry in earlier if entry.night.run != run.id]
    entries = [*others[1 - NIGHTS :], now]
    made: list[Stretch] = []
    at = 0
    for answer, nights in groupby(entries, _answer):
        made.append(_stretch(answer, list(nights), at))
        at += made[-1].nights
    return tuple(reversed(made))


def _answer(entry: Entry) -> tuple[Answer, bool]:
    return entry.record.answer, entry.record.flaky


def _stretch(said: tuple[Answer, bool], nights: Sequence[Entry], at: int) -> Stretch:
    answer, flaky = said
    mark = mark_of(answer)
    versions = [e.record.under.version or e.record.under.release for e in nights]
    return Stretch(
        mark.value,
        SYMBOLS[mark],
        ("flaky: " if flaky else "") + str(answer),
        _span([entry.night.start[:10] for entry in nights]),
        _span([one_line(version, 40) for version in versions]),
        len(nights),
        at,
        at > 0,
    )


def mark_of(answer: Answer) -> Mark:
    """Return how the grid would show a recorded answer."""
    if answer.abnormal is not None:
        return _ABNORMAL[answer.abnormal]
    if answer.verdict is VerdictKind.REJECT:
        return Mark.REJECT
    if answer.verdict is VerdictKind.ACCEPT:
        return _BEHAVIOURS[answer.behaviour] if answer.behaviour else Mark.ACCEPT
    return Mark.NOT_RUN


def _span(words: Sequence[str]) -> str:
    """Join first and last where they differ; releases only grow, and dates, too, unless a clock went back."""
    return words[0] if words[0] == words[-1] else f"{words[0]} – {words[-1]}"
