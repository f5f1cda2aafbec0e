"""One row out of several runs of the same case: is the answer always the same? Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from harness.model import CaseResult, Outcome
from harness.verdict.expect import describe_verdict
from harness.verdict.text import one_line

_FINE = (Outcome.AS_EXPECTED, Outcome.NO_EXPECTATION)


def merged(rows: Sequence[CaseResult]) -> CaseResult:
    """Return the row of a case that was run several times, each time in a fresh guest.

    Runs that gave no answer (the guest could not be had) say nothing. When the others differ in verdict,
    stage, errno or behaviour the row is the first one's, flaky, with every answer in order; when they agree
    it is the first that is not as expected (a message may differ), else the first.
    """
    answered = [row for row in rows if row.outcome is not Outcome.NOT_RUN]
    if not answered:
        return rows[0]
    answers = tuple(map(answer, answered))
    if len(set(answers)) == 1:
        return next((row for row in answered if row.outcome not in _FINE), answered[0])
    seen = ", ".join(f"{count} x {text}" for text, count in Counter(answers).items())
    reason = one_line(f"{len(answers)} runs gave different answers: {seen}", 400)
    return replace(answered[0], outcome=Outcome.FLAKY, answers=answers, reason=reason)


def answer(row: CaseResult) -> str:
    """Say what a run gave, as far as runs of one case must agree."""
    return describe_verdict(row.verdict, row.behaviour)
