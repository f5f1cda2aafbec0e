"""Files that are either the old one or the new one, never half of one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from harness.errors import InfrastructureError, UserError

_NO_ROOM = "No space left on device"


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Open a temporary file beside `path` for writing UTF-8 text; on success it takes `path`'s place.

    The text is on disk (fsync) before the name changes, and an exception leaves the old file as it was.
    Raises UserError when the folder cannot be written, InfrastructureError when the disk is full.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        temporary = None
        _sync_folder(path.parent)
    except OSError as error:
        raise _explained(error, path) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explained(error: OSError, path: Path) -> UserError | InfrastructureError:
    what = f"cannot be written: {error.strerror or error}"
    if error.strerror == _NO_ROOM:
        return InfrastructureError(what, where=str(path), hint=f"make room: df -h {path.parent}")
    return UserError(what, where=str(path), hint="name another folder with --out")
