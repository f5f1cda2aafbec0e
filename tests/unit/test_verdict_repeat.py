from __future__ import annotations

from dataclasses import replace

from plugin_support import ACCEPT, REJECT, kernel_run, rejected, row, run_of

from harness.cli.common import exit_status
from harness.model import Outcome, Stage, Verdict, VerdictKind
from harness.record.codec import case_from_json, case_to_json
from harness.report import render, terminal
from harness.scenario import Behaviour
from harness.summary import next_command, summary
from harness.verdict.repeat import merged


def test_equal_answers_are_one_row() -> None:
    rows = [row(), row(), row()]
    assert merged(rows) == rows[0]
    assert not merged(rows).flaky


def test_another_verdict_is_flaky_and_every_answer_is_kept() -> None:
    made = merged([row(), rejected(), row()])
    assert made.flaky
    assert made.outcome is Outcome.FLAKY
    assert made.verdict == ACCEPT  # the first one's
    assert made.answers == ("accept", "reject at load with EACCES", "accept")
    assert made.reason == "3 runs gave different answers: 2 x accept, 1 x reject at load with EACCES"


def test_stage_errno_and_behaviour_count() -> None:
    for other in (replace(REJECT, stage=Stage.OPEN), replace(REJECT, errno="EINVAL")):
        assert merged([rejected(), rejected(verdict=other)]).flaky
    behaves = row(behaviour=Behaviour.BEHAVES)
    made = merged([behaves, replace(behaves, behaviour=Behaviour.MISBEHAVES)])
    assert made.answers == ("accept, behaves", "accept, misbehaves")


def test_a_crash_is_an_answer() -> None:
    dead = row(verdict=Verdict(VerdictKind.NONE, abnormal=Outcome.CRASH), outcome=Outcome.CRASH)
    assert merged([row(), dead]).answers == ("accept", "crash")
    assert merged([dead, dead]).outcome is Outcome.CRASH


def test_no_answer_says_nothing() -> None:
    none = row(verdict=Verdict(VerdictKind.NONE), outcome=Outcome.NOT_RUN, reason="no guest")
    assert merged([none, none]) == none
    assert merged([none, row()]) == row()
    assert merged([row(), none]) == row()


def test_a_message_that_changes_is_not_flaky_but_seen() -> None:
    changed = row(outcome=Outcome.CHANGED, reason="another message")
    assert merged([row(), changed, row()]) == changed


def test_a_flaky_case_is_visible_everywhere() -> None:
    flaky = merged([row(), rejected()])
    run = run_of(flaky, row("other"), kernels=(kernel_run(),))
    assert exit_status(run) == 1
    assert "1 flaky" in " ".join(summary(run))
    assert "2 cases on 1 kernel, 2 times each: " in " ".join(summary(replace(run, repeat=2)))
    assert "--repeat 2" in (next_command(run) or "")
    words = terminal(run)
    assert "✓~" in words
    assert "~ programs/maps/size[1024-raw]@5.10: 2 runs gave different answers" in words
    assert "1 flaky" in words.replace("\n", " ")
    assert "**✓ ~**" in render(run, "markdown")
    assert "- ~ `1024-raw` on 5.10.1: 2 runs gave different answers" in render(run, "markdown")
    assert "✓~" in render(run, "html")
    assert 'type="flaky"' in render(run, "junit")


def test_a_run_file_says_it() -> None:
    raw = case_to_json(merged([row(), rejected()]))
    assert raw["flaky"] is True
    assert raw["answers"] == ["accept", "reject at load with EACCES"]
    assert case_from_json(raw).flaky
    assert case_to_json(row())["flaky"] is False
    raw = case_to_json(row())
    del raw["flaky"], raw["answers"]  # a file of an earlier version
    assert case_from_json(raw) == row()
