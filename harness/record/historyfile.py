"""The file of the history: opening, locking, its schema and the steps between its versions.

The schema's version is `PRAGMA user_version`; each step to the next one is a file of `history_schema/`.
Whatever is done with the file is one transaction: whoever is killed meanwhile leaves it as it was.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from importlib import resources
from pathlib import Path

from harness.errors import HarnessError, InfrastructureError, UserError

_WAIT_S = 30.0  # for another run that is writing


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the history for recording, making or migrating it; on success everything done is committed.

    UserError for a file that is no history or is from a newer version; InfrastructureError when the disk is
    full, or another run is writing for longer than half a minute.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("BEGIN IMMEDIATE")
            _migrate(connection, path)
            yield connection
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise _explained(error, path) from error
    except OSError as error:
        raise UserError(f"cannot be written: {error.strerror or error}", where=str(path)) from error


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the history for questions, migrated to this version. Errors as of `recorded`."""
    if not path.is_file():
        raise UserError(
            "there is no history yet", where=str(path), hint="bpfmatrix nightly records every night"
        )
    if _version(path) < newest():
        with opened(path):
            pass
    try:
        with closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=_WAIT_S)
        ) as found:
            found.row_factory = sqlite3.Row
            yield found
    except sqlite3.Error as error:
        raise _explained(error, path) from error


@cache
def newest() -> int:
    """Return the version of the schema this program writes."""
    return len(_steps())


def migrate(connection: sqlite3.Connection, upto: int) -> None:
    """Bring the schema of `connection` to version `upto`, step by step, within the open transaction."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for number in range(version + 1, upto + 1):
        for statement in _statements(_steps()[number - 1]):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    _refuse_newer(version, path)
    if version == 0 and connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        raise UserError("an SQLite file, but no history of bpfmatrix", where=str(path))
    migrate(connection, newest())


def _version(path: Path) -> int:
    try:
        with closing(sqlite3.connect(path, timeout=_WAIT_S)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        raise _explained(error, path) from error
    _refuse_newer(version, path)
    return int(version)


def _refuse_newer(version: int, path: Path) -> None:
    if version > newest():
        raise UserError(
            f"a history of schema {version}; this version knows schemas up to {newest()}",
            where=str(path),
            hint="use the bpfmatrix that wrote it, or a newer one",
        )


@cache
def _steps() -> tuple[str, ...]:
    folder = resources.files("harness.record").joinpath("history_schema")
    files = sorted((int(file.name.removesuffix(".sql")), file) for file in folder.iterdir() if file.is_file())
    return tuple(file.read_text(encoding="utf-8") for _, file in files)


def _statements(text: str) -> Iterator[str]:
    """Cut a script at statements' ends; `executescript` would end the transaction."""
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _explained(error: sqlite3.Error, path: Path) -> HarnessError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        what = f"another process has been writing to the history for {_WAIT_S:.0f} s"
        return InfrastructureError(
            what, where=str(path), hint=f"wait for it, or see who it is: fuser -v {path}"
        )
    if code == sqlite3.SQLITE_FULL:
        hint = f"make room: df -h {path.parent}"
        return InfrastructureError("no space left on the disk", where=str(path), hint=hint)
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        what = f"no usable SQLite file: {error}"
        return UserError(what, where=str(path), hint=f"keep it aside: mv {path} {path}.damaged")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return UserError(f"cannot be written: {error}", where=str(path), hint="bpfmatrix doctor")
    return InfrastructureError(f"the history cannot be used: {error}", where=str(path))
