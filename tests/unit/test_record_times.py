"""Which times count as grown: not those of the same work, and not where everything takes longer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from plugin_support import kernel_run, row, run_of

from harness.model import CaseResult, Observation, ObservationStatus, Run
from harness.record.changes import Changes
from harness.record.compare import compare_runs


def case(name: str, milliseconds: int, insns: int = 5, made: str = "ab" * 32) -> CaseResult:
    seen = Observation(ObservationStatus.LOADED, insns_processed=insns, kernel_time_us=milliseconds * 1000)
    return row(id=f"p[{name}]@5.10", variant=name, observation=seen, object_sha256=made)


def run(*cases: CaseResult, image: str = "12" * 32, others: int = 1) -> Run:
    """A run of these cases, and of ten that took `others` times 100 ms."""
    rest = [case(f"other{number}", 100 * others) for number in range(10)]
    return run_of(*cases, *rest, kernels=(kernel_run(sha256=image),))


def worse(found: Changes) -> list[str]:
    return [change.case for change in found.regressions]


def test_the_same_work_is_never_worse_and_is_listed() -> None:
    found = compare_runs(run(case("a", 3000)), run(case("a", 9000)))
    assert [(change.case, change.regression) for change in found.changes] == [("p[a]", False)]
    assert found.changes[0].after == "9,000.0 ms (+200%) for the same work: the machine"


@pytest.mark.parametrize(
    ("after", "image"),
    [
        (case("a", 9000), "34" * 32),
        (case("a", 9000, made="cd" * 32), "12" * 32),
        (case("a", 9000, insns=6), "12" * 32),
    ],
    ids=["another kernel", "another object", "more instructions"],
)
def test_other_work_that_takes_longer_is_worse(after: CaseResult, image: str) -> None:
    assert worse(compare_runs(run(case("a", 3000)), run(after, image=image))) == ["p[a]"]


@pytest.mark.parametrize(("milliseconds", "expected"), [(9000, []), (16_000, ["p[a]"])])
def test_where_everything_takes_longer_a_case_is_worse_beyond_that(
    milliseconds: int, expected: list[str]
) -> None:
    found = compare_runs(run(case("a", 3000)), run(case("a", milliseconds), image="34" * 32, others=3))
    assert worse(found) == expected
    assert found.notes[-1].startswith("5.10: everything took 3.0 times as long, so the machine was slower")


def test_a_faster_machine_makes_nothing_worse() -> None:
    before, after = run(case("a", 3000), others=3), run(case("a", 4000), image="34" * 32)
    found = compare_runs(before, after)
    assert found.changes == ()
    assert not any("everything" in note for note in found.notes)


def test_kernels_of_different_names_are_compared_as_they_are() -> None:
    """6.12 may well take longer than 6.1 for everything: that is what was asked."""
    new = run_of(
        *(case(f"other{number}", 9000) for number in range(10)),
        kernels=(kernel_run(name="6.12", sha256="34" * 32),),
    )
    moved = run_of(
        *(replace(c, id=c.id.replace("@5.10", "@6.12"), kernel="6.12") for c in new.cases),
        kernels=new.kernels,
    )
    assert len(worse(compare_runs(run(), moved))) == 10
