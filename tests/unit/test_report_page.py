"""What the matrix's page shows beside its run: nights, changes, the strip over the nights; and its size."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from plugin_support import REJECT, kernel_run, row, run_of

from harness.cli import main
from harness.model import Observation, ObservationStatus, Outcome, Run, Verdict, VerdictKind
from harness.nightly.strip import HEIGHT, NIGHTS, columns
from harness.nightly.types import NightRecord, Selection
from harness.record import runfile
from harness.record.changes import Attribution, Change, ChangeKind, Changes, Reason
from harness.record.compare import compare_runs
from harness.record.history import append, latest
from harness.record.snapshot import Answer, snapshot
from harness.report import Beside, htmlhistory, page
from harness.report.htmlchanges import compared, told
from harness.report.htmlhistory import mark_of, stretches
from harness.report.matrix import Mark
from harness.scenario import Behaviour

CASE = "programs/maps/size[1024-raw]@5.10"


def night(number: int, **changes: object) -> Run:
    run = run_of(row(**changes))
    kernel = dataclasses.replace(kernel_run(), version=f"5.10.{number}")
    return dataclasses.replace(
        run, id=f"night-{number}", start=f"2026-01-{number:02d}T01:00:00Z", kernels=(kernel,)
    )


def test_the_latest_nights_come_from_the_history(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    for number in range(1, 6):
        append(path, night(number))
    found = latest(path, 3)
    assert list(found) == [CASE]
    assert [entry.night.run for entry in found[CASE]] == ["night-3", "night-4", "night-5"]


def test_nights_with_one_answer_are_one_line_and_a_change_is_marked(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    for number, verdict in ((1, REJECT), (2, REJECT), (3, None), (4, None)):
        append(path, night(number, **({"verdict": verdict} if verdict else {})))
    now = night(5, verdict=REJECT)
    append(path, now)  # the night itself counts once
    shown = stretches(now.cases[0], now, now.kernels[0], latest(path, 14)[CASE])
    assert [(part.css, part.dates, part.releases, part.nights, part.at, part.changed) for part in shown] == [
        ("reject", "2026-01-05", "5.10.5", 1, 4, True),
        ("accept", "2026-01-03 – 2026-01-04", "5.10.3 – 5.10.4", 2, 2, True),
        ("reject", "2026-01-01 – 2026-01-02", "5.10.1 – 5.10.2", 2, 0, False),
    ]
    assert shown[0].answer == "reject at load with EACCES (bounds)"


def test_no_more_nights_are_shown_than_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "history.sqlite"
    for number in range(1, 10):
        append(path, night(number))
    now = night(10)
    monkeypatch.setattr(htmlhistory, "NIGHTS", 4)
    (shown,) = stretches(now.cases[0], now, now.kernels[0], latest(path, 14)[CASE])
    assert (shown.nights, shown.dates) == (4, "2026-01-07 – 2026-01-10")


@pytest.mark.parametrize(
    ("answer", "mark"),
    [
        (Answer(VerdictKind.ACCEPT), Mark.ACCEPT),
        (Answer(VerdictKind.ACCEPT, behaviour=Behaviour.MISBEHAVES), Mark.MISBEHAVES),
        (Answer(VerdictKind.REJECT), Mark.REJECT),
        (Answer(VerdictKind.NONE), Mark.NOT_RUN),
        (Answer(VerdictKind.NONE, abnormal=Outcome.CRASH), Mark.CRASH),
        (Answer(VerdictKind.ACCEPT, abnormal=Outcome.SPLAT), Mark.SPLAT),
    ],
)
def test_a_recorded_answer_looks_as_in_the_grid(answer: Answer, mark: Mark) -> None:
    assert mark_of(answer) is mark


def change(kernel: str, *, regression: bool = True, flaky: bool = False) -> Change:
    reasons = (Reason(Attribution.KERNEL, "6.1.1 → 6.1.2"),)
    return Change(
        ChangeKind.NEW_REJECTION, "p[v]", kernel, "accept", "reject", regression, reasons, flaky=flaky
    )


def test_a_difference_on_several_kernels_is_one_line_and_told_once() -> None:
    first = Changes("baseline", "now", (change("6.1"), change("6.12"), change("7.3", flaky=True)), 5)
    second = Changes("yesterday", "now", (change("6.1"), change("5.10", regression=False)), 4)
    one, other = compared((first, second), {"p[v]@6.1": "r0k1"})
    assert [(section.css, section.number) for section in one.sections] == [("worse", 2), ("flaky", 1)]
    (line,) = one.sections[0].lines
    assert line.kernels == (("6.1", "r0k1"), ("6.12", ""))
    assert line.why == "kernel release changed: 6.1.1 → 6.1.2"
    assert [(section.css, section.number) for section in other.sections] == [("other", 1)]
    assert (one.repeated, other.repeated) == (0, 1)


def test_the_gravest_difference_marks_the_cell() -> None:
    found = told((Changes("a", "b", (change("6.1", flaky=True),)), Changes("c", "b", (change("6.1"),))))
    assert found["p[v]@6.1"].css == "worse"
    assert [words.partition(":")[0] for words in found["p[v]@6.1"].words] == [
        "new rejection since a",
        "new rejection since c",
    ]


def test_a_long_list_is_cut_and_counted() -> None:
    many = tuple(dataclasses.replace(change("6.1"), case=f"p[{number}]") for number in range(160))
    (one,) = compared((Changes("a", "b", many),), {})
    assert (len(one.sections[0].lines), one.sections[0].more, one.sections[0].number) == (150, 10, 160)


def test_nothing_different_is_said() -> None:
    run = night(1)
    text = page(run, Beside((compare_runs(snapshot(run, "yesterday"), run),)))
    assert "Since yesterday <small>1 cases compared, no difference</small>" in text
    assert 'id="changed">' in text  # and not disabled


def test_a_matrix_that_is_too_large_loses_the_middle_of_its_longest_logs() -> None:
    def case(number: int, size: int) -> object:
        seen = Observation(ObservationStatus.FAILED, verifier_log="0: (b7) r0 = 0\n" * size + "the end\n")
        return row(variant=f"v{number}", id=f"programs/maps/size[v{number}]@5.10", observation=seen)

    cases = [case(0, 600_000), case(1, 5)]
    text = page(dataclasses.replace(night(1), cases=tuple(cases)), Beside())  # type: ignore[arg-type]
    assert 4_000_000 < len(text.encode()) <= 6_000_000
    (omitted,) = re.findall(r"&#8230; (\d+) lines omitted here", text)
    assert text.count("0: (b7) r0 = 0") == 600_005 - int(omitted)
    assert text.count("the end") == 2


def record(number: int, *, worse: int = 0, flaky: int = 0, other: int = 0, status: int = 0) -> NightRecord:
    name = f"2026-01-{number:02}"
    return NightRecord(
        name, number, name, name, name, status, Selection(), (), 10, worse, worse + flaky + other, flaky
    )


def test_the_strip_has_a_column_for_each_of_the_latest_nights() -> None:
    records = [record(3, worse=2, flaky=1, other=5), record(2, status=3), record(1)]
    first, second, third = columns(records)
    assert [column.night for column in (first, second, third)] == ["2026-01-01", "2026-01-02", "2026-01-03"]
    assert [part.css for part in (*first.parts, *second.parts)] == ["none", "broken"]
    assert [part.css for part in third.parts] == ["worse", "flaky", "other"]
    assert all(part.top >= 0 and part.top + part.height <= HEIGHT for part in third.parts)
    assert third.words == "2026-01-03: 2 worse, 8 differences, 1 flaky"
    assert len(columns([record(1)] * (NIGHTS + 5))) == NIGHTS
    assert columns(()) == ()


def test_report_shows_an_older_run_and_the_nights_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    old, new = night(1), night(2, verdict=Verdict(VerdictKind.REJECT, errno="EPERM"))
    for run in (old, new):
        runfile.write(run, Path(f"{run.id}.json"))
        append(Path("history.sqlite"), run)
    command = ["report", "night-2.json", "--format", "html", "--before", "night-1.json"]
    assert main([*command, "--history", "history.sqlite", "-o", "m.html"]) == 0
    text = Path("m.html").read_text()
    assert "Since night-1.json" in text
    assert "2 nights, the latest first" in text
    capsys.readouterr()
    assert main(["report", "night-2.json", "--before", "night-1.json"]) == 2
    assert "go with a run and --format html" in capsys.readouterr().err
