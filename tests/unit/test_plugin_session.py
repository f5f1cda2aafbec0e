"""`pytest` at a project's root: collection, results, reports, workers. Guests and kernels are stand-ins."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import plugin_fakes
import pytest
from features_support import feature, kernel

from harness.errors import InfrastructureError
from harness.features import measured
from harness.features.types import FeatureKind
from harness.model import BuildFailure, Stage

KERNELS = """
kernels:
  "5.4": {source: mainline, version: v5.4.290}
  "5.10": {source: mainline, version: v5.10.1, default: true}
  "6.1": {source: mainline, version: v6.1.1, default: true}
  "6.66": {source: mainline, version: v6.66.1}
"""
TEMPLATE = '#include <linux/bpf.h>\nint f(void) { return "{{ what }}"; }\n'
MANIFEST = "title: t\npitfall: {pitfall}\nclaim: c\naxes: {{what: [{what}]}}\nexpect: []\n"
OURS = ("-p", "harness.pytest_plugin", "-p", "no:cacheprovider")

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two programs and a test of its own."""
    monkeypatch.setenv("BPFMATRIX_CACHE", str(pytester.path / "cache"))
    pytester.makeini("[pytest]\ntestpaths = programs\nfilterwarnings = error\n")
    (pytester.path / "kernels.yaml").write_text(KERNELS)
    add_program(pytester.path, "family/one", "accept, accept2", "N01")
    add_program(pytester.path, "family/two", "accept, reject", "N02")
    pytester.makepyfile(**{"tests/test_own": "def test_own(): pass\n"})
    return pytester.path


def add_program(root: Path, name: str, what: str, pitfall: str = "N09") -> None:
    file = root / "programs" / f"{name}.bpf.c.j2"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(TEMPLATE)
    file.with_name(file.name.replace(".bpf.c.j2", ".yaml")).write_text(
        MANIFEST.format(pitfall=pitfall, what=what)
    )


@pytest.fixture
def run(project: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run pytest in this process with the stand-ins."""
    assert project == pytester.path
    plugin_fakes.install(monkeypatch.setattr)
    return lambda *arguments: pytester.runpytest_inprocess(*OURS, *arguments)


@pytest.fixture
def run_apart(project: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run pytest in a process of its own, for workers and signals."""
    assert project == pytester.path
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    return lambda *arguments: pytester.runpytest_subprocess(
        *OURS, "-p", "plugin_fakes", *arguments, timeout=60
    )


def events() -> list[str]:
    """What the guests were asked, without the processes."""
    file = Path("events")
    return [line.partition(" ")[2] for line in file.read_text().splitlines()] if file.exists() else []


def run_file() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(Path("reports/run.json").read_text())
    return data


ALL_ON_5_10 = [
    "programs/family/one[accept]@5.10",
    "programs/family/one[accept2]@5.10",
    "programs/family/two[accept]@5.10",
    "programs/family/two[reject]@5.10",
]


def test_ids_are_the_case_ids_and_collecting_fetches_nothing(run: Run) -> None:
    result = run("--collect-only", "-q", "--kernel", "5.10", "--kernel", "5.4")
    assert result.outlines[:8] == [name.replace("@5.10", "@5.4") for name in ALL_ON_5_10] + ALL_ON_5_10
    assert events() == []
    assert not Path("reports").exists()


def test_cases_pass_or_fail_by_outcome_kernel_by_kernel(run: Run) -> None:
    result = run()
    result.assert_outcomes(passed=6, failed=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    ran = [event for event in events() if not event.startswith("ensure")]
    older, newer = (
        ["run " + name.replace("5.10", kernel) for name in ALL_ON_5_10] for kernel in ("5.10", "6.1")
    )
    assert ran == ["start 5.10", *older, "close 5.10", "start 6.1", *newer, "close 6.1"]


def test_a_case_marked_for_a_feature_is_skipped_where_a_kernel_measurably_lacks_it(
    run: Run, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = kernel("5.10", "5.10.1", [feature(FeatureKind.MAP_TYPE, "BPF_MAP_TYPE_RINGBUF", "no")])
    having = kernel("6.1", "6.1.1", [feature(FeatureKind.MAP_TYPE, "BPF_MAP_TYPE_RINGBUF", "yes")])
    for each in (lacking, having):
        measured.write(each, project / "measured")
    monkeypatch.setenv(measured.FOLDER_VARIABLE, str(project / "measured"))
    (project / "conftest.py").write_text(
        "import pytest\n\ndef pytest_collection_modifyitems(items):\n"
        "    for item in items:\n        item.add_marker(pytest.mark.bpf_requires('map:ringbuf'))\n"
    )
    run("-k", "one").assert_outcomes(passed=2, skipped=2, deselected=4)
    assert [event for event in events() if event.startswith("start")] == ["start 6.1"]
    skipped = [case for case in run_file()["cases"] if case["kernel"] == "5.10"]
    assert {case["outcome"] for case in skipped} == {"not_run"}
    assert "lacks BPF_MAP_TYPE_RINGBUF" in skipped[0]["reason"]


def add_host_program(root: Path) -> None:
    """A program whose rows are the host's."""
    add_program(root, "user/skel", "accept", "N14")
    folder = root / "programs" / "user"
    (folder / "skel.host.c.j2").write_text("int main(void) { return 0; }\n")
    manifest = "title: t\nclaim: c\nhost: {source: skel.host.c.j2}\naxes: {what: [x], cc: [gcc, g++]}\n"
    (folder / "skel.yaml").write_text(manifest + "expect: [{verdict: accept}]\n")


def test_rows_of_the_host_are_items_once_and_start_no_guest(run: Run, project: Path) -> None:
    add_host_program(project)
    names = ["programs/user/skel[x-gcc]@host", "programs/user/skel[x-gxx]@host"]
    assert run("--collect-only", "-q", "-k", "N14 or skel").outlines[:2] == names
    run("-k", "skel").assert_outcomes(passed=2, deselected=8)
    assert [event for event in events() if event.startswith("start")] == []
    assert [(case["id"], case["outcome"]) for case in run_file()["cases"]] == [
        (name, "as_expected") for name in names
    ]
    run("--kernel", "6.1").assert_outcomes(passed=5, failed=1)
    assert [case["kernel"] for case in run_file()["cases"]] == ["6.1"] * 4 + ["host"] * 2


def test_a_row_of_the_host_can_be_named_alone(run: Run, project: Path) -> None:
    add_host_program(project)
    run("programs/user/skel[x-gxx]@host").assert_outcomes(passed=1)
    assert [case["id"] for case in run_file()["cases"]] == ["programs/user/skel[x-gxx]@host"]


def test_a_compiler_that_is_missing_skips(run: Run, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_host_program(project)
    none = BuildFailure(Stage.HOST_COMPILE, "g++ is not installed: apt-get install g++", no_answer=True)
    monkeypatch.setattr("harness.pytest_plugin.guests.Workshop.build", lambda _self, _case: none)
    result = run("programs/user/skel[x-gxx]@host", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*g++ is not installed: apt-get install g++*"])
    assert run_file()["cases"][0]["outcome"] == "not_run"


def test_a_failure_is_short_and_names_the_whole_log(run: Run) -> None:
    result = run("--kernel", "5.10")
    result.stdout.fnmatch_lines(
        [
            "*N02 programs/family/two[[]reject[]]@5.10*",
            "unexpected: expected accept, got reject at load with EACCES (bounds)",
            "  cause:    R1 is out of bounds",
            "  reason:   expected accept, got reject",
            "  manifest: programs/family/two.yaml",
            "  log:      21 of 31 lines omitted; the whole log: reports/logs/programs-family-two-rej*.log",
            "    | line 21",
            "    | line 30",
            "  again:    pytest 'programs/family/two[[]reject[]]@5.10'",
        ]
    )
    result.stdout.no_fnmatch_line("*line 20")
    result.stdout.no_fnmatch_line("*Traceback*")
    (log,) = Path("reports/logs").iterdir()
    assert log.name == "programs-family-two-reject-@5.10.log"
    assert log.read_text().startswith("== verifier ==\nline 1\n")


def test_reports_and_what_to_do_next(run: Run) -> None:
    result = run("--kernel", "5.10")
    result.stdout.fnmatch_lines(
        [
            "5.10.0 ...F*",
            "5.10  booted in 1.5 s (tcg): 3 accepted, 1 rejected; 1 unexpected",
            "written: reports/matrix.md",
            "written: reports/matrix.html",
            "written: reports/run.json",
            "next: pytest 'programs/family/two[[]reject[]]@5.10'",
        ]
    )
    data = run_file()
    assert [case["id"] for case in data["cases"]] == ALL_ON_5_10
    assert data["run"]["partial"] is False
    assert data["kernels"][0]["accel"] == "tcg"


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        (["programs/family/one[accept2]@6.1"], ["programs/family/one[accept2]@6.1"]),
        (["programs/family/two[reject]", "--kernel", "6.1"], ["programs/family/two[reject]@6.1"]),
        (["programs/family/two@5.10"], ALL_ON_5_10[2:]),
        (["programs/family/one.bpf.c.j2", "--kernel", "5.10"], ALL_ON_5_10[:2]),
        (["-k", "N01 and not accept2", "--kernel", "5.10"], ALL_ON_5_10[:1]),
        (["-k", "two and reject", "--kernel", "5.10"], ALL_ON_5_10[3:]),
        (
            ["programs/family/one[accept]@6.1", "programs/family/two[accept]@5.10"],
            ["programs/family/two[accept]@5.10", "programs/family/one[accept]@6.1"],
        ),
    ],
)
def test_selecting(run: Run, arguments: list[str], ids: list[str]) -> None:
    run(*arguments)
    assert [event.removeprefix("run ") for event in events() if event.startswith("run ")] == ids


def test_an_id_of_a_variant_that_does_not_exist(run: Run) -> None:
    result = run("programs/family/one[acept]@5.10")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: *one.yaml:1: programs/family/one has no variant 'acept'; did you mean 'accept*"]
    )
    assert events() == []


def test_an_unknown_kernel_lists_the_known_ones(run: Run) -> None:
    result = run("--kernel", "5.1")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: unknown kernel '5.1'*known: 5.4, 5.10, 6.1, 6.66"])


def test_a_kernel_that_cannot_be_had_ends_the_session_at_once(run: Run) -> None:
    result = run("--kernel", "5.10", "--kernel", "5.4")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "ERROR: *kernel 5.4 cannot be had",
            "  tried: mainline v5.4.290",
            "  failed: the archive cannot be reached",
            "  next: bpfmatrix kernels add 5.4 --image PATH*",
            "    or: pytest --kernel-image 5.4=PATH",
        ]
    )
    assert not [event for event in events() if event.startswith("start")]


def test_a_kernel_that_cannot_be_had_can_be_shown_as_not_run(run: Run) -> None:
    result = run("--kernel", "5.10", "--kernel", "5.4", "--missing-kernel=skip", "-k", "one")
    result.assert_outcomes(passed=2, skipped=2, deselected=4)
    result.stdout.fnmatch_lines(
        [
            "5.4   not run: 0 accepted, 0 rejected; 2 not run",
            "5.4 was not run: it cannot be had: *the archive cannot be reached",
        ]
    )
    data = run_file()
    assert [kernel["name"] for kernel in data["kernels"]] == ["5.4", "5.10"]
    assert [case["outcome"] for case in data["cases"] if case["kernel"] == "5.4"] == ["not_run"] * 2


def test_a_guest_that_never_comes_up_is_an_error_and_status_3(run: Run) -> None:
    result = run("--kernel", "6.66", "--kernel", "5.10", "-k", "one")
    result.assert_outcomes(passed=2, errors=2, deselected=4)
    assert result.ret == 3
    result.stdout.fnmatch_lines(["it never became ready", "6.66  failed: 0 accepted, 0 rejected; 2 not run"])
    result.stdout.no_fnmatch_line("*Traceback*")
    assert next(kernel for kernel in run_file()["kernels"] if kernel["name"] == "6.66")["problem"]


