"""Saved guests: QEMU's migration stream of a ready guest, and what it must be restored with.

A snapshot belongs to exactly one kernel image, module set, agent, initramfs, QEMU, command line and
accelerator; all of them are in its key. A stream that does not have the length and checksum it was saved
with is thrown away: a guest restored from damaged memory would give wrong verdicts silently.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from harness.errors import InfrastructureError
from harness.guest.errors import GuestFailure
from harness.guest.qmp import Monitor
from harness.paths import cache_dir

SCHEMA = 1
# The newest few keys of a kernel: guests of one processor and of two, and one to spare. Older ones belong to
# agents nobody has any more.
_KEPT_PER_KERNEL = 3


@dataclass(frozen=True, slots=True)
class SnapshotMeta:
    """What stands beside a stream."""

    schema: int
    size: int
    crc: int
    line: int  # which of the guest's lines the agent listens on
    boot_seconds: float  # what the boot it replaces took


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The place of one saved guest; it may or may not exist."""

    folder: Path

    @property
    def stream(self) -> Path:
        """QEMU's migration stream."""
        return self.folder / "state"

    def load(self) -> SnapshotMeta | None:
        """The description of an existing snapshot, None when there is none that can be used."""
        try:
            meta = SnapshotMeta(**json.loads((self.folder / "meta.json").read_text()))
            if meta.schema == SCHEMA and self.stream.stat().st_size == meta.size:
                return meta
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError):
            pass
        self.discard()
        return None

    def intact(self, meta: SnapshotMeta) -> bool:
        """Whether the whole stream still has its checksum (reads it all; run beside QEMU's own reading)."""
        try:
            return _crc(self.stream) == meta.crc
        except OSError:
            return False

    def incoming(self) -> str:
        """The migration URI that restores it (`exec:` is what every QEMU since 4 understands)."""
        return f"exec:cat {shlex.quote(str(self.stream))}"

    def save(self, monitor: Monitor, line: int, boot_seconds: float) -> None:
        """Save the running guest here, atomically; the guest goes on running.

        Raise InfrastructureError when the cache cannot hold it, GuestFailure when QEMU cannot save.
        """
        parent = self.folder.parent
        try:
            parent.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=parent))
        except OSError as error:
            raise _no_room(parent, error) from error
        try:
            self._fill(draft, monitor, line, boot_seconds)
        except OSError as error:
            raise _no_room(parent, error) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _fill(self, draft: Path, monitor: Monitor, line: int, boot_seconds: float) -> None:
        stream = draft / "state"
        monitor.save(f"exec:cat > {shlex.quote(str(stream))}")
        size = stream.stat().st_size
        meta = SnapshotMeta(SCHEMA, size, _crc(stream), line, round(boot_seconds, 3))
        (draft / "meta.json").write_text(json.dumps(asdict(meta)))
        with contextlib.suppress(OSError):  # somebody else saved the same guest meanwhile: theirs is as good
            draft.rename(self.folder)
        _forget_old(self.folder.parent)

    def discard(self) -> None:
        """Throw the snapshot away."""
        shutil.rmtree(self.folder, ignore_errors=True)


def snapshot_for(kernel: str, parts: Iterable[str]) -> Snapshot:
    """The snapshot of `kernel` whose guest is described by `parts` (every word that decides what it is)."""
    key = hashlib.sha256("\0".join([str(SCHEMA), *parts]).encode()).hexdigest()[:20]
    return Snapshot(cache_dir() / "snapshots" / kernel.replace("/", "_") / key)


@cache
def qemu_version(program: str) -> str:
    """The first line of `PROGRAM --version`, which is part of a snapshot's key."""
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=20)
    return answer.stdout.partition("\n")[0] or f"{program} of unknown version"


def _crc(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            crc = zlib.crc32(chunk, crc)
    return crc


def _forget_old(parent: Path) -> None:
    entries = [entry for entry in parent.iterdir() if not entry.name.startswith(".")]
    entries.sort(key=lambda entry: entry.stat().st_mtime, reverse=True)
    for entry in entries[_KEPT_PER_KERNEL:]:
        shutil.rmtree(entry, ignore_errors=True)


def _no_room(folder: Path, error: OSError) -> InfrastructureError:
    return InfrastructureError(
        f"the guest cannot be saved in {folder}: {os.strerror(error.errno or 0)}",
        hint="make room (bpfmatrix kernels prune), or set BPFMATRIX_CACHE to a folder you may write",
    )


def try_save(snapshot: Snapshot, monitor: Monitor, line: int, boot_seconds: float) -> str | None:
    """Save if it can be done; otherwise say why not (the guest still serves this run)."""
    try:
        snapshot.save(monitor, line, boot_seconds)
    except (InfrastructureError, GuestFailure) as problem:
        return str(problem)
    return None
