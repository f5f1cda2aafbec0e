"""What differs between two measurements, what of it is worse, and what it is attributed to."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plugin_support import ACCEPT, REJECT, kernel_run, row, run_of

from harness.model import (
    HOST,
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
from harness.record.changes import Attribution, ChangeKind, Changes, Thresholds
from harness.record.compare import compare_runs
from harness.scenario import Behaviour

NONE = Verdict(VerdictKind.NONE)
CRASH = Verdict(VerdictKind.NONE, abnormal=Outcome.CRASH)
HANG = Verdict(VerdictKind.NONE, abnormal=Outcome.HANG)
OTHER = replace(REJECT, errno="EINVAL")


def case(verdict: Verdict = ACCEPT, behaviour: Behaviour | None = None, **changes: object) -> CaseResult:
    fine = Outcome.NOT_RUN if verdict == NONE else Outcome.AS_EXPECTED
    return row(**{"verdict": verdict, "behaviour": behaviour, "outcome": fine, **changes})


def seen(insns: int | None = None, time_us: int | None = None) -> Observation:
    return Observation(ObservationStatus.LOADED, insns_processed=insns, kernel_time_us=time_us)


def change_of(before: CaseResult, after: CaseResult) -> tuple[ChangeKind, bool] | None:
    found = compare_runs(run_of(before), run_of(after)).changes
    assert len(found) <= 1
    return (found[0].kind, found[0].regression) if found else None


@pytest.mark.parametrize(
    ("before", "after", "kind", "worse"),
    [
        (case(), case(REJECT), ChangeKind.NEW_REJECTION, True),
        (case(REJECT), case(), ChangeKind.NEWLY_ACCEPTED, False),
        (case(REJECT), case(behaviour=Behaviour.MISBEHAVES), ChangeKind.NEWLY_ACCEPTED, True),
        (case(REJECT), case(OTHER), ChangeKind.OTHER_CAUSE, False),
        (case(REJECT), case(replace(REJECT, cause="stack")), ChangeKind.OTHER_CAUSE, False),
        (case(REJECT), case(replace(REJECT, stage=Stage.ATTACH)), ChangeKind.OTHER_CAUSE, False),
        (
            case(behaviour=Behaviour.BEHAVES),
            case(behaviour=Behaviour.MISBEHAVES),
            ChangeKind.BEHAVIOUR,
            True,
        ),
        (case(behaviour=Behaviour.BEHAVES), case(), ChangeKind.BEHAVIOUR, True),
        (
            case(behaviour=Behaviour.MISBEHAVES),
            case(behaviour=Behaviour.BEHAVES),
            ChangeKind.BEHAVIOUR,
            False,
        ),
        (case(), case(NONE), ChangeKind.NOT_RUN, True),
        (case(REJECT), case(NONE), ChangeKind.NOT_RUN, True),
        (case(), case(CRASH), ChangeKind.CRASH, True),
        (case(REJECT), case(HANG), ChangeKind.HANG, True),
        (case(CRASH), case(HANG), ChangeKind.HANG, True),
        (case(CRASH), case(REJECT), ChangeKind.OTHER_CAUSE, False),
        (case(HANG), case(), ChangeKind.NEWLY_ACCEPTED, False),
        (case(NONE), case(), ChangeKind.CASE_NEW, False),
        (case(NONE), case(CRASH), ChangeKind.CRASH, True),
    ],
)
def test_what_an_answer_became(before: CaseResult, after: CaseResult, kind: ChangeKind, worse: bool) -> None:
    assert change_of(before, after) == (kind, worse)


def test_a_message_alone_is_no_change() -> None:
    assert change_of(case(REJECT), case(replace(REJECT, message="other words"))) is None


verdicts = st.sampled_from([ACCEPT, REJECT, OTHER, CRASH, HANG, NONE])
behaviours = st.sampled_from([None, *Behaviour])


@st.composite
def runs(draw: st.DrawFn) -> Run:
    names = draw(st.lists(st.sampled_from(["a", "b", "c", "12288-raw"]), unique=True))
    cases = []
    for name in names:
        verdict = draw(verdicts)
        behaviour = draw(behaviours) if verdict == ACCEPT else None
        insns = draw(st.none() | st.integers(0, 1_000_000))
        cases.append(case(verdict, behaviour, variant=name, id=f"p[{name}]@5.10", observation=seen(insns)))
    return run_of(*cases)


@settings(deadline=None)
@given(runs())
def test_nothing_differs_from_itself(run: Run) -> None:
    assert compare_runs(run, run).changes == ()


@settings(deadline=None)
@given(runs(), runs())
def test_an_answer_that_is_lost_or_worse_never_passes(before: Run, after: Run) -> None:
    """What was accepted is accepted still, or there is a regression of that case."""
    worse = {change.id for change in compare_runs(before, after).regressions}
    now = {item.id: item for item in after.cases}
    for old in before.cases:
        new = now.get(old.id)
        if old.verdict == ACCEPT and (new is None or new.verdict != ACCEPT):
            assert old.id in worse
        if new is not None and new.verdict.abnormal is not None and new.verdict != old.verdict:
            assert new.id in worse


@settings(deadline=None)
@given(st.integers(0, 2_000_000), st.integers(0, 2_000_000))
def test_instructions_count_beyond_both_thresholds(before: int, after: int) -> None:
    found = change_of(case(observation=seen(before)), case(observation=seen(after)))
    grown = after - before >= 1000 and after > before * 1.2
    shrunk = before - after >= 1000 and before > after * 1.2
    assert found == ((ChangeKind.INSNS, grown) if grown or shrunk else None)


def test_thresholds_can_be_others() -> None:
    before, after = run_of(case(observation=seen(100, 5000))), run_of(case(observation=seen(103, 5100)))
    assert compare_runs(before, after).changes == ()
    found = compare_runs(before, after, Thresholds(1, 1, 1, 1)).changes
    assert [(change.kind, change.before, change.after) for change in found] == [
        (ChangeKind.INSNS, "100 instructions", "103 instructions (+3%)"),
        (ChangeKind.TIME, "5.0 ms", "5.1 ms (+2%)"),
    ]


def test_times_under_emulation_and_without_are_not_compared() -> None:
    before = run_of(case(observation=seen(1, 9_000_000)))
    after = run_of(case(observation=seen(1, 90_000_000)), kernels=(kernel_run(accel="kvm"),))
    assert compare_runs(before, after).changes == ()
    assert [
        change.kind for change in compare_runs(before, replace(after, kernels=before.kernels)).changes
    ] == [ChangeKind.TIME]


def test_missing_and_new_cases() -> None:
    found = compare_runs(run_of(case(), case(variant="x", id="p[x]@5.10")), run_of(case(id="q[y]@5.10")))
    assert [(change.kind, change.id, change.regression) for change in found.changes] == [
        (ChangeKind.CASE_MISSING, "programs/maps/size[1024-raw]@5.10", True),
        (ChangeKind.CASE_MISSING, "p[x]@5.10", True),
        (ChangeKind.CASE_NEW, "q[y]@5.10", False),
    ]
    assert found.exit_status == 1


def test_an_interrupted_run_misses_nothing_and_says_so() -> None:
    found = compare_runs(run_of(case()), run_of(partial=True))
    assert found.changes == ()
    assert "was interrupted" in found.notes[0]


def test_a_kernel_that_could_not_be_had_is_no_regression_of_the_programs_and_not_green() -> None:
    broken = (kernel_run(problem="it never became ready\nmore"),)
    found = compare_runs(run_of(case()), run_of(case(NONE), kernels=broken))
    assert [(change.kind, change.id, change.after) for change in found.changes] == [
        (ChangeKind.KERNEL_MISSING, "5.10", "it never became ready")
    ]
    assert (found.regressions, found.broken, found.exit_status) == ((), True, 3)


def test_a_regression_before_the_guest_broke_counts() -> None:
    broken = (kernel_run(problem="it died"),)
    found = compare_runs(run_of(case()), run_of(case(REJECT), kernels=broken))
    assert found.exit_status == 1


def test_a_kernel_nobody_asked_any_more_is_a_regression_and_a_new_one_is_not() -> None:
    both = (kernel_run("5.10"), kernel_run("6.1"))
    found = compare_runs(run_of(kernels=both), run_of(kernels=(kernel_run("6.1"), kernel_run("6.12"))))
    assert [(change.kind, change.id, change.regression) for change in found.changes] == [
        (ChangeKind.KERNEL_MISSING, "5.10", True),
        (ChangeKind.KERNEL_NEW, "6.12", False),
    ]


def test_two_kernels_of_the_same_run() -> None:
    both = (kernel_run("6.1"), kernel_run("6.12"))
    run = run_of(case(REJECT, kernel="6.1"), case(kernel="6.12"), kernels=both)
    found = compare_runs(run, run, kernels={"6.1": "6.12"})
    (change,) = found.changes
    assert (change.kind, change.kernel_before, change.kernel) == (ChangeKind.NEWLY_ACCEPTED, "6.1", "6.12")
    assert change.attribution == (Attribution.KERNEL,)


def test_the_only_kernels_are_compared_whatever_their_names() -> None:
    before = run_of(case(kernel="6.1"), kernels=(kernel_run("6.1"),))
    after = run_of(case(REJECT, kernel="6.12"), kernels=(kernel_run("6.12"),))
    assert compare_runs(before, after).kernels == (("6.1", "6.12"),)
    assert compare_runs(before, after).exit_status == 1


def test_ids_with_a_compiler_and_without_meet() -> None:
    tools = {"clang-14": "14.0.6", "clang-19": "19.1.7"}
    one = replace(run_of(case()), tools=tools)
    several = replace(
        run_of(
            case(REJECT, id="programs/maps/size[1024-raw+clang-19]@5.10"),
            case(id="programs/maps/size[1024-raw+clang-14]@5.10", compiler="clang-14"),
        ),
        tools=tools,
    )
    found = compare_runs(one, several)
    assert [(change.kind, change.case) for change in found.changes] == [
        (ChangeKind.NEW_REJECTION, "programs/maps/size[1024-raw+clang-19]"),
        (ChangeKind.CASE_NEW, "programs/maps/size[1024-raw+clang-14]"),
    ]


def test_a_row_of_the_host_without_its_compiler_is_infrastructure() -> None:
    before, after = run_of(case(kernel=HOST), kernels=()), run_of(case(NONE, kernel=HOST), kernels=())
    found = compare_runs(before, after)
    assert [(change.kind, change.infrastructure) for change in found.changes] == [(ChangeKind.NOT_RUN, True)]
    assert found.exit_status == 3


def flaky(*answers: str) -> CaseResult:
    return case(outcome=Outcome.FLAKY, answers=answers)


def test_a_case_that_became_flaky_is_listed_and_no_regression() -> None:
    found = compare_runs(run_of(case()), run_of(flaky("accept", "reject")))
    assert [(change.kind, change.flaky) for change in found.changes] == [(ChangeKind.FLAKY, True)]
    assert found.exit_status == 0
    assert compare_runs(run_of(flaky("a", "b")), run_of(flaky("b", "a"))).changes == ()


KERNEL = kernel_run("6.12", version="6.12.116", release="6.12.116-amd64", libbpf="1.1")


def measured(verdict: Verdict, kernel: KernelRun = KERNEL, **changes: object) -> Run:
    known = {"kernel": "6.12", "source_sha256": "a" * 64, "object_sha256": "b" * 64, **changes}
    tools = {"clang-19": known.pop("clang", "19.1.7"), "qemu": known.pop("qemu", "QEMU 7.2")}
    harness = known.pop("harness", "h1")
    return replace(run_of(case(verdict, **known), kernels=(kernel,)), tools=tools, harness=harness)


def reasons(after: Run) -> list[str]:
    (change,) = compare_runs(measured(ACCEPT), after).changes
    return [str(reason) for reason in change.reasons]


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (measured(REJECT), ["nothing known changed"]),
        (
            measured(REJECT, replace(KERNEL, version="6.12.117", release="6.12.117-amd64")),
            ["kernel release changed: 6.12.116 → 6.12.117"],
        ),
        (
            measured(REJECT, replace(KERNEL, sha256="11")),
            ["kernel release changed: another image of 6.12.116"],
        ),
        (
            measured(REJECT, clang="19.1.8", object_sha256="c" * 64),
            ["compiler changed: clang-19 19.1.7 → clang-19 19.1.8"],
        ),
        (
            measured(REJECT, source_sha256="d" * 64, object_sha256="c" * 64),
            ["program source changed: aaaaaaaaaaaa → dddddddddddd"],
        ),
        (
            measured(REJECT, object_sha256="c" * 64),
            ["program source changed: its object differs: a header it includes"],
        ),
        (
            measured(REJECT, replace(KERNEL, libbpf="1.5"), harness="h2"),
            ["harness changed: h1 → h2, libbpf 1.1 → 1.5"],
        ),
        (measured(REJECT, qemu="QEMU 8"), ["harness changed: QEMU 7.2 → QEMU 8"]),
        (measured(REJECT, harness="", source_sha256=""), ["nothing known changed"]),
    ],
)
def test_attribution(after: Run, words: list[str]) -> None:
    assert reasons(after) == words


def test_everything_that_changed_is_named() -> None:
    after = measured(REJECT, replace(KERNEL, version="6.12.117"), source_sha256="d" * 64, harness="h2")
    assert [reason.partition(":")[0] for reason in reasons(after)] == [
        "kernel release changed",
        "program source changed",
        "harness changed",
    ]


def test_what_was_not_recorded_is_said() -> None:
    assert any("attribution" in note for note in compare_runs(run_of(case()), run_of(case())).notes)
    assert compare_runs(measured(ACCEPT), measured(ACCEPT)).notes == ()


def test_the_gravest_comes_first() -> None:
    names = [("a", ACCEPT, OTHER), ("b", ACCEPT, CRASH), ("c", REJECT, ACCEPT)]
    before = run_of(*(case(verdict, id=f"p[{name}]@5.10") for name, verdict, _ in names))
    after = run_of(*(case(verdict, id=f"p[{name}]@5.10") for name, _, verdict in names))
    found: Changes = compare_runs(before, after)
    assert list(found.counts) == [ChangeKind.CRASH, ChangeKind.NEW_REJECTION, ChangeKind.NEWLY_ACCEPTED]
    assert [change.case for change in found.changes] == ["p[b]", "p[a]", "p[c]"]
