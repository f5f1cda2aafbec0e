"""Nights under faults: killed at any moment, a full disk, a locked history, two at once."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import nightly_fakes
import pytest
from nightly_fakes import CASE, make_project

from harness.cli import main
from harness.nightly import folders
from harness.nightly.publish import FILES
from harness.record import historyfile
from harness.record.runfile import read

NIGHTS = Path("reports/nightly")
HISTORY = Path("reports/history.sqlite")
KILLS = 20


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BPFMATRIX_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    make_project(tmp_path, cases=10)
    nightly_fakes.install(monkeypatch.setattr)
    return tmp_path


def change_world(**changes: object) -> None:
    path = Path("world.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def start(*arguments: str) -> subprocess.Popen[bytes]:
    """A night in a process of its own."""
    return subprocess.Popen(
        [sys.executable, nightly_fakes.__file__, "nightly", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def hashes() -> dict[str, str]:
    """Every file of every finished night."""
    found = {}
    for record in folders.finished(NIGHTS):
        for path in (NIGHTS / record.name).iterdir():
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def history_runs() -> list[str]:
    """The runs of the history, which must be sound."""
    with closing(sqlite3.connect(HISTORY)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [run for (run,) in connection.execute("SELECT id FROM runs ORDER BY number")]


def assert_whole() -> None:
    """Every folder with a date is complete, and nothing of it is in the history twice."""
    dated = [path for path in NIGHTS.iterdir() if path.is_dir() and not path.name.startswith(".")]
    assert {path.name for path in dated} == {record.name for record in folders.finished(NIGHTS)}
    for folder in dated:
        assert {path.name for path in folder.iterdir()} == {*FILES, "night.json"}
        assert len(read(folder / "run.json").cases) == 20
    runs = history_runs()
    assert len(set(runs)) == len(runs)


def test_killed_at_twenty_moments_nothing_earlier_is_lost_and_the_next_night_is_whole() -> None:
    assert main(["nightly"]) == 0
    change_world(pause=0.01)
    began = time.monotonic()
    assert start().wait(120) == 0
    whole = time.monotonic() - began
    chance = random.Random(7)  # noqa: S311 - the moments need not be secret
    for number in range(KILLS):
        before = hashes()
        process = start()
        # One moment in each twentieth of a night, the end and what follows it included.
        time.sleep(whole * (number + chance.random()) / KILLS)
        process.send_signal(signal.SIGKILL)
        process.wait()
        after = hashes()
        assert {name: after.get(name) for name in before} == before
        assert_whole()
    change_world(pause=0)
    assert main(["nightly"]) == 0
    assert_whole()
    assert sorted(history_runs()) == sorted(record.run_id for record in folders.finished(NIGHTS))
    assert [path.name for path in NIGHTS.iterdir() if path.name.startswith(".")] == [".lock"]
    page = (NIGHTS / "index.html").read_text()
    assert all(f'href="{record.name}/matrix.html"' in page for record in folders.finished(NIGHTS))


def test_half_a_page_of_a_killed_night_is_removed_by_the_next_one() -> None:
    assert main(["nightly"]) == 0
    half = NIGHTS / ".index.html.abcd1234.tmp"
    half.write_text("<!doctype html>")
    assert main(["nightly"]) == 0
    assert not half.exists()


def finished_kernel(seconds: float = 60) -> str:
    """Wait until a night has kept a kernel; its name."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        kept = list(NIGHTS.glob(".work/kernels/[0-9]*.json"))
        if kept:
            return kept[0].stem
        time.sleep(0.005)
    raise AssertionError("no kernel was finished")


def killed_after_a_kernel() -> str:
    change_world(pause=0.05)
    process = start("--jobs", "1")
    name = finished_kernel()
    process.kill()
    process.wait()
    change_world(pause=0)
    return name


def test_the_next_night_goes_on_where_a_killed_one_was() -> None:
    name = killed_after_a_kernel()
    nightly_fakes._asked.clear()
    assert main(["nightly"]) == 0
    asked = {case.rpartition("@")[2] for case in nightly_fakes._asked}
    assert asked == {"6.1", "6.12"} - {name}
    (record,) = folders.finished(NIGHTS)
    assert record.cases == 20
    assert any(f"had finished {name}" in note for note in record.notes)
    assert {kernel.accel for kernel in read(NIGHTS / record.name / "run.json").kernels} == {"tcg"}


