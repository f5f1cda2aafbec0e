"""Checks on recorded results: what holds, what it says when it does not, and what becomes of the case."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.catalog.packets import packet
from harness.execute import judged
from harness.model import (
    BuiltObject,
    Case,
    Expectation,
    Expected,
    KernelVersion,
    LoadSettings,
    Observation,
    ObservationStatus,
    Origin,
    Outcome,
    Program,
    ProgramKind,
    Stage,
    Variant,
    Verdict,
    VerdictKind,
    VersionRange,
)
from harness.scenario import Behaviour, Check, CheckKind, CheckResult, Step, StepOp, StepResult
from harness.verdict.behaviour import (
    MAX_VALUE,
    MAX_VALUES,
    behaviour_of,
    check_words,
    failed_words,
    kept,
    measure,
)
from harness.verdict.classify import interpret
from harness.verdict.expect import describe_expected, describe_verdict, expected_for, judge
from harness.verdict.steps import result_words, step_words

EQUALS, TEXT, BYTES = CheckKind.EQUALS, CheckKind.TEXT, CheckKind.BYTES


def measured(check: Check, step: Step, result: StepResult | None) -> CheckResult:
    """The check's answer where `step` is called `v` and a step called `other` gave 7 as a u64."""
    other = Step(StepOp.FACT, "tgid", "other")
    results = [StepResult(1, values=((7).to_bytes(8, "little"),)), *([result] if result else [])]
    (answer,) = measure((step, other), results, (check,))
    return answer


def value(raw: bytes, *more: bytes) -> tuple[Step, StepResult]:
    return Step(StepOp.READ, "g", "v"), StepResult(0, values=(raw, *more))


@pytest.mark.parametrize(
    ("raw", "check", "holds", "want", "got"),
    [
        (b"\x03\0\0\0", Check("v", EQUALS, "3"), True, "3", "3"),
        (b"\x02", Check("v", EQUALS, "3"), False, "3", "2"),
        (b"\xff" * 4, Check("v", EQUALS, "-1"), True, "-1", "-1"),
        (b"\xff" * 8, Check("v", EQUALS, "18446744073709551615"), True, "18446744073709551615", None),
        (b"\xff" * 4, Check("v", EQUALS, "0", type="s32"), False, "0", "-1"),
        (b"abc", Check("v", EQUALS, "3"), False, "3", "61 62 63, no number"),
        (b"..\x50\0", Check("v", EQUALS, "80", offset=2, type="u16"), True, "80", "80"),
        (b"..\0\x50", Check("v", EQUALS, "80", offset=2, type="be16"), True, "80", "80"),
        (b"..", Check("v", EQUALS, "80", offset=1, type="u16"), False, "80", "2 bytes, too few"),
        (b"\x05", Check("v", CheckKind.RANGE, at_least=1, at_most=5), True, "at least 1, at most 5", "5"),
        (b"\x06", Check("v", CheckKind.RANGE, at_most=5), False, "at most 5", "6"),
        (b"\xff", Check("v", CheckKind.RANGE, at_least=-2), True, "at least -2", "-1"),
        (b"\xff", Check("v", CheckKind.RANGE, at_least=2), True, "at least 2", "255"),
        (b"pod1\0junk", Check("v", TEXT, "pod1"), True, "'pod1'", "'pod1'"),
        (b"pod1", Check("v", TEXT, "pod"), False, "'pod'", "'pod1'"),
        (b"\x1b[31m\0", Check("v", TEXT, "x"), False, "'x'", "1b 5b 33 31 6d"),
        (b"ab\0", Check("v", BYTES, "616200"), True, "61 62 00", "61 62 00"),
        (b"xxab", Check("v", BYTES, "6162", offset=2), True, "61 62", "61 62"),
        (b"xxab", Check("v", BYTES, "6162"), False, "61 62", "78 78 61 62"),
        (b"a\0b\0\0", Check("v", CheckKind.CONTAINS_TEXT, "c"), False, "'c' in it", "'a b'"),
        (b"\x07\0\0\0", Check("v", CheckKind.EQUALS_VALUE, "other"), True, "the same as other (7)", "7"),
        (b"\x08", Check("v", CheckKind.EQUALS_VALUE, "other"), False, "the same as other (7)", "8"),
        (bytes(99), Check("v", BYTES, "00"), False, "00", "00 " * 16 + "… (99 bytes)"),
    ],
)
def test_values(raw: bytes, check: Check, holds: bool, want: str, got: str | None) -> None:
    answer = measured(check, *value(raw))
    assert (answer.holds, answer.want) == (holds, want)
    assert got is None or answer.got == got


