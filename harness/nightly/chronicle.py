"""Nights and the history: whatever kept a night out of it (a lock, a kill), the next puts it in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import HarnessError
from harness.nightly.before import RUN
from harness.nightly.types import NightRecord
from harness.record import runfile
from harness.record.changes import Changes
from harness.record.history import append, latest, reading
from harness.report.beside import Beside
from harness.report.htmlhistory import NIGHTS
from harness.verdict.text import one_line


def catch_up(history: Path, nights: Path, records: Sequence[NightRecord]) -> tuple[str, ...]:
    """Append every night the history lacks, the oldest first; returns what went wrong.

    `records` are the nights there are, the latest first. A history that cannot be written costs the night
    nothing: its files are there, and it is appended with the next.
    """
    warnings = []
    try:
        there = _recorded(history)
        for record in reversed([record for record in records if record.run_id not in there]):
            try:
                run = runfile.read(nights / record.name / RUN)
            except HarnessError as problem:
                warnings.append(_words(f"the night {record.name} is not in the history", problem))
                continue
            append(history, run)
    except HarnessError as problem:
        warnings.append(_words("the history lacks this night, the next one appends it", problem))
    return tuple(warnings)


def beside(history: Path, comparisons: Sequence[Changes]) -> Beside:
    """Return what a night's page shows beside the run; a history that cannot be read is told there."""
    try:
        earlier = latest(history, NIGHTS) if history.is_file() else {}
    except HarnessError as problem:
        return Beside(tuple(comparisons), notes=(_words("the nights before are not shown", problem),))
    return Beside(tuple(comparisons), earlier)


def _recorded(history: Path) -> frozenset[str]:
    """Ids of the runs the history has; reading takes no lock another run's writing stands in the way of."""
    if not history.is_file():
        return frozenset()
    with reading(history) as connection:
        return frozenset(run for (run,) in connection.execute("SELECT id FROM runs"))


def _words(what: str, problem: HarnessError) -> str:
    return one_line(f"{what}: {problem.where or ''}: {problem.what}", 500)
