"""The last lines of a run."""

from __future__ import annotations

from plugin_support import kernel_run, rejected, row, run_of

from harness.cli.common import INTERRUPTED, exit_status
from harness.model import Outcome, Stage, Verdict, VerdictKind
from harness.summary import next_command, summary
from harness.verdict.causes import UNCLASSIFIED

NOT_RUN = row(variant="2", outcome=Outcome.NOT_RUN, verdict=Verdict(VerdictKind.NONE), reason="no guest")
MISSING = kernel_run("5.4", release="", problem="cannot be had: offline", boot_seconds=None)
BROKEN = kernel_run("6.1", problem="never became ready", boot_seconds=None)


def test_counts_per_kernel_and_over_all() -> None:
    lines = list(summary(run_of(row(), rejected(variant="2"), NOT_RUN, kernels=(MISSING, kernel_run()))))
    assert lines[0] == "5.4   not run: no cases"
    assert lines[1] == "5.10  restored in 1.0 s (tcg): 1 accepted, 1 rejected; 1 unexpected, 1 not run"
    assert lines[2].startswith("3 cases on 2 kernels: 1 accepted, 1 rejected; 1 unexpected, 1 not run")


def test_rejections_no_rule_knows_are_counted() -> None:
    unknown = Verdict(VerdictKind.REJECT, Stage.LOAD, "EXDEV", UNCLASSIFIED, "the moon is full")
    lines = list(summary(run_of(row(), rejected(variant="2"), rejected(variant="3", verdict=unknown))))
    assert lines[0].endswith(": 1 accepted, 2 rejected (1 unclassified); 2 unexpected")
    assert "2 rejected (1 unclassified)" in lines[-1]


def test_says_that_a_run_was_interrupted() -> None:
    assert list(summary(run_of(row(), partial=True)))[-1].endswith("(interrupted: more was planned)")


def test_one_case_is_not_cases() -> None:
    assert list(summary(run_of(row())))[-1].startswith("1 case on 1 kernel: ")


def test_next_command_shows_the_first_difference_alone() -> None:
    run = run_of(row(), NOT_RUN, rejected(variant="9"))
    assert next_command(run) == "bpfmatrix run --kernel 5.10 --clang clang-19 -k 'programs/maps/size[9]'"
    assert next_command(run, ["--clang=x"]) == "pytest --clang=x 'programs/maps/size[9]@5.10'"


def test_next_command_for_a_broken_kernel_and_for_none() -> None:
    assert next_command(run_of(NOT_RUN, kernels=(BROKEN,))) == "bpfmatrix shell 6.1"
    assert next_command(run_of(row())) is None


def test_exit_status() -> None:
    assert exit_status(run_of(row(), row(variant="2", outcome=Outcome.NO_EXPECTATION))) == 0
    assert exit_status(run_of(row(), rejected())) == 1
    assert exit_status(run_of(row(outcome=Outcome.CRASH))) == 1
    assert exit_status(run_of(NOT_RUN)) == 1, "not run on a kernel that is there: never fine"
    assert exit_status(run_of(row(), kernels=(kernel_run(), BROKEN))) == 3
    assert exit_status(run_of(row(), partial=True)) == INTERRUPTED


def test_a_kernel_skipped_on_request_is_no_failure() -> None:
    left_out = row(kernel="5.4", outcome=Outcome.NOT_RUN, verdict=Verdict(VerdictKind.NONE))
    assert exit_status(run_of(row(), left_out, kernels=(MISSING, kernel_run()))) == 0
