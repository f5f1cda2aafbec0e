"""The baseline's files: written, read, moved, and refused when they are not what they should be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plugin_support import ACCEPT, REJECT, kernel_run, row, run_of

from harness.errors import UserError
from harness.model import (
    HOST,
    CaseResult,
    Observation,
    ObservationStatus,
    Outcome,
    Run,
    Stage,
    Verdict,
    VerdictKind,
)
from harness.record.baseline import baseline_kernels, plan_update, read_baseline, write_update
from harness.record.baselinefile import dump, load
from harness.record.compare import compare_runs
from harness.record.snapshot import Answer, CaseRecord, Circumstances
from harness.scenario import Behaviour

NONE = Verdict(VerdictKind.NONE)


def case(name: str, verdict: Verdict = ACCEPT, time_us: int | None = None, **changes: object) -> CaseResult:
    seen = Observation(ObservationStatus.LOADED, insns_processed=7, kernel_time_us=time_us)
    outcome = Outcome.NOT_RUN if verdict == NONE else Outcome.AS_EXPECTED
    known = {"id": f"programs/f/p[{name}]@5.10", "program": "programs/f/p", "verdict": verdict}
    return row(**{**known, "observation": seen, "outcome": outcome, **changes})


def moved(folder: Path, run: Run, **options: object) -> str:
    moves = plan_update(folder, run, **options)  # type: ignore[arg-type]
    write_update(moves)
    return "".join(move.diff() for move in moves)


words = st.text(min_size=1, max_size=20)
answers = st.one_of(
    st.just(Answer(VerdictKind.ACCEPT)),
    st.sampled_from(Behaviour).map(lambda behaviour: Answer(VerdictKind.ACCEPT, behaviour=behaviour)),
    st.builds(
        Answer,
        st.just(VerdictKind.REJECT),
        st.none() | st.sampled_from(Stage),
        st.none() | st.sampled_from(["EINVAL", "E2BIG"]),
        st.none() | st.just("stack-too-deep"),
    ),
    st.sampled_from([Outcome.CRASH, Outcome.HANG, Outcome.SPLAT]).map(
        lambda end: Answer(VerdictKind.NONE, abnormal=end)
    ),
)
records = st.builds(
    CaseRecord,
    case=words,
    kernel=st.just("6.12"),
    answer=answers,
    insns=st.none() | st.integers(0, 10**7),
    time_us=st.none() | st.integers(0, 10**9),
    source=st.sampled_from(["", "0123456789ab"]),
    object=st.sampled_from(["", "ba9876543210"]),
    under=st.builds(Circumstances, version=st.sampled_from(["", "6.12.1"]), compiler=words),
)


@settings(deadline=None)
@given(st.lists(records, unique_by=lambda record: record.case))
def test_what_is_written_is_read(cases: list[CaseRecord]) -> None:
    kernel, found = load(dump("6.12", cases), Path("x"))
    assert kernel == "6.12"
    assert {item.case: item for item in found} == {item.case: item for item in cases}


def test_names_with_lone_surrogates_cannot_break_a_line() -> None:
    record = CaseRecord("odd\udcff\n# name \x1b[31m[x]", "6.12", Answer(VerdictKind.ACCEPT))
    text = dump("6.12", [record])
    assert "\x1b" not in text
    assert load(text, Path("x"))[1] == (record,)


def test_moving_to_a_run_and_comparing_with_it_finds_nothing(tmp_path: Path) -> None:
    run = run_of(
        case("1", REJECT),
        case("2", behaviour=Behaviour.MISBEHAVES),
        case("h", kernel=HOST, id="programs/f/p[h]@host", compiler="clang-19", axes={"cc": "gcc"}),
    )
    diff = moved(tmp_path, run)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["5.10.txt", "host.txt"]
    assert "+programs/f/p[1]  reject/load/EACCES" in diff
    assert baseline_kernels(tmp_path) == ("5.10",)
    found = compare_runs(read_baseline(tmp_path), run)
    assert (found.changes, found.compared) == ((), 3)
    assert moved(tmp_path, run) == ""


def test_a_time_that_is_no_change_moves_nothing(tmp_path: Path) -> None:
    moved(tmp_path, run_of(case("1", time_us=900)))
    assert moved(tmp_path, run_of(case("1", time_us=1400))) == ""
    assert "9000000us" in moved(tmp_path, run_of(case("1", time_us=9_000_000)))


def test_one_changed_case_is_one_changed_line(tmp_path: Path) -> None:
    before = run_of(case("1"), case("2"), case("3"))
    moved(tmp_path, before)
    diff = moved(tmp_path, run_of(case("1"), case("2", REJECT), case("3"))).splitlines()
    assert [line[:16] for line in diff if line[:1] in "+-" and line[:3] not in ("+++", "---")] == [
        "-programs/f/p[2]",
        "+programs/f/p[2]",
    ]


def test_only_what_is_asked_for_moves(tmp_path: Path) -> None:
    kernels = (kernel_run("5.10"), kernel_run("6.1"))
    both = [case("1"), case("2"), case("1", id="programs/f/p[1]@6.1", kernel="6.1")]
    moved(tmp_path, run_of(*both, kernels=kernels))
    other = run_of(*(replace(item, verdict=REJECT) for item in both), kernels=kernels)
    diff = moved(tmp_path, other, kernels=["5.10"], keep=lambda name: "[2]" in name)
    assert "\n+programs/f/p[2]" in diff
    assert diff.count("\n+programs") == 1
    found = compare_runs(read_baseline(tmp_path), other)
    assert sorted(change.id for change in found.changes) == ["programs/f/p[1]@5.10", "programs/f/p[1]@6.1"]


def test_circumstances_stay_with_their_cases(tmp_path: Path) -> None:
    moved(tmp_path, replace(run_of(case("1"), case("2")), harness="old"))
    newer = replace(run_of(case("1"), case("2", REJECT)), harness="new")
    moved(tmp_path, newer, keep=lambda name: "[2]" in name)
    cases = read_baseline(tmp_path).cases
    assert {name: item.under.harness for (_, name), item in cases.items()} == {
        "programs/f/p[1]": "old",
        "programs/f/p[2]": "new",
    }


def test_what_gave_no_one_answer_stays_and_what_is_gone_goes(tmp_path: Path) -> None:
    moved(tmp_path, run_of(case("1"), case("2"), case("3"), case("4")))
    now = run_of(case("1", NONE), case("2", REJECT, outcome=Outcome.FLAKY, answers=("a", "b")))
    catalogue = frozenset({"programs/f/p[1]", "programs/f/p[2]", "programs/f/p[3]"})
    (move,) = plan_update(tmp_path, now, catalogue=catalogue)
    assert (move.kept, move.flaky) == (("programs/f/p[1]", "programs/f/p[3]"), ("programs/f/p[2]",))
    assert [line for line in move.diff().splitlines() if line[:2] in ("-p", "+p")] == [
        line for line in move.diff().splitlines() if line.startswith("-programs/f/p[4]")
    ]


def test_without_a_catalogue_nothing_goes(tmp_path: Path) -> None:
    moved(tmp_path, run_of(case("1"), case("2")))
    assert moved(tmp_path, run_of(case("1"))) == ""


def test_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="bpfmatrix baseline update"):
        read_baseline(tmp_path)
    with pytest.raises(UserError, match=r"no baseline of kernel 6\.1"):
        read_baseline(tmp_path, ["6.1"])


@pytest.mark.parametrize(
    ("old", "new", "what", "next_"),
    [
        ("baseline 1", "baseline 0", "schema 0", "bpfmatrix baseline update"),
        ("baseline 1", "baseline 99", "schema 99", "or a newer one"),
        ("# bpfmatrix baseline 1", "nonsense", "the first line", "bpfmatrix baseline update"),
        ("accept", "maybe", "5.10.txt:8: .*maybe", "git checkout"),
        ("  1\n", "  9\n", "no 'measured 9'", "git checkout"),
        ("accept ", "", "8 columns, not 9", "git checkout"),
        ("# kernel 5.10", "# kernel 6.1", "of kernel '6.1'", ""),
    ],
)
def test_damaged_files_are_refused_with_the_place(
    tmp_path: Path, old: str, new: str, what: str, next_: str
) -> None:
    moved(tmp_path, run_of(case("1")))
    path = tmp_path / "5.10.txt"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError, match=what) as caught:
        read_baseline(tmp_path)
    assert next_ in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_older_schema_is_replaced_by_the_command_and_a_newer_one_is_not(tmp_path: Path) -> None:
    moved(tmp_path, run_of(case("1")))
    path = tmp_path / "5.10.txt"
    path.write_text(path.read_text().replace("baseline 1", "baseline 0"))
    moved(tmp_path, run_of(case("1")))
    assert read_baseline(tmp_path).kernels.keys() == {"5.10"}
    path.write_text(path.read_text().replace("baseline 1", "baseline 2"))
    with pytest.raises(UserError, match="schema 2"):
        moved(tmp_path, run_of(case("1")))


def test_a_kernels_name_leads_nowhere_else(tmp_path: Path) -> None:
    odd = "../../etc/x"
    run = run_of(
        case("1", id=f"programs/f/p[1]@{odd}", kernel=odd), kernels=(kernel_run(odd, version="1.2.3"),)
    )
    (move,) = plan_update(tmp_path / "in", run)
    assert move.path.parent == tmp_path / "in"
    write_update([move])
    assert baseline_kernels(tmp_path / "in") == (odd,)
    assert compare_runs(read_baseline(tmp_path / "in"), run).changes == ()
