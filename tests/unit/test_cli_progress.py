"""What is shown while a run goes on."""

from __future__ import annotations

import io

import pytest
from plugin_support import kernel_run, rejected, row
from rich.console import Console

from harness.kernels.progress import Progress as FetchProgress
from harness.model import Outcome
from harness.progress import RunProgress, State, clock, fetch_text, ready_text


def test_counts_and_estimates() -> None:
    state = State(total=10)
    assert state.seconds_left(0.0) is None
    for second, result in enumerate((row(), rejected(variant="2"), row(variant="3"))):
        state.count(result, float(second))
    assert (state.done, state.rejected, state.differing) == (3, 1, 1)
    assert state.seconds_left(2.0) == pytest.approx(7.0), "two cases in two seconds, seven to go"
    assert state.line(2.0) == "3/10 cases, 1 rejected, 1 not as expected, 7 s left"


def test_before_the_cases_are_planned_it_builds() -> None:
    assert State(built=(3, 9)).line(0.0) == "building 3/9"


def test_words() -> None:
    assert clock(59.4) == "59 s"
    assert clock(185) == "3:05 min"
    assert ready_text(kernel_run(boot_seconds=4.12, restored=False)) == "ready in 4.1 s (tcg)"
    assert ready_text(kernel_run(boot_seconds=0.18)) == "ready in 0.2 s (tcg, restored)"
    assert fetch_text(FetchProgress("5.10", "unpack")) == "unpack"
    assert fetch_text(FetchProgress("5.10", "download x", 5 << 20, 10 << 20)) == "download x: 5 of 10 MiB"
    assert fetch_text(FetchProgress("5.10", "download x", 5 << 20)) == "download x: 5 MiB"


def _whole_run(console: Console) -> None:
    with RunProgress(console) as progress:
        progress.fetch_report(FetchProgress("5.10", "download x", 0, 10))
        progress.fetch_report(FetchProgress("5.10", "download x", 5, 10))
        progress.building(1, 2)
        progress.building(2, 2)
        progress.planned(3)
        progress.booting("5.10")
        progress.ready(kernel_run())
        progress.case_done(row())
        progress.case_done(rejected(variant="2"))
        progress.kernel_failed("6.1", "it never [became] ready")
        progress.case_done(rejected(kernel="6.1", outcome=Outcome.NOT_RUN, reason="no guest"))


def test_plain_lines_without_a_terminal() -> None:
    out = io.StringIO()
    _whole_run(Console(file=out, width=40, highlight=False))
    assert out.getvalue().splitlines() == [
        "5.10: download x",
        "2 objects built",
        "3 cases planned",
        "5.10: starting its guest",
        "5.10: 5.10.1-amd64 ready in 1.0 s (tcg, restored)",
        "programs/maps/size[2]@5.10: unexpected: expected accept",
        "6.1: it never [became] ready",
    ]


def test_an_occasional_line_while_cases_go_by(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("harness.progress.time.monotonic", lambda: now[0])
    out = io.StringIO()
    progress = RunProgress(Console(file=out, width=100, highlight=False))
    progress.planned(100)
    for number in range(25):
        now[0] += 1
        progress.case_done(row(variant=str(number)))
    lines = out.getvalue().splitlines()
    assert lines[1:] == ["10/100 cases, 0 rejected, 1:30 min left", "20/100 cases, 0 rejected, 1:20 min left"]


def test_a_terminal_gets_a_display_that_leaves_no_trace() -> None:
    out = io.StringIO()
    _whole_run(Console(file=out, force_terminal=True, width=100, highlight=False))
    text = out.getvalue()
    assert "3/3 cases, 2 rejected, 2 not as expected" in text
    assert "5.10.1-amd64 ready in 1.0 s (tcg, restored)" in text
    assert "\x1b[2K" in text, "the display is erased"
    assert "2 objects built" not in text


def test_cases_that_are_run_again_come_on_top() -> None:
    out = io.StringIO()
    progress = RunProgress(Console(file=out, width=100, highlight=False))
    for number in (2, 1):
        progress.planned(number)
        for _ in range(number):
            progress.case_done(row())
    assert out.getvalue().splitlines() == ["2 cases planned", "1 more cases planned"]
    assert progress.state.line(0.0).startswith("3/3 cases")