def test_a_text_equals_itself_filled_up() -> None:
    steps = (Step(StepOp.READ, "g", "v"), Step(StepOp.FACT, "comm", "other"))
    results = (StepResult(0, values=(b"agent".ljust(16, b"\0"),)), StepResult(1, values=(b"agent\0",)))
    (answer,) = measure(steps, results, (Check("v", CheckKind.EQUALS_VALUE, "other"),))
    assert answer == CheckResult("v", "the same as other ('agent')", "'agent'", True)


def test_parts_of_results() -> None:
    ring = Step(StepOp.RING, "rb", "v")
    seen = StepResult(0, values=(b"\x01", b"\x02"), numbers=(10, 80))
    assert measured(Check("v.records", EQUALS, "10"), ring, seen).holds
    assert measured(Check("v.bytes", EQUALS, "80"), ring, seen).holds
    assert measured(Check("v.values.1", EQUALS, "2"), ring, seen).holds
    assert measured(Check("v.values.2", EQUALS, "2"), ring, seen).got == "nothing: the step gave 2 values"
    assert measured(Check("v.lost", EQUALS, "2"), ring, seen).got == "nothing: the step gave no lost"
    cut = StepResult(0, values=(b"\x01",), numbers=(10, 80), omitted=70)
    assert "no room" in measured(Check("v.values.1", EQUALS, "2"), ring, cut).got


def test_a_negative_retval_has_32_bits() -> None:
    run = Step(StepOp.TEST_RUN, "p", "v")
    seen = StepResult(0, numbers=((1 << 32) - 1, 12))
    assert measured(Check("v.retval", EQUALS, "-1"), run, seen).holds
    assert not measured(Check("v.retval", EQUALS, "1"), run, seen).holds


def test_errnos() -> None:
    update = Step(StepOp.UPDATE, "m", "v", may_fail=True)
    assert measured(Check("v.errno", EQUALS, "E2BIG"), update, StepResult(0, "E2BIG", "full")).holds
    fine = measured(Check("v.errno", EQUALS, "E2BIG"), update, StepResult(0))
    assert (fine.holds, fine.got) == (False, "0")
    assert measured(Check("v.errno", EQUALS, "0"), update, StepResult(0)).holds
    fill = Step(StepOp.FILL, "m", "v")
    full = StepResult(0, numbers=(4, 6, 7))
    assert measured(Check("v.first_errno", EQUALS, "E2BIG"), fill, full).holds
    assert measured(Check("v.failed", EQUALS, "6"), fill, full).holds
    assert measured(Check("v.first_errno", EQUALS, "0"), fill, StepResult(0, numbers=(4, 0, 0))).holds


def test_what_is_missing_never_holds_and_says_why() -> None:
    lookup = Step(StepOp.LOOKUP, "m", "v", may_fail=True)
    check = Check("v", EQUALS, "0", why="the program writes it")
    failed = measured(check, lookup, StepResult(0, "ENOENT"))
    assert failed == CheckResult(
        "v", "0", "nothing: the step failed with ENOENT", False, "the program writes it"
    )
    assert measured(check, lookup, None).got == "nothing: the step was not reached"
    assert measured(Check("w", EQUALS, "0"), lookup, None).got == "nothing: no step is called 'w'"


def test_checks_of_other_kernels_are_left_out() -> None:
    step, result = value(b"\x01")
    checks = (Check("v", EQUALS, "1", kernels=">=6.1"), Check("v", EQUALS, "2", kernels="<6.1"))
    for version, want in ((KernelVersion(5, 10, 1), "2"), (KernelVersion(6, 12), "1")):
        assert [check.want for check in measure((step,), (result,), checks, version)] == [want]
    assert measure((step,), (result,), checks) == ()


def test_behaviour_is_the_sum_of_the_checks() -> None:
    good, bad = CheckResult("a", "1", "1", True), CheckResult("b", "2", "3", False, "torn")
    assert behaviour_of(()) is None
    assert behaviour_of((good,)) is Behaviour.BEHAVES
    assert behaviour_of((good, bad)) is Behaviour.MISBEHAVES
    assert check_words(bad) == "b: expected 2, got 3 (torn)"
    assert failed_words((good, bad, bad)) == "b: expected 2, got 3 (torn); and 1 more check"
    long = CheckResult("b", "2", "x" * 900, False)
    assert len(failed_words((long, bad))) <= 300