@pytest.mark.parametrize("what", ["program", "kernel", "age", "future", "damage"])
def test_what_a_killed_night_did_is_not_taken_over_when_something_changed(project: Path, what: str) -> None:
    name = killed_after_a_kernel()
    work = folders.work_folder(NIGHTS)
    plan = json.loads((work / "plan.json").read_text())
    if what == "program":
        program = project / "programs" / "family" / "one.bpf.c.j2"
        program.write_text(program.read_text() + "// edited\n")
    elif what == "kernel":
        change_world(kernels={"6.1": {"cached": ["6.1.192"]}, "6.12": {"cached": ["6.12.118"]}})
    elif what == "age":
        (work / "plan.json").write_text(json.dumps(plan | {"start": "2020-01-01T00:00:00Z"}))
    elif what == "future":
        (work / "plan.json").write_text(json.dumps(plan | {"start": "2999-01-01T00:00:00Z"}))
    else:
        kept = work / "kernels" / f"{name}.json"
        kept.write_text(kept.read_text()[:-40])
    nightly_fakes._asked.clear()
    assert main(["nightly"]) == 0
    assert len(nightly_fakes._asked) == 20
    assert_whole()


def test_an_interrupted_night_is_no_night(project: Path) -> None:
    change_world(pause=0.05)
    process = start("--jobs", "1")
    finished_kernel()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert folders.finished(NIGHTS) == ()
    change_world(pause=0)
    assert main(["nightly"]) == 0


def test_two_at_once_are_one(capsys: pytest.CaptureFixture[str]) -> None:
    change_world(pause=0.05)
    process = start("--jobs", "1")
    finished_kernel()
    assert main(["nightly"]) == 3
    assert "another night is being made" in capsys.readouterr().err
    assert process.wait(60) == 0
    assert_whole()
    assert len(folders.finished(NIGHTS)) == 1


def test_a_locked_history_costs_the_night_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["nightly"])
    monkeypatch.setattr(historyfile, "_WAIT_S", 0.2)
    with closing(sqlite3.connect(HISTORY, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert main(["nightly"]) == 0
        assert "the history lacks this night, the next one appends it" in capsys.readouterr().err
    assert len(history_runs()) == 1
    assert len(folders.finished(NIGHTS)) == 2
    assert main(["nightly"]) == 0
    assert history_runs() == [record.run_id for record in reversed(folders.finished(NIGHTS))]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Have every write beyond `size` bytes of a file refused, as a full disk refuses it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 100, 4000, 20_000])
def test_where_nothing_more_can_be_written_what_was_there_stays(
    size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["nightly"])
    before, runs = hashes(), history_runs()
    with files_of_at_most(size):
        status = main(["nightly"])
    assert status in (2, 3)
    assert "cannot be written" in capsys.readouterr().err
    assert hashes() == before
    assert history_runs() == runs
    assert main(["nightly"]) == 0
    assert_whole()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("this test mounts a file system, which is not allowed here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def write_until_full(path: Path) -> None:
    """Write until the disk takes nothing more."""
    with path.open("wb", buffering=0) as file:
        while file.write(bytes(512)):
            pass


def fill(path: Path) -> None:
    """Leave not a byte on the disk `path` is on."""
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        write_until_full(path)


def test_a_full_disk_is_infrastructure_and_leaves_the_nights_before(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = small_disk / "reports"
    assert main(["nightly", "--out", str(out)]) == 0
    first = folders.finished(out / "nightly")
    filler = small_disk / "filler"
    fill(filler)
    assert main(["nightly", "--out", str(out)]) == 3
    assert "No space left" in capsys.readouterr().err
    assert folders.finished(out / "nightly") == first
    filler.unlink()
    assert main(["nightly", "--out", str(out)]) == 0
    assert len(folders.finished(out / "nightly")) == 2


def test_a_folder_that_is_no_night_is_passed_over() -> None:
    main(["nightly"])
    (NIGHTS / "2026-01-01").mkdir()
    (NIGHTS / "2026-01-02").mkdir()
    (NIGHTS / "2026-01-02" / "night.json").write_text('{"schema": 99}')
    assert main(["nightly"]) == 0
    assert len(folders.finished(NIGHTS)) == 2


def test_a_night_whose_run_file_is_damaged_is_said_not_stumbled_over() -> None:
    main(["nightly"])
    (NIGHTS / folders.finished(NIGHTS)[0].name / "run.json").write_text("{")
    assert main(["nightly"]) == 0
    assert any("cannot be read" in note for note in folders.finished(NIGHTS)[0].notes)


def test_a_night_that_finds_worse_is_not_resumed_as_done() -> None:
    """What a second try needs is asked again after a kill: the first answers are kept, not the judgement."""
    main(["nightly"])
    change_world(answers={CASE.format(1, "6.1"): ["EACCES"]})
    killed_after_a_kernel()
    assert main(["nightly"]) == 1
