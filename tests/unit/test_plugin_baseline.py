"""`pytest --baseline`: regressions fail, whatever the manifests expect. Guests are stand-ins."""

from __future__ import annotations

from pathlib import Path

import pytest
from plugin_fakes import CLANG
from test_plugin_session import Run, add_program, project, run, run_apart  # noqa: F401 - fixtures

from harness.record.baseline import baseline_path, plan_update, write_update
from harness.record.runfile import read

BASELINE = Path("reports/baseline")


def accepted() -> None:
    """Move the baseline to the run that was written last."""
    write_update(plan_update(BASELINE, read(Path("reports/run.json"))))


def lines() -> list[str]:
    return baseline_path(BASELINE, "5.10").read_text().splitlines()


def put(old: str, new: str) -> None:
    path = baseline_path(BASELINE, "5.10")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture
def measured(run: Run) -> Run:  # noqa: F811
    """A project whose baseline is what the stand-ins answer: one case is rejected, against its manifest."""
    run("--kernel", "5.10").assert_outcomes(passed=3, failed=1)
    accepted()
    return run


def test_what_the_baseline_says_passes_whatever_is_expected(measured: Run) -> None:
    result = measured("--kernel", "5.10", "--baseline")
    result.assert_outcomes(passed=4)
    assert result.ret == 0


def test_a_regression_fails_and_says_what_else_changed(measured: Run) -> None:
    put("reject/load/EACCES", "accept")
    put("clang-19 19.1.7", "clang-19 18.0.0")
    result = measured("--kernel", "5.10", "--baseline")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        [
            "new rejection: accept* → reject at load with EACCES (bounds)",
            f"  why?      compiler changed: clang-19 18.0.0 → {CLANG.name} {CLANG.version}",
            "  again:    pytest --baseline 'programs/family/two[[]reject[]]@5.10'",
            "  meant?    bpfmatrix baseline update --kernel 5.10 -k 'two[[]reject[]]'",
        ]
    )
    assert result.ret == 1


def test_what_got_better_passes(measured: Run) -> None:
    (line,) = [line for line in lines() if "two[accept]" in line]
    put(line, line.replace("accept ", "reject/load/EPERM ", 1).replace("two[reject/load/EPERM", "two[accept"))
    measured("--kernel", "5.10", "--baseline", "-k", "two and accept").assert_outcomes(passed=1)


def test_a_new_case_passes(measured: Run) -> None:
    add_program(Path(), "family/three", "reject", "N03")
    measured("--kernel", "5.10", "--baseline").assert_outcomes(passed=5)


def test_a_missing_case_is_a_regression_where_everything_was_asked_for(measured: Run) -> None:
    for file in Path("programs/family").glob("one.*"):
        file.unlink()
    result = measured("--kernel", "5.10", "--baseline")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["case missing (regression): programs/family/one[[]accept[]]@5.10"])
    assert result.ret == 1
    assert measured("--kernel", "5.10", "--baseline", "-k", "two").ret == 0
    assert measured("--baseline", "programs/family/two[accept]@5.10").ret == 0


def test_a_kernel_without_a_baseline_is_refused_before_anything_is_booted(measured: Run) -> None:
    Path("events").unlink()
    result = measured("--kernel", "6.1", "--baseline")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*there is no baseline of kernel 6.1*", "*bpfmatrix baseline update*"])
    assert "start 6.1" not in Path("events").read_text()


def test_workers_compare_as_well(project: Path, run_apart: Run) -> None:  # noqa: F811
    run_apart("--kernel", "5.10")
    accepted()
    assert run_apart("--kernel", "5.10", "--baseline", "-n", "2").ret == 0
    put("reject/load/EACCES", "accept")
    result = run_apart("--kernel", "5.10", "--baseline", "-n", "2")
    result.assert_outcomes(passed=3, failed=1)
    assert result.ret == 1
