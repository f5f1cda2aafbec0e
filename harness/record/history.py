"""The history: what every case gave in every recorded run, in one SQLite file (docs/history.md).

A run is recorded whole or not at all, and once. Runs are in the order of their recording; a clock that
went backwards is noted, and changes nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from harness.model import KernelRun, KernelVersion, Outcome, Run, Stage, VerdictKind
from harness.record.fingerprint import short
from harness.record.historyfile import opened, reading
from harness.record.snapshot import Answer, CaseRecord, Circumstances, snapshot
from harness.scenario import Behaviour

__all__ = ["FILE", "Entry", "Night", "append", "case_names", "latest", "opened", "reading", "recorded"]

FILE = Path("reports/history.sqlite")


@dataclass(frozen=True, slots=True)
class Night:
    """One recorded run."""

    number: int  # in the order of recording
    run: str  # id of the run file
    start: str  # UTC, ISO 8601
    clock_back: bool = False  # it starts before the run recorded before it


@dataclass(frozen=True, slots=True)
class Entry:
    """What a case gave in one recorded run."""

    night: Night
    record: CaseRecord


def append(path: Path, run: Run) -> bool:
    """Record `run`; return False when it is in there already. Errors as of `opened`."""
    with opened(path) as connection:
        if connection.execute("SELECT 1 FROM runs WHERE id = ?", (run.id,)).fetchone():
            return False
        _record(connection, run)
        return True


def recorded(path: Path, case: str, kernels: Sequence[str] = ()) -> tuple[Entry, ...]:
    """Return what `case` (without kernel) gave in every run, in the order of recording.

    UserError when there is no history at `path`; other errors as of `opened`. The file is only read, unless
    it has to be migrated.
    """
    with reading(path) as connection:
        entries = [_entry(row) for row in connection.execute(_SELECT, (_sound(case),))]
    entries.sort(key=_place)
    return tuple(entry for entry in entries if not kernels or entry.record.kernel in kernels)


def latest(path: Path, nights: int) -> Mapping[str, tuple[Entry, ...]]:
    """Return what every case gave in the last `nights` runs, by its id with the kernel, in that order.

    Errors as of `recorded`.
    """
    found: dict[str, list[Entry]] = {}
    with reading(path) as connection:
        for row in connection.execute(f"{_ALL} WHERE r.number > {_NEWEST} - ? ORDER BY r.number", (nights,)):
            entry = _entry(row)
            found.setdefault(f"{entry.record.case}@{entry.record.kernel}", []).append(entry)
    return MappingProxyType({case: tuple(entries) for case, entries in found.items()})


def case_names(path: Path) -> tuple[str, ...]:
    """Return every case there is a history of."""
    with reading(path) as connection:
        return tuple(name for (name,) in connection.execute("SELECT name FROM cases ORDER BY name"))


def _record(connection: sqlite3.Connection, run: Run) -> None:
    latest = connection.execute("SELECT start FROM runs ORDER BY number DESC LIMIT 1").fetchone()
    back = latest is not None and run.start < latest[0]
    number = connection.execute(
        "INSERT INTO runs (id, start, end, host, partial, harness, clock_back) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (run.id, run.start, run.end, run.host, run.partial, run.harness, back),
    ).lastrowid
    taken = snapshot(run)
    kernels = [(number, *_kernel_row(kernel)) for kernel in run.kernels]
    connection.executemany("INSERT INTO kernels VALUES (?, ?, ?, ?, ?, ?, ?)", kernels)
    names = sorted({_sound(case) for _, case in taken.cases})
    connection.executemany("INSERT OR IGNORE INTO cases (name) VALUES (?)", [(name,) for name in names])
    ids = dict(connection.execute("SELECT name, number FROM cases"))
    rows = [_row(number, ids[_sound(item.case)], item) for item in taken.cases.values()]
    connection.executemany(_INSERT, rows)


def _kernel_row(kernel: KernelRun) -> tuple[str | None, ...]:
    problem = _sound(kernel.problem) if kernel.problem else None
    image, accel = short(kernel.sha256), kernel.accel or ""
    return (kernel.name, kernel.version, kernel.release, problem, image, accel)


def _sound(text: str) -> str:
    """Text SQLite can keep: names of files may hold bytes that are no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


_INSERT = """
INSERT INTO results (run, "case", kernel, verdict, stage, errno, cause, abnormal, behaviour, insns, time_us,
                     flaky, compiler, source, object)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

_ALL = """
SELECT r.number, r.id AS run, r.start, r.clock_back, r.harness, c.name, s.*,
       k.version, k.release, k.image, k.accel
FROM results s
JOIN runs r ON r.number = s.run
JOIN cases c ON c.number = s."case"
LEFT JOIN kernels k ON k.run = s.run AND k.name = s.kernel
"""
_SELECT = f"{_ALL} WHERE c.name = ?"
_NEWEST = "(SELECT max(number) FROM runs)"


def _row(number: int | None, case: int, item: CaseRecord) -> tuple[object, ...]:
    answer = item.answer
    return (
        number,
        case,
        item.kernel,
        answer.verdict.value,
        answer.stage and answer.stage.value,
        answer.errno,
        answer.cause,
        answer.abnormal and answer.abnormal.value,
        answer.behaviour and answer.behaviour.value,
        item.insns,
        item.time_us,
        item.flaky,
        item.under.compiler,
        item.source,
        item.object,
    )


def _place(entry: Entry) -> tuple[int, KernelVersion, str]:
    record = entry.record
    version = record.under.version
    try:
        return entry.night.number, KernelVersion.parse(version), record.kernel
    except ValueError:
        return entry.night.number, KernelVersion(0, 0), record.kernel


def _entry(row: sqlite3.Row) -> Entry:
    answer = Answer(
        VerdictKind(row["verdict"]),
        Stage(row["stage"]) if row["stage"] else None,
        row["errno"],
        row["cause"],
        Behaviour(row["behaviour"]) if row["behaviour"] else None,
        Outcome(row["abnormal"]) if row["abnormal"] else None,
    )
    under = Circumstances(
        version=row["version"] or "",
        release=row["release"] or "",
        image=row["image"] or "",
        accel=row["accel"] or "",
        compiler=row["compiler"],
        harness=short(row["harness"]),
    )
    record = CaseRecord(
        row["name"], row["kernel"], answer, row["insns"], row["time_us"],
        row["source"], row["object"], bool(row["flaky"]), under=under,
    )  # fmt: skip
    return Entry(Night(row["number"], row["run"], row["start"], bool(row["clock_back"])), record)
