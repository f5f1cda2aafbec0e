"""Telling others of a night: a command with the changes file, and a summary in Markdown for a CI job."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from harness.errors import UserError

_SECONDS = 300.0
_SUMMARY_BYTES = 1_000_000  # GitHub refuses a step's summary beyond 1 MiB
_CUT = "\n\n… cut here; the whole is in changes.md\n"


def command_words(text: str) -> tuple[str, ...]:
    """Read a --notify-command; UserError, before anything is measured, when there is no such program."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise UserError(f"--notify-command {text!r} cannot be read: {error}") from error
    if not words or shutil.which(words[0]) is None:
        name = words[0] if words else ""
        raise UserError(
            f"--notify-command: there is no program {name!r}",
            hint="give the path of one, or wrap shell words: sh -c 'mail -s worse me < $0'",
        )
    return words


def notify(words: tuple[str, ...], changes: Path, status: int) -> str:
    """Run the command with the changes file as last argument; returns what went wrong, "" when nothing did.

    No shell is involved. The command knows the night's folder and exit status from BPFMATRIX_NIGHT and
    BPFMATRIX_STATUS. It cannot change how the night ends; after five minutes it is ended.
    """
    known = {"BPFMATRIX_NIGHT": str(changes.parent.absolute()), "BPFMATRIX_STATUS": str(status)}
    command = [*words, str(changes.absolute())]
    try:
        done = subprocess.run(
            command, env={**os.environ, **known}, stdin=subprocess.DEVNULL, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"the notify command was ended after {_SECONDS:.0f} s: {shlex.join(command)}"
    except OSError as error:
        return f"the notify command could not be run: {error.strerror}: {shlex.join(command)}"
    if done.returncode:
        return f"the notify command ended with status {done.returncode}: {shlex.join(command)}"
    return ""


def append_summary(path: Path, text: str) -> str:
    """Append Markdown to a step's summary, cut to what GitHub takes; returns what went wrong."""
    data = text.encode("utf-8", "replace")
    if len(data) > _SUMMARY_BYTES:
        data = data[:_SUMMARY_BYTES].rpartition(b"\n")[0] + _CUT.encode()
    try:
        with path.open("ab") as file:
            file.write(data + b"\n")
    except OSError as error:
        return f"the step summary could not be written: {path}: {error.strerror}"
    return ""
