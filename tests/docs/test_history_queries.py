"""The queries of docs/history.md run as they stand, on a history whose answers are known."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from harness.model import (
    CaseResult,
    KernelRun,
    Observation,
    ObservationStatus,
    Outcome,
    Run,
    Stage,
    Verdict,
    VerdictKind,
)
from harness.record.history import append

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "history.md"
CASE = "programs/maps/ringbuf_size[4096-raw]"
REJECT = Verdict(VerdictKind.REJECT, Stage.LOAD, "EINVAL", "x")
ACCEPT = Verdict(VerdictKind.ACCEPT)


def night(number: int, verdict: Verdict, insns: int) -> Run:
    seen = Observation(ObservationStatus.LOADED, insns_processed=insns)
    name = CASE.partition("[")[0]
    cases = [
        CaseResult(f"{CASE}@6.12", name, "4096-raw", "6.12", None, "raw", verdict, Outcome.AS_EXPECTED),
        CaseResult("p[steady]@6.12", "p", "steady", "6.12", None, "raw", ACCEPT, Outcome.AS_EXPECTED),
    ]
    version = f"6.12.{number}"
    kernel = KernelRun("6.12", version, f"{version}-amd64", version, "debian", "0")
    start = f"2026-01-0{number}T01:00:00Z"
    rows = tuple(replace(case, observation=seen if case.program == name else None) for case in cases)
    return Run(f"n{number}", start, start, "host", {}, (kernel,), rows)


def queries() -> list[str]:
    return re.findall(r"^```sql\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[list[tuple[object, ...]]]:
    path = tmp_path_factory.mktemp("history") / "history.sqlite"
    for number, (verdict, insns) in enumerate([(ACCEPT, 100), (ACCEPT, 150), (REJECT, 300)], 1):
        append(path, night(number, verdict, insns))
    with closing(sqlite3.connect(path)) as connection:
        return [connection.execute(query).fetchall() for query in queries()]


def test_there_are_three() -> None:
    assert len(queries()) == 3


def test_what_is_another_answer_than_the_night_before(answers: list[list[tuple[object, ...]]]) -> None:
    assert answers[0] == [(CASE, "6.12", "6.12.2", "accept", None, "6.12.3", "reject", "EINVAL")]


def test_what_grew(answers: list[list[tuple[object, ...]]]) -> None:
    assert answers[1] == [(CASE, "6.12", 100, 300, 3)]


def test_since_when_it_is_accepted(answers: list[list[tuple[object, ...]]]) -> None:
    assert answers[2] == [(CASE, "6.12", "6.12.1", "2026-01-01T01:00:00Z")]
