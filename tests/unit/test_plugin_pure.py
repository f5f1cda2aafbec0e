"""The parts of the plugin that need no pytest session."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugin_support import LOG, rejected, row

from harness.model import (
    Expected,
    Observation,
    ObservationStatus,
    Origin,
    Outcome,
    Stage,
    Verdict,
    VerdictKind,
)
from harness.pytest_plugin.failure import (
    describe,
    expected_text,
    safe_name,
    verdict_text,
    whole_log,
    write_log,
)
from harness.pytest_plugin.schedule import BATCH, batch_of, choose
from harness.pytest_plugin.targets import Pick, read_arguments
from harness.scenario import Behaviour, CheckResult, Step, StepOp, StepResult


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in (
        "programs/maps/size.bpf.c.j2",
        "programs/maps/plain.bpf.c",
        "tests/data/x.bpf.o",
        "mine.bpf.o",
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return tmp_path


@pytest.mark.parametrize(
    ("argument", "paths"),
    [
        ("programs", ["programs"]),
        ("programs/maps", ["programs/maps"]),
        (".", ["programs"]),
        ("programs/maps/size.bpf.c.j2", ["programs/maps/size.bpf.c.j2"]),
        ("mine.bpf.o", ["mine.bpf.o"]),
        ("tests", []),
        ("tests/data", []),
        ("tests/data/x.bpf.o", ["tests/data/x.bpf.o"]),
    ],
)
def test_paths(root: Path, argument: str, paths: list[str]) -> None:
    targets = read_arguments([argument], root, root)
    assert targets.paths == tuple(root / path for path in paths)
    assert targets.arguments == (argument,)
    assert bool(targets) == bool(paths)


@pytest.mark.parametrize(
    ("argument", "file", "variant", "kernel"),
    [
        ("programs/maps/size[1024-raw]@5.10", "programs/maps/size.bpf.c.j2", "1024-raw", "5.10"),
        ("programs/maps/size[1024-raw]", "programs/maps/size.bpf.c.j2", "1024-raw", None),
        ("programs/maps/size@5.10", "programs/maps/size.bpf.c.j2", None, "5.10"),
        ("programs/maps/size", "programs/maps/size.bpf.c.j2", None, None),
        ("mine.bpf.o[prog]@5.10", "mine.bpf.o", "prog", "5.10"),
        ("programs/maps/size[a+clang-14]@5.10", "programs/maps/size.bpf.c.j2", "a+clang-14", "5.10"),
    ],
)
def test_ids(root: Path, argument: str, file: str, variant: str | None, kernel: str | None) -> None:
    targets = read_arguments([argument], root / "tests", root)
    if not argument.startswith("programs"):
        targets = read_arguments([argument], root, root)
    assert targets.picks == (Pick(root / file, variant, kernel),)
    assert targets.arguments == (str(root / file),)


@pytest.mark.parametrize(
    "argument", ["nowhere", "tests/test_x.py::test_y[1]", "programs/maps/none[1]@5.10", "[", "@"]
)
def test_other_words_are_left_to_pytest(root: Path, argument: str) -> None:
    targets = read_arguments([argument], root, root)
    assert not targets
    assert targets.arguments == (argument,)


def test_neighbours_share_a_batch_and_kernels_do_not() -> None:
    seen: Counter[str] = Counter()
    ids = [f"programs/a[{number}]@{kernel}" for kernel in ("5.10", "6.1") for number in range(BATCH + 1)]
    batches = [batch_of(name, seen) for name in ids]
    assert Counter(batches) == {"@5.10#0": BATCH, "@5.10#1": 1, "@6.1#0": BATCH, "@6.1#1": 1}


def test_other_tests_keep_xdists_own_scopes() -> None:
    seen: Counter[str] = Counter()
    assert batch_of("tests/test_a.py::TestB::test_c[x@y]", seen) == "tests/test_a.py::TestB"
    assert not seen


@pytest.mark.parametrize(
    ("batches", "last", "others", "chosen"),
    [
        (["@5#0", "@6#0"], None, set(), "@5#0"),
        (["@5#1", "@6#0"], None, {"@5#0"}, "@6#0"),  # a kernel of one's own
        (["@5#1", "@6#0"], "@6#9", {"@5#0"}, "@6#0"),  # stay with the guest one has
        (["@5#1", "@5#2", "@6#4"], "@7#0", {"@5#0", "@6#3"}, "@5#2"),  # help where most is left, from its end
    ],
)
def test_a_workers_next_batch(batches: list[str], last: str | None, others: set[str], chosen: str) -> None:
    assert choose(batches, last, others) == chosen


@given(
    st.lists(st.sampled_from(["@5#0", "@5#1", "@6#0", "@7#0"]), min_size=1, unique=True),
    st.sampled_from([None, "@5#0", "@8#0"]),
)
def test_the_next_batch_is_always_one_of_those_left(batches: list[str], last: str | None) -> None:
    assert choose(batches, last, {"@6#1"}) in batches


def test_verdicts_in_words() -> None:
    assert verdict_text(Verdict(VerdictKind.ACCEPT)) == "accept"
    assert verdict_text(Verdict(VerdictKind.REJECT, Stage.COMPILE)) == "reject at compile"
    assert (
        verdict_text(Verdict(VerdictKind.REJECT, Stage.LOAD, "E2BIG", "too-big"))
        == "reject at load with E2BIG (too-big)"
    )
    assert verdict_text(Verdict(VerdictKind.NONE, abnormal=Outcome.CRASH)) == "crash"
    assert expected_text(None) == "nothing (no expectation covers it)"
    expected = Expected(VerdictKind.REJECT, Stage.LOAD, "EACCES", "R[0-9]", unmeasured=True)
    assert expected_text(expected).endswith(
        "with EACCES, message matching 'R[0-9]' (from documentation, not measured)"
    )


def test_a_failure_shows_the_end_of_the_log_and_counts_the_rest() -> None:
    text = describe(rejected(), Path("reports/logs/x.log"), Origin(Path("size.yaml"), 3))
    assert "unexpected: expected accept, got reject at load with EACCES" in text
    assert "log:      21 of 31 lines omitted; the whole log: reports/logs/x.log" in text
    assert text.count("    | line") == 10


def test_a_failure_of_behaviour_shows_expected_and_got() -> None:
    checks = tuple(CheckResult(f"v{n}", "1", "0", n == 0, "why") for n in range(13))
    seen = Observation(
        ObservationStatus.LOADED,
        steps=(StepResult(0, numbers=(3, 0)), StepResult(1, "ENOENT", "no\nlibbpf: x")),
    )
    result = replace(
        rejected(),
        verdict=Verdict(VerdictKind.ACCEPT),
        expected=Expected(VerdictKind.ACCEPT, behaviour=Behaviour.BEHAVES),
        behaviour=Behaviour.MISBEHAVES,
        checks=checks,
        scenario=(Step(StepOp.TRIGGER, "fork"), Step(StepOp.LOOKUP, "m")),
        observation=seen,
    )
    lines = describe(result, None).splitlines()
    assert lines[0] == "unexpected: expected accept, behaves, got accept, misbehaves"
    assert "  check:    v1: expected 1, got 0 (why)" in lines
    assert "            and 2 more that do not hold" in lines
    assert "            1 of 13 checks hold" in lines
    assert (
        whole_log(result)
        == "== steps ==\n1. trigger fork: done 3, failed 0\n2. lookup m: ENOENT: no\n   libbpf: x\n"
    )


def test_a_failure_without_any_log() -> None:
    result = rejected(observation=Observation(ObservationStatus.HANG))
    assert "  log:      none" in describe(result, None).splitlines()


def test_the_whole_log_holds_every_source(tmp_path: Path) -> None:
    seen = Observation(
        ObservationStatus.CRASH,
        verifier_log="v\n",
        loader_log="l",
        kernel_messages=("k1", "k2"),
        console_tail="c \ud800",
    )
    result = replace(rejected(), observation=seen)
    assert (
        whole_log(result)
        == "== verifier ==\nv\n== loader ==\nl\n== kernel ==\nk1\nk2\n== console ==\nc \ud800\n"
    )
    path = write_log(result, tmp_path)
    assert path is not None
    assert "c \\ud800" in path.read_text()
    assert write_log(row(), tmp_path) is None


def test_a_compilers_words_are_a_log_too() -> None:
    result = rejected(observation=None, build_log=LOG)
    assert whole_log(result) == LOG
    assert "20 of 30 lines omitted" in describe(result, Path("x"))


@pytest.mark.parametrize(
    ("case_id", "name"),
    [
        ("programs/maps/size[1024-raw]@5.10", "programs-maps-size-1024-raw-@5.10"),
        ("mine.bpf.o[f]@6.1", "mine.bpf.o-f-@6.1"),
    ],
)
def test_log_names(case_id: str, name: str) -> None:
    assert safe_name(case_id) == name


@given(st.text(min_size=1, max_size=300))
def test_log_names_are_file_names(case_id: str) -> None:
    name = safe_name(case_id)
    assert "/" not in name
    assert name not in (".", "..")
    assert len(name.encode()) <= 200


def test_log_names_differ_where_ids_do() -> None:
    ids = ["a b@1", "a:b@1", "a/b@1", "ä@1", "ö@1", "x" * 200, "x" * 201]
    assert len({safe_name(case_id) for case_id in ids}) == len(ids)