def test_values_are_cut_to_what_a_run_file_keeps() -> None:
    small = StepResult(0, values=(b"a", b""))
    assert kept(small) is small
    big = kept(StepResult(0, values=(bytes(MAX_VALUE + 10), bytes(MAX_VALUE), b"xyz")))
    assert [len(part) for part in big.values] == [MAX_VALUE, MAX_VALUE]
    assert (sum(map(len, big.values)), big.omitted) == (MAX_VALUES, 13)


ACCEPT = Verdict(VerdictKind.ACCEPT)
HELD, FAILED = CheckResult("hits", "3", "3", True), CheckResult("hits", "3", "0", False)


@pytest.mark.parametrize(
    ("expected", "checks", "outcome", "reason"),
    [
        (Expected(VerdictKind.ACCEPT), (HELD,), Outcome.AS_EXPECTED, ""),
        (Expected(VerdictKind.ACCEPT, behaviour=Behaviour.BEHAVES), (HELD,), Outcome.AS_EXPECTED, ""),
        (
            Expected(VerdictKind.ACCEPT),
            (HELD, FAILED),
            Outcome.UNEXPECTED,
            "expected behaves, got misbehaves: hits: expected 3, got 0",
        ),
        (Expected(VerdictKind.ACCEPT, behaviour=Behaviour.MISBEHAVES), (FAILED,), Outcome.AS_EXPECTED, ""),
        (
            Expected(VerdictKind.ACCEPT, behaviour=Behaviour.MISBEHAVES),
            (HELD,),
            Outcome.UNEXPECTED,
            "expected misbehaves, got behaves",
        ),
        (Expected(VerdictKind.ACCEPT), (), Outcome.AS_EXPECTED, ""),
        (Expected(VerdictKind.REJECT), (HELD,), Outcome.UNEXPECTED, "expected reject, got accept"),
        (None, (FAILED,), Outcome.NO_EXPECTATION, ""),
    ],
)
def test_judge_asks_for_the_behaviour(
    expected: Expected | None, checks: tuple[CheckResult, ...], outcome: Outcome, reason: str
) -> None:
    assert judge(ACCEPT, None, expected, checks) == (outcome, reason)


def test_who_is_checked_is_expected_to_behave() -> None:
    def expected(check: Check | None, **fields: Behaviour) -> Expected | None:
        entry = Expectation(
            Expected(VerdictKind.ACCEPT, **fields), VersionRange.parse("*"), {}, (), Origin(Path("x.yaml"))
        )
        program = Program("p", Path("p"), ProgramKind.TEMPLATE, (), expectations=(entry,))
        variant = Variant("v", checks=(check,) if check else ())
        return expected_for(program, variant, KernelVersion(6, 1), None)

    always, later = Check("v", EQUALS, "1"), Check("v", EQUALS, "1", kernels=">6.1")
    assert expected(always) == Expected(VerdictKind.ACCEPT, behaviour=Behaviour.BEHAVES)
    assert expected(later) == expected(None) == Expected(VerdictKind.ACCEPT)
    known = expected(always, behaviour=Behaviour.MISBEHAVES)
    assert known == Expected(VerdictKind.ACCEPT, behaviour=Behaviour.MISBEHAVES)


def test_words_of_behaviour() -> None:
    expected = Expected(VerdictKind.ACCEPT, behaviour=Behaviour.MISBEHAVES)
    assert describe_expected(expected) == "accept, misbehaves"
    assert describe_verdict(ACCEPT, Behaviour.BEHAVES) == "accept, behaves"
    assert describe_verdict(ACCEPT) == "accept"


SCENARIO = (
    Step(StepOp.SET, "pid", fact="tgid"),
    Step(StepOp.ATTACH, "p", args=("kprobe:do_unlinkat",)),
    Step(StepOp.TRIGGER, "mkdirat", args=("/tmp/x",), count=3),
    Step(StepOp.READ, "hits", "hits"),
)


