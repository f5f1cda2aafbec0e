"""The history's file: recording, asking, other schemas, and everything that can be wrong with it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from plugin_support import REJECT, kernel_run, row, run_of

from harness.errors import InfrastructureError, UserError
from harness.model import Observation, ObservationStatus, Outcome, Run
from harness.record import history, historyfile
from harness.record.history import append, case_names, recorded
from harness.scenario import Behaviour

CASE = "programs/maps/size[1024-raw]"


def night(number: int, **changes: object) -> Run:
    seen = Observation(ObservationStatus.LOADED, insns_processed=100 * number, kernel_time_us=7)
    case = row(**{"observation": seen, "source_sha256": "a" * 64, **changes})
    run = replace(run_of(case), id=f"night-{number}", start=f"2026-01-{number:02d}T01:00:00Z", harness="h")
    return replace(run, tools={"clang-19": "19.1.7"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "reports" / "history.sqlite"


def test_what_is_recorded_is_told(path: Path) -> None:
    assert append(path, night(1, behaviour=Behaviour.MISBEHAVES))
    assert append(path, night(2, verdict=REJECT, outcome=Outcome.FLAKY, answers=("a", "b")))
    first, second = recorded(path, CASE)
    assert (first.night.run, first.record.insns, str(first.record.answer)) == (
        "night-1",
        100,
        "accept, misbehaves",
    )
    assert (second.record.flaky, str(second.record.answer)) == (True, "reject at load with EACCES (bounds)")
    assert first.record.source == "a" * 12
    assert first.record.under.compiler == "clang-19 19.1.7"
    assert (first.record.under.release, first.record.under.harness) == ("5.10.1-amd64", "h")
    assert case_names(path) == (CASE,)
    assert recorded(path, "another") == ()


def test_a_run_is_recorded_once(path: Path) -> None:
    assert append(path, night(1))
    assert not append(path, night(1, verdict=REJECT))
    assert len(recorded(path, CASE)) == 1


def test_kernels_are_in_the_order_of_their_versions(path: Path) -> None:
    names = ("6.12", "5.10", "6.1")
    run = run_of(*(row(kernel=name) for name in names), kernels=tuple(map(kernel_run, names)))
    append(path, run)
    assert [entry.record.kernel for entry in recorded(path, CASE)] == ["5.10", "6.1", "6.12"]
    assert [entry.record.kernel for entry in recorded(path, CASE, ["6.1"])] == ["6.1"]


def test_a_clock_that_went_backwards_is_noted_and_changes_no_order(path: Path) -> None:
    for number in (5, 3, 4):
        append(path, night(number))
    assert [(entry.night.run, entry.night.clock_back) for entry in recorded(path, CASE)] == [
        ("night-5", False),
        ("night-3", True),
        ("night-4", False),
    ]


def test_an_older_schema_is_migrated_with_what_is_in_it(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        historyfile.migrate(connection, 1)
        connection.executescript(
            """
            INSERT INTO runs VALUES (1, 'old', '2025-12-31T01:00:00Z', '2025-12-31T02:00:00Z', 'm', 0);
            INSERT INTO kernels VALUES (1, '5.10', '5.10.99', '5.10.99-amd64', NULL);
            INSERT INTO cases VALUES (1, 'programs/maps/size[1024-raw]');
            INSERT INTO results VALUES (1, 1, '5.10', 'accept', NULL, NULL, NULL, NULL, NULL, 12, 34);
            """
        )
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    (only,) = recorded(path, CASE)
    assert (only.night.run, only.record.insns, only.record.under.version) == ("old", 12, "5.10.99")
    assert append(path, night(1))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (historyfile.newest(),)
        asked = 'SELECT run, kernel, version, insns FROM history WHERE "case" = ? ORDER BY number'
        assert connection.execute(asked, (CASE,)).fetchall() == [
            ("old", "5.10", "5.10.99", 12),
            ("night-1", "5.10", "5.10.1", 100),
        ]


def test_a_migration_that_fails_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        historyfile.migrate(connection, 1)
    before = path.read_bytes()
    steps = (*historyfile._steps(), "CREATE TABLE more (x);\nSELECT nonsense FROM nowhere;\n")
    monkeypatch.setattr(historyfile, "_steps", lambda: steps)
    monkeypatch.setattr(historyfile, "newest", lambda: 3)
    with pytest.raises(InfrastructureError, match="nowhere"):
        append(path, night(1))
    assert path.read_bytes() == before


def test_another_writer_is_waited_for_and_then_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(path, night(1))
    monkeypatch.setattr(historyfile, "_WAIT_S", 0.1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with (
            pytest.raises(InfrastructureError, match="another process") as caught,
            historyfile.opened(path),
        ):
            pass
        assert "fuser" in str(caught.value)
        assert len(recorded(path, CASE)) == 1  # reading is not in the way
        other.execute("ROLLBACK")
    assert append(path, night(2))


def test_a_full_disk(path: Path) -> None:
    append(path, night(1))
    cases = tuple(row(f"v{number}") for number in range(2000))

    def fill() -> None:
        with historyfile.opened(path) as connection:
            connection.execute("PRAGMA max_page_count = 12")
            history._record(connection, replace(night(2), cases=cases))

    with pytest.raises(InfrastructureError, match="no space left"):
        fill()
    assert len(recorded(path, CASE)) == 1
    assert append(path, night(2))


def test_killed_while_recording(path: Path) -> None:
    append(path, night(1))
    program = """
        import os, signal, sys
        from pathlib import Path
        from harness.record import historyfile
        with historyfile.opened(Path(sys.argv[1])) as connection:
            connection.execute("PRAGMA cache_size = 1")
            connection.execute("DELETE FROM results")
            connection.executemany("INSERT INTO cases (name) VALUES (?)", ((f"c{n}",) for n in range(20000)))
            os.kill(os.getpid(), signal.SIGKILL)
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(program), str(path)], check=False)
    assert ended.returncode == -9
    assert len(recorded(path, CASE)) == 1
    assert case_names(path) == (CASE,)
    assert append(path, night(2))


@pytest.mark.parametrize(
    "content", [b"no database at all, only words, words and words", b"SQLite format 3\0 damaged"]
)
def test_a_file_that_is_none(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content * 100)
    for use in (lambda: append(path, night(1)), lambda: recorded(path, CASE)):
        with pytest.raises(UserError, match="SQLite") as caught:
            use()
        assert f"mv {path}" in str(caught.value)
    assert path.read_bytes() == content * 100


def test_another_programs_database_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(UserError, match="no history of bpfmatrix"):
        append(path, night(1))


def test_a_newer_schema_is_refused(path: Path) -> None:
    append(path, night(1))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    for use in (lambda: append(path, night(2)), lambda: recorded(path, CASE)):
        with pytest.raises(UserError, match="schema 99"):
            use()


def test_there_is_none_yet(path: Path) -> None:
    with pytest.raises(UserError, match="no history yet"):
        recorded(path, CASE)
    assert not path.exists()


def test_names_that_are_no_utf_8(path: Path) -> None:
    odd = os.fsdecode(b"mine\xff.o")
    append(path, run_of(row(id=f"{odd}[f]@5.10")))
    assert len(recorded(path, f"{odd}[f]")) == 1
