"""Objects kept by content: `<key>.o` and `<key>.json` in the cache's `objects` folder.

The key covers the text, the compiler and its options; the .json names the headers clang read with
their hashes, and the object's own. A lookup believes nothing it has not compared, so a changed header
or a damaged object is a miss. Writers only ever rename whole files into place: any number may run.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.errors import InfrastructureError, UserError

_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A compiled object in the cache; `log` are the compiler's warnings."""

    path: Path
    sha256: str
    programs: tuple[str, ...]
    log: str


class ObjectCache:
    """The folder of objects. Hashes of headers are kept as long as their size and time stay."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "objects"
        self._hashes: dict[str, tuple[tuple[int, int, int], str]] = {}

    def get(self, key: str) -> Entry | None:
        """The entry of `key`, or None when there is none or it no longer holds."""
        path = self._folder / f"{key}.o"
        try:
            notes = json.loads((self._folder / f"{key}.json").read_bytes())
            entry = Entry(path, notes["sha256"], tuple(notes["programs"]), notes["log"])
            sound = (
                notes["schema"] == _SCHEMA
                and hashlib.sha256(path.read_bytes()).hexdigest() == entry.sha256
                and all(self._hash(header) == known for header, known in notes["headers"].items())
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return entry if sound else None

    def put(
        self, key: str, content: bytes, programs: tuple[str, ...], log: str, headers: Iterable[Path]
    ) -> Entry:
        """Keep an object; UserError when the cache cannot be written, InfrastructureError when full."""
        digest = hashlib.sha256(content).hexdigest()
        try:
            known = {str(header): self._hash(str(header)) for header in headers}
            notes = {"schema": _SCHEMA, "sha256": digest, "programs": programs, "log": log, "headers": known}
            path = write_atomic(self._folder / f"{key}.o", content)
            write_atomic(self._folder / f"{key}.json", json.dumps(notes).encode())
        except OSError as error:
            raise cache_error(error, self._folder) from error
        return Entry(path, digest, programs, log)

    def _hash(self, file: str) -> str:
        stat = os.stat(file)  # noqa: PTH116  twenty of these per lookup: Path costs five times as much
        seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        known = self._hashes.get(file)
        if known is None or known[0] != seen:
            known = (seen, hashlib.sha256(Path(file).read_bytes()).hexdigest())
            self._hashes[file] = known
        return known[1]


def write_atomic(path: Path, content: bytes) -> Path:
    """Write `content` to `path` whole or not at all; OSError when that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise
    return path


def cache_error(error: OSError, folder: Path) -> UserError | InfrastructureError:
    """What to tell a person whose cache cannot be written."""
    if isinstance(error, (PermissionError, NotADirectoryError, FileExistsError)):
        return UserError(
            f"the cache cannot be written: {error.strerror}",
            where=str(folder),
            hint="give yourself the folder, or set BPFMATRIX_CACHE to another one",
        )
    return InfrastructureError(
        f"the cache cannot be written: {error.strerror}",
        where=str(folder),
        hint="`bpfmatrix kernels prune` frees space, or set BPFMATRIX_CACHE to another disk",
    )