def case(checks: tuple[Check, ...]) -> Case:
    variant = Variant("v", settings=LoadSettings(), scenario=SCENARIO, checks=checks)
    return Case(Program("programs/x/y", Path("y"), ProgramKind.TEMPLATE, (variant,)), variant, "6.12")


BUILT = BuiltObject(Path("y.o"), "ab", "int a;", None, ("p",))


def test_a_row_keeps_scenario_checks_and_behaviour() -> None:
    checks = (Check("hits", EQUALS, "3"),)
    seen = Observation(
        ObservationStatus.LOADED,
        steps=(
            StepResult(0),
            StepResult(1),
            StepResult(2, numbers=(3, 0)),
            StepResult(3, values=(bytes(4),)),
        ),
    )
    row = judged(case(checks), BUILT, seen, Expected(VerdictKind.ACCEPT), KernelVersion(6, 12))
    assert (row.outcome, row.behaviour) == (Outcome.UNEXPECTED, Behaviour.MISBEHAVES)
    assert row.reason == "expected behaves, got misbehaves: hits: expected 3, got 0"
    assert row.checks == (CheckResult("hits", "3", "0", False),)
    assert row.scenario == SCENARIO


def test_a_splat_or_a_failed_step_is_not_judged_by_its_checks() -> None:
    checks = (Check("hits", EQUALS, "3"),)
    splat = Observation(ObservationStatus.LOADED, kernel_messages=("BUG: sleeping function called",))
    row = judged(case(checks), BUILT, splat, None)
    assert (row.verdict.kind, row.behaviour, row.checks) == (VerdictKind.NONE, None, ())


def failed_at(stage: Stage, index: int, errno: str, words: str = "", log: str = "") -> Observation:
    before = tuple(StepResult(number) for number in range(index))
    steps = (*before, StepResult(index, errno, words))
    return Observation(ObservationStatus.FAILED, stage, errno, loader_log=log, steps=steps)


def test_a_failed_step_is_a_rejection_that_names_it() -> None:
    seen = failed_at(Stage.ATTACH, 1, "ENOENT", "no such symbol")
    verdict = interpret(seen, None, SCENARIO)
    assert (verdict.kind, verdict.stage, verdict.errno) == (VerdictKind.REJECT, Stage.ATTACH, "ENOENT")
    assert verdict.message == "step 2, attach p to kprobe:do_unlinkat: no such symbol"
    assert interpret(seen).message == "step 2: no such symbol"
    row = judged(case(()), BUILT, seen, Expected(VerdictKind.REJECT, Stage.ATTACH, "ENOENT"))
    assert row.outcome is Outcome.AS_EXPECTED


def test_an_expected_message_may_be_a_steps_words() -> None:
    words = (
        "program 'p' was not attached\n"
        "libbpf: prog 'p': failed to create kprobe 'x+0x0' perf event: No such file or directory"
    )
    seen = failed_at(Stage.ATTACH, 1, "ENOENT", words)
    expected = Expected(VerdictKind.REJECT, Stage.ATTACH, "ENOENT", "^libbpf: .* kprobe 'x")
    assert judged(case(()), BUILT, seen, expected).outcome is Outcome.AS_EXPECTED
    assert interpret(seen, None, SCENARIO).cause == "attach-target-missing"


def test_steps_and_results_in_words() -> None:
    said = [step_words(step) for step in SCENARIO]
    assert said == [
        "set pid to the fact tgid",
        "attach p to kprobe:do_unlinkat",
        "trigger mkdirat /tmp/x 3 times",
        "read hits",
    ]
    assert step_words(Step(StepOp.PERF_OPEN, "ev", count=8)) == "perf_open ev 8 pages"
    assert result_words(SCENARIO[2], StepResult(2, numbers=(3, 0))) == "done 3, failed 0"
    ring = Step(StepOp.RING, "rb")
    assert (
        result_words(ring, StepResult(0, values=(b"ab", b"c"), numbers=(2, 3)))
        == "records 2, bytes 3, 2 values, the first 25185 = 61 62"
    )
    assert result_words(ring, StepResult(0, errno="ENOENT", message="no map\x1b[2J")) == "ENOENT: no map"
    assert result_words(ring, StepResult(0)) == "done"
    run = Step(StepOp.TEST_RUN, "p", value=packet("tcp4"))
    assert "… (59 bytes)" in result_words(run, StepResult(0, values=(packet("tcp4"),), numbers=(0, 5)))
