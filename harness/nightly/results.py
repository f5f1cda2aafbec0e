"""`results.csv`: the rows of the run, each with what changed, and one for each case that is gone. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from harness.nightly.against import cases_of
from harness.nightly.types import Night
from harness.record.changes import Change, ChangeKind
from harness.report.tables import COLUMNS, render_csv
from harness.verdict.text import one_line

ADDED = ("change", "worse", "flaky", "before", "why", "release_before")
_FORMULA = ("=", "+", "-", "@")


def render(night: Night) -> str:
    """Return RFC 4180 text: the columns of `bpfmatrix report --format csv` and those of `ADDED`."""
    changes = cases_of(night.findings.comparisons)
    rows = csv.reader(io.StringIO(render_csv(night.run)))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([*next(rows), *ADDED])
    for case, row in zip(night.run.cases, rows, strict=True):
        writer.writerow([*row, *_added(changes.get(case.id, ()), night)])
    for gone in _gone(night):
        known = {"id": gone.id, "kernel": gone.kernel}
        writer.writerow([*(_cell(known.get(name, "")) for name in COLUMNS), *_added([gone], night)])
    return out.getvalue()


def _added(changes: Sequence[Change], night: Night) -> list[str]:
    if not changes:
        return [""] * len(ADDED)
    worst = next((change for change in changes if change.regression and not change.flaky), changes[0])
    return [
        _cell("; ".join(dict.fromkeys(change.kind.value for change in changes))),
        "yes" if worst.regression and not worst.flaky else "no",
        "yes" if any(change.flaky for change in changes) else "no",
        _cell(worst.before),
        _cell("; ".join(map(str, worst.reasons))),
        _cell(night.findings.release_before.get(worst.id, "")),
    ]


def _gone(night: Night) -> list[Change]:
    every = [change for changes in night.findings.comparisons for change in changes.changes]
    return list({c.id: c for c in every if c.kind is ChangeKind.CASE_MISSING}.values())


def _cell(text: str) -> str:
    """Keep a spreadsheet from running it as a formula."""
    shown = one_line(text, 500)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown
