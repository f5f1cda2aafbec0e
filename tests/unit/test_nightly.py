"""Nights with stand-in guests: what is compared, tried again, written, told, and the exit status."""

from __future__ import annotations

import csv
import json
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import nightly_fakes
import pytest
from nightly_fakes import CASE, make_project

from harness.cli import main
from harness.nightly import folders, night
from harness.nightly.publish import FILES
from harness.record.runfile import read

NIGHTS = Path("reports/nightly")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BPFMATRIX_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    make_project(tmp_path)
    nightly_fakes.install(monkeypatch.setattr)
    return tmp_path


def change_world(**changes: Any) -> None:
    path = Path("world.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    nightly_fakes._asked.clear()


def nights() -> list[folders.NightRecord]:
    return list(folders.finished(NIGHTS))


def latest() -> Path:
    return NIGHTS / nights()[0].name


def recorded() -> list[str]:
    """The runs of the history."""
    with closing(sqlite3.connect("reports/history.sqlite")) as connection:
        return [run for (run,) in connection.execute("SELECT id FROM runs")]


def junit() -> ET.ElementTree:
    """Our own file, so that no hostile XML is parsed."""
    return ET.parse(latest() / "junit.xml")  # noqa: S314


def changes() -> str:
    return (latest() / "changes.md").read_text()


def test_a_first_night_has_every_file_and_is_green(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nightly"]) == 0
    assert {path.name for path in latest().iterdir()} == {*FILES, "night.json"}
    assert "nothing to compare with" in changes()
    assert "0 worse" in capsys.readouterr().out
    assert [path.name for path in NIGHTS.iterdir() if path.name.startswith(".")] == [".lock"]


def test_a_second_night_without_changes_says_so() -> None:
    assert (main(["nightly"]), main(["nightly"])) == (0, 0)
    first, second = reversed(nights())
    assert second.name != first.name
    assert (second.number, second.changes, second.regressions) == (2, 0, 0)
    assert f"Compared with {first.name}" in changes()
    assert "6 cases compared: no difference" in changes()


def test_an_edited_program_that_is_refused_is_a_regression_of_its_source(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["nightly"])
    program = project / "programs" / "family" / "one.bpf.c.j2"
    program.write_text(program.read_text() + "// edited\n")
    change_world(answers={CASE.format(1, "6.12"): ["EACCES"]})
    assert main(["nightly"]) == 1
    record = nights()[0]
    assert (record.status, record.regressions, record.changes, record.flaky) == (1, 1, 1, 0)
    assert "new rejection" in changes()
    assert "program source changed" in changes()
    assert "kernel release changed" not in changes()
    assert "bpfmatrix run --kernel 6.12 --clang clang-19 -k 'programs/family/one[1]'" in changes()
    assert "worse: programs/family/one[1]@6.12: new rejection" in capsys.readouterr().out


def test_a_new_point_release_is_named_and_the_one_before_is_asked() -> None:
    main(["nightly"])
    kernels = nightly_fakes.world()["kernels"]
    kernels["6.12"]["offers"] = "6.12.118"
    answers = {f"{CASE.format(0, '6.12')}=6.12.118": ["EACCES"], CASE.format(0, "6.12"): ["accept"]}
    change_world(kernels=kernels, answers=answers)
    assert main(["nightly"]) == 1
    text = changes()
    assert "| 6.12     | 6.12.118  | `6.12.118+deb-amd64` | 6.12.117 → 6.12.118" in text
    assert "kernel release changed: 6.12.117 → 6.12.118" in text
    assert "6.12.117 tonight: accept, 100 instructions; so the new release is the reason" in text
    assert "program source changed" not in text
    assert nightly_fakes.world()["kernels"]["6.12"]["cached"] == ["6.12.117", "6.12.118"]


def test_the_release_before_may_clear_the_new_one(project: Path) -> None:
    main(["nightly"])
    program = project / "programs" / "family" / "one.bpf.c.j2"
    program.write_text(program.read_text() + "// edited\n")
    kernels = nightly_fakes.world()["kernels"]
    kernels["6.12"]["offers"] = "6.12.118"
    change_world(kernels=kernels, answers={CASE.format(0, "6.12"): ["EACCES"]})
    assert main(["nightly"]) == 1
    assert "so the release is not the reason" in changes()


def test_what_happens_once_is_flaky_and_listed() -> None:
    main(["nightly"])
    change_world(answers={CASE.format(2, "6.1"): ["EACCES", "accept"]})
    assert main(["nightly"]) == 0
    record = nights()[0]
    assert (record.regressions, record.flaky) == (0, 1)
    assert "### Flaky" in changes()
    row = next(row for row in read(latest() / "run.json").cases if row.id == CASE.format(2, "6.1"))
    assert row.flaky
    assert row.answers == ("reject at load with EACCES", "accept")
    change_world(answers={})
    assert main(["nightly"]) == 0
    assert nights()[0].regressions == 0


def test_a_count_that_grew_once_is_flaky_too() -> None:
    main(["nightly"])
    change_world(answers={CASE.format(2, "6.1"): ["insns 90000", "accept"]})
    assert main(["nightly"]) == 0
    assert nights()[0].flaky == 1
    assert "90,000 instructions" in changes()


def test_a_count_that_grew_twice_is_worse() -> None:
    main(["nightly"])
    change_world(answers={CASE.format(2, "6.1"): ["insns 90000"]})
    assert main(["nightly"]) == 1
    assert "instruction count" in changes()
    change_world(answers={CASE.format(2, "6.1"): ["insns 170000"]})
    assert main(["nightly", "--insns", "100", "1000"]) == 0


@pytest.mark.parametrize("answer", ["crash", "hang"])
def test_a_crash_or_hang_is_never_tried_away(answer: str) -> None:
    main(["nightly"])
    change_world(answers={CASE.format(2, "6.1"): [answer, "accept"]})
    assert main(["nightly"]) == 1
    assert nightly_fakes._asked[CASE.format(2, "6.1")] == 1
    assert nights()[0].flaky == 0
    assert answer in changes()


def test_a_second_try_that_crashes_stays_worse_and_is_what_is_kept() -> None:
    main(["nightly"])
    change_world(answers={CASE.format(2, "6.1"): ["EACCES", "crash"]})
    assert main(["nightly"]) == 1
    row = next(row for row in read(latest() / "run.json").cases if row.id == CASE.format(2, "6.1"))
    assert row.outcome == "crash"


def test_only_what_got_worse_is_tried_again() -> None:
    main(["nightly"])
    change_world(answers={CASE.format(2, "6.1"): ["EACCES"]})
    main(["nightly"])
    assert nightly_fakes._asked[CASE.format(2, "6.1")] == 2
    assert {count for case, count in nightly_fakes._asked.items() if case != CASE.format(2, "6.1")} == {1}


def test_a_case_that_is_gone_is_a_regression(project: Path) -> None:
    main(["nightly"])
    manifest = project / "programs" / "family" / "one.yaml"
    manifest.write_text(nightly_fakes.MANIFEST % "0, 1, 7")
    assert main(["nightly"]) == 1
    assert "case missing" in changes()
    assert "new case" in changes()
    tree = junit()
    failed = [case.get("name") for case in tree.iter("testcase") if case.find("failure") is not None]
    assert failed == [CASE.format(2, "6.1"), CASE.format(2, "6.12")]


def test_another_selection_is_not_compared_and_nothing_is_missing() -> None:
    main(["nightly"])
    assert main(["nightly", "--kernel", "6.1", "-k", "[1]"]) == 0
    assert nights()[0].cases == 1
    assert "nothing to compare with" in changes()
    assert main(["nightly", "--kernel", "6.12", "-k", "[1]"]) == 0
    assert main(["nightly"]) == 0
    assert "6 cases compared: no difference" in changes()


def test_a_baseline_is_compared_with_too() -> None:
    main(["nightly"])
    run = str(latest() / "run.json")
    assert main(["baseline", "update", "--run", run]) == 0 or Path("reports/baseline").is_dir()
    change_world(answers={CASE.format(1, "6.1"): ["EACCES"]})
    assert main(["nightly"]) == 1
    assert "Compared with baseline" in changes()
    assert "1 of the differences are those with baseline" in changes()
    assert main(["nightly"]) == 1, "still worse than the baseline, though not than the night before"
    assert "6 cases compared: no difference" in changes()


@pytest.mark.parametrize(
    "broken",
    [{"unbootable": ["6.12"]}, {"kernels": {"6.1": {"cached": ["6.1.190"]}, "6.12": {"fails": "down"}}}],
)
def test_a_kernel_that_is_not_there_is_neither_green_nor_a_regression(broken: dict[str, Any]) -> None:
    main(["nightly"])
    before = nightly_fakes.world()
    change_world(**broken)
    assert main(["nightly"]) == 3
    assert nights()[0].regressions == 0
    assert "nothing known of 6.12" in changes()
    suites = {suite.get("name"): suite for suite in junit().iter("testsuite")}
    assert (suites["6.12"].get("errors"), suites["6.12"].get("failures")) == ("1", "0")
    change_world(**before, unbootable=[])
    assert main(["nightly"]) == 0
    assert "6.12 is compared with" in changes(), "the last night it ran in"
    assert "6 cases compared: no difference" in changes()


def test_a_regression_beside_a_broken_kernel_is_still_one() -> None:
    main(["nightly"])
    change_world(unbootable=["6.12"], answers={CASE.format(1, "6.1"): ["EACCES"]})
    assert main(["nightly"]) == 1


def test_without_network_a_night_runs_on_what_is_cached_and_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["nightly"])
    kernels = {
        name: entry | {"fails": "no route to host"}
        for name, entry in nightly_fakes.world()["kernels"].items()
    }
    change_world(kernels=kernels)
    assert main(["nightly"]) == 0
    assert changes().count("from the cache, its source was not asked: apt-get update: no route to host") == 2
    assert "6.1: not refreshed: apt-get update: no route to host" in capsys.readouterr().out
    assert [kernel.stale != "" for kernel in nights()[0].kernels] == [True, True]


def test_a_source_that_offers_less_than_the_cache_has_moves_nothing_back() -> None:
    kernels = nightly_fakes.world()["kernels"]
    kernels["6.12"] = {"cached": ["6.12.118"], "offers": "6.12.117"}
    change_world(kernels=kernels)
    main(["nightly"])
    assert nights()[0].kernels[1].version == "6.12.118"


def test_a_baseline_of_an_older_schema_costs_its_comparison_and_the_green() -> None:
    main(["nightly"])
    folder = Path("reports/baseline")
    main(["baseline", "update", "--run", str(latest() / "run.json")])
    path = folder / "6.12.txt"
    path.write_text(re.sub(r"baseline \d+", "baseline 0", path.read_text(), count=1))
    assert main(["nightly"]) == 3
    assert "the baseline of 6.12 is left out" in changes()
    assert "bpfmatrix baseline update" in changes()
    assert nights()[0].regressions == 0
    assert path.read_text().startswith("# bpfmatrix baseline 0\n"), "only its own command moves the baseline"


def test_a_clock_that_goes_backwards_changes_no_order(monkeypatch: pytest.MonkeyPatch) -> None:
    main(["nightly"])
    first = nights()[0].name
    past = datetime(2020, 2, 29, 3, 0, tzinfo=UTC)
    monkeypatch.setattr("harness.pipeline.timestamp", lambda: "2020-02-29T03:00:00Z")
    make = night.make_night
    monkeypatch.setattr("harness.cli.nightly.make_night", lambda *given: make(*given, clock=lambda: past))
    change_world(answers={CASE.format(1, "6.1"): ["EACCES"]})
    assert main(["nightly"]) == 1
    assert nights()[0].name == "2020-02-29"
    assert "the clock went backwards" in changes()
    assert f"Compared with {first}" in changes()


def test_the_files_hold_hostile_logs(project: Path) -> None:
    main(["nightly"])
    change_world(answers={CASE.format(1, "6.1"): ["EACCES"], CASE.format(2, "6.1"): ["crash"]})
    assert main(["nightly"]) == 1
    (case,) = [c for c in junit().iter("testcase") if c.get("name") == CASE.format(1, "6.1")]
    properties = {item.get("name"): item.get("value") for item in case.iter("property")}
    assert properties["kernel"] == "6.1"
    (failure,) = case.iter("failure")
    assert failure.text is not None
    assert "R1 <script> bad" in failure.text
    with (latest() / "results.csv").open(newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert rows[CASE.format(1, "6.1")]["worse"] == "yes"
    assert rows[CASE.format(0, "6.1")]["change"] == ""
    for path in (*latest().iterdir(), NIGHTS / "index.html"):
        assert "\x1b" not in path.read_text()
        assert "\x00" not in path.read_text()


def test_the_page_tells_what_changed_and_how_the_nights_before_were(project: Path) -> None:
    assert main(["nightly"]) == 0
    change_world(answers={CASE.format(1, "6.1"): ["EACCES"]})
    assert main(["nightly"]) == 1
    page = (latest() / "matrix.html").read_text()
    assert f"Since {nights()[1].name}" in page
    assert re.search(r'<details class="worse" open>\s*<summary><span class="sign">▼</span> 1 worse', page)
    assert "2 nights, the latest first" in page
    (project / "reports" / "history.sqlite").write_text("no history")
    assert main(["nightly"]) == 0
    assert "the nights before are not shown: " in (latest() / "matrix.html").read_text()


# What the readers of CI systems know (Jenkins' junit plugin, GitLab's and Azure's reports): element → its
# attributes, and the elements it may hold. Anything else is dropped by one and refused by another.
JUNIT = {
    "testsuites": ({"name", "tests", "failures", "errors", "skipped", "time"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"},
        {"properties", "testcase"},
    ),
    "testcase": ({"name", "classname", "time", "file"}, {"properties", "failure", "error", "skipped"}),
    "properties": (set(), {"property"}),
    "property": ({"name", "value"}, set()),
    "failure": ({"type", "message"}, set()),
    "error": ({"type", "message"}, set()),
    "skipped": ({"message"}, set()),
}


def test_the_junit_file_is_what_ci_systems_read(project: Path) -> None:
    main(["nightly"])
    manifest = project / "programs" / "family" / "one.yaml"
    manifest.write_text(nightly_fakes.MANIFEST % "0, 1, 7")
    change_world(answers={CASE.format(1, "6.1"): ["EACCES"]}, unbootable=["6.12"])
    assert main(["nightly"]) == 1
    root = junit().getroot()
    for element in root.iter():
        attributes, children = JUNIT[element.tag]
        assert set(element.keys()) <= attributes
        assert {child.tag for child in element} <= children
    for element in (root, *root.iter("testsuite")):
        cases = list(element.iter("testcase"))
        assert element.get("tests") == str(len(cases))
        assert float(element.get("time", "")) >= 0
        for tag, total in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert element.get(total) == str(sum(case.find(tag) is not None for case in cases))
    assert {name: root.get(name) for name in ("failures", "errors", "skipped")} == {
        "failures": "2",  # one new rejection, one case that is gone
        "errors": "1",  # the kernel that did not start
        "skipped": "3",  # its cases
    }
    ids = [case.get("name") for case in root.iter("testcase")]
    assert len(ids) == len(set(ids))
    one = next(case for case in root.iter("testcase") if case.get("name") == CASE.format(1, "6.1"))
    assert one.get("file") == "programs/family/one.bpf.c.j2"
    assert one.get("classname") == "6.1.programs.family.one"


def test_the_index_is_one_escaped_file(project: Path) -> None:
    odd = project / "<img src=x onerror=alert(1)>"
    odd.mkdir()
    (odd / "mine.bpf.c.j2").write_text(nightly_fakes.PROGRAM)
    (odd / "mine.yaml").write_text(nightly_fakes.MANIFEST % "1")
    assert main(["nightly", "--programs", str(odd)]) == 0
    assert main(["nightly", "-k", "N99"]) == 0
    text = (NIGHTS / "index.html").read_text()
    for record in nights():
        assert f'href="{record.name}/matrix.html"' in text
        assert f'href="{record.name}/junit.xml"' in text
    assert "default-src &#39;none&#39;; style-src &#39;sha256-" in text
    assert not re.search(r'(src|href)="(https?:)?//', text)
    assert "<img" not in text
    assert "&lt;img src=x" in text
    shown = re.findall(r'<article id="([^"]+)"', text)
    assert shown == [record.name for record in nights()]


def test_the_notify_command_gets_the_changes_on_a_regression_only(project: Path) -> None:
    script = project / "tell"
    script.write_text(
        '#!/bin/sh\nprintf "%s %s " "$BPFMATRIX_STATUS" "$1" >> told\ncat "$2" >> told\nexit 7\n'
    )
    script.chmod(0o755)
    command = ["nightly", "--notify-command", f"{script} 'a b'"]
    assert main(command) == 0
    assert not Path("told").exists()
    change_world(answers={CASE.format(1, "6.1"): ["EACCES"]})
    assert main(command) == 1
    assert Path("told").read_text() == f"1 a b {changes()}"


@pytest.mark.parametrize("command", ["nowhere/to/be/found", "'", ""])
def test_a_notify_command_that_cannot_be_is_told_before_anything_runs(command: str) -> None:
    assert main(["nightly", "--notify-command", command]) == 2
    assert not NIGHTS.exists()


@pytest.mark.parametrize("by_variable", [True, False])
def test_a_step_summary_is_appended(monkeypatch: pytest.MonkeyPatch, by_variable: bool) -> None:
    Path("summary").write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY" if by_variable else "OTHER", "summary")
    main(["nightly", *([] if by_variable else ["--step-summary", "summary"])])
    assert Path("summary").read_text() == f"before\n{changes()}\n"


@pytest.mark.parametrize("jobs", ["auto", "1", "2"])
def test_a_guest_of_a_kernel_serves_all_its_cases(jobs: str) -> None:
    main(["nightly", "--jobs", jobs])
    assert nightly_fakes.started == {"6.1": 1, "6.12": 1}
    change_world(answers={CASE.format(1, "6.1"): ["EACCES"]})
    nightly_fakes.started.clear()
    assert main(["nightly", "--jobs", jobs]) == 1
    assert nightly_fakes.started == {"6.1": 2, "6.12": 1}, "one more, for what got worse"


@pytest.mark.parametrize("jobs", ["0", "65", "many"])
def test_jobs_is_a_number_or_auto(jobs: str) -> None:
    assert main(["nightly", "--jobs", jobs]) == 2


def test_nothing_that_matches_is_the_persons_mistake() -> None:
    assert main(["nightly", "-k", "nothing"]) == 2
    assert not nights()


def test_keep_removes_older_nights_of_each_selection_and_the_history_has_them() -> None:
    main(["nightly", "-k", "[1]"])
    for _ in range(3):
        main(["nightly"])
    every = nights()
    (NIGHTS / ".gone" / "7-2020-01-01").mkdir(
        parents=True
    )  # of a night that was killed while it removed others
    assert main(["nightly", "--keep", "2"]) == 0
    left = nights()
    assert [night.number for night in left] == [5, 4, 1], "the one of another selection stays"
    page = (NIGHTS / "index.html").read_text()
    assert {night.name for night in left} == set(re.findall(r'<article id="([^"]+)"', page))
    assert not (NIGHTS / ".gone").exists()
    assert {night.run_id for night in every} < set(recorded())
    assert main(["nightly"]) == 0
    assert nights()[0].number == 6


def test_a_night_the_history_lacks_is_not_removed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["nightly"])
    Path("reports/history.sqlite").write_bytes(b"no history")
    assert main(["nightly", "--keep", "1"]) == 0
    assert "the history lacks this night" in capsys.readouterr().err
    assert len(nights()) == 2


def test_an_index_that_cannot_be_written_changes_no_status(capsys: pytest.CaptureFixture[str]) -> None:
    main(["nightly"])
    (NIGHTS / "index.html").unlink()
    (NIGHTS / "index.html").mkdir()
    change_world(answers={CASE.format(1, "6.1"): ["EACCES"]})
    assert main(["nightly"]) == 1
    assert "index.html" in capsys.readouterr().err