def test_a_broken_manifest_is_told_with_its_line(run: Run) -> None:
    Path("programs/family/one.yaml").write_text(MANIFEST.format(pitfall="N01", what="accept") + "claims: x\n")
    result = run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *one.yaml:6: *claims*"])


def test_other_tests_are_left_alone(run: Run) -> None:
    result = run("tests")
    result.assert_outcomes(passed=1)
    assert events() == []
    assert not Path("reports").exists()
    result.stdout.no_fnmatch_line("*matrix*")


def test_both_together(run: Run) -> None:
    result = run("tests", "programs", "--kernel", "5.10")
    result.assert_outcomes(passed=4, failed=1)
    assert [case["id"] for case in run_file()["cases"]] == ALL_ON_5_10


def test_nothing_selected_writes_nothing(run: Run) -> None:
    result = run("-k", "nothing_like_it")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert list(Path("reports").iterdir()) == []


def test_stopping_early_makes_a_partial_run(run: Run) -> None:
    run("--kernel", "5.10", "--kernel", "6.1", "-x")
    data = run_file()
    assert data["run"]["partial"] is True
    assert len(data["cases"]) == 4
    assert [kernel["name"] for kernel in data["kernels"]] == ["5.10", "6.1"]


def test_reports_that_cannot_be_written_end_with_status_3(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise InfrastructureError("no room")

    monkeypatch.setattr("harness.report.write_all", full)
    result = run("--kernel", "5.10", "-k", "one")
    assert result.ret == 3
    result.stdout.fnmatch_lines(["no reports: no room"])


def test_workers_share_the_kernels_and_make_one_report(run_apart: Run) -> None:
    add_program(Path(), "family/many", ", ".join(f"accept{number}" for number in range(40)))
    result = run_apart("-n", "2")
    result.assert_outcomes(passed=86, failed=2)
    seen = events()
    assert sorted(event for event in seen if event.startswith("ensure")) == ["ensure 5.10", "ensure 6.1"]
    lines = Path("events").read_text().splitlines()
    assert len({line.split()[0] for line in lines if " run " in line}) == 2, "both workers had cases"
    starts, ends = ([event for event in seen if event.startswith(word)] for word in ("start", "close"))
    assert len(starts) == len(ends) <= 4
    data = run_file()
    assert len(data["cases"]) == 88
    assert [case["kernel"] for case in data["cases"]] == ["5.10"] * 44 + ["6.1"] * 44, "in collection order"
    assert {kernel["accel"] for kernel in data["kernels"]} == {"tcg"}


def test_workers_take_a_kernel_each(run_apart: Run) -> None:
    result = run_apart("-n", "2", "-k", "accept")
    result.assert_outcomes(passed=6)
    starts = [event for event in events() if event.startswith("start")]
    assert sorted(starts) == ["start 5.10", "start 6.1"], "nobody booted a kernel another one had"


def test_workers_find_what_an_id_means(run_apart: Run) -> None:
    result = run_apart("-n", "2", "programs/family/one[accept2]@6.1")
    result.assert_outcomes(passed=1)
    assert [case["id"] for case in run_file()["cases"]] == ["programs/family/one[accept2]@6.1"]


def test_a_usage_error_with_workers(run_apart: Run) -> None:
    result = run_apart("-n", "2", "--kernel", "5.4")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*kernel 5.4 cannot be had"])


def test_sigterm_closes_the_guest_and_leaves_a_valid_run_file(run_apart: Run) -> None:
    add_program(Path(), "family/u_term", "accept, term, accept2")
    result = run_apart("--kernel", "5.10")
    assert result.ret == 143
    assert events()[-1] == "close 5.10"
    data = run_file()
    assert data["run"]["partial"] is True
    assert [case["id"] for case in data["cases"]] == [*ALL_ON_5_10, "programs/family/u_term[accept]@5.10"]
