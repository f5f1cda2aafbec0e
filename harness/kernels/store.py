"""The cache of kernels: shared between runs and processes, filled one kernel at a time.

    kernels/<name>@<key>/   meta.json, vmlinuz, config, btf, modules/NN-<module>.ko
    kernels/.apt/<suite>/   the private apt (indexes)
    kernels/.downloads/     packages on their way, kept when a download is interrupted
    kernels/.tmp/           kernels being unpacked; renamed into place when whole
    kernels/.locks/         one lock per kernel name

Asking what is there (`cached`) takes no lock, starts no process and writes nothing.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from harness.catalog.kernels import ImageSource, KernelSpec, image_spec
from harness.errors import InfrastructureError, UserError
from harness.kernels import meta as metafile
from harness.kernels.apt import Apt
from harness.kernels.debversion import sort_key
from harness.kernels.errors import KernelUnavailable, SourceError, writing
from harness.kernels.meta import Meta
from harness.kernels.progress import Report, Step, stepper
from harness.kernels.sources import LocalImage, Resolved, resolve
from harness.kernels.unpack import Stage
from harness.model import Kernel
from harness.paths import cache_dir

_LOCK_TIMEOUT_S = 1800.0  # longer than any download of one kernel should take


@dataclass(frozen=True, slots=True)
class Usage:
    """What one cached kernel takes, in bytes; `snapshot_bytes` are its name's, shown at its newest."""

    kernel: Kernel
    fetched: str
    registered: bool
    kernel_bytes: int
    snapshot_bytes: int


class KernelStore:
    """Kernels on disk below `root` (default: `kernels` in the cache). Constructing one touches nothing."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = (root if root is not None else cache_dir() / "kernels").absolute()

    def ensure(self, spec: KernelSpec, *, refresh: bool = False, report: Report | None = None) -> Kernel:
        """Return the kernel, fetching it when the cache has none that serves.

        `refresh` asks the source for something newer first (a new point release). Raises
        KernelUnavailable when the source cannot give it, UserError for what the person can put right
        (a file that is no kernel, a cache nobody may write, a full disk).
        """
        if not refresh and (kernel := self.cached(spec)):
            return kernel
        step = stepper(spec.name, report)
        with writing(self.root), self._locked(spec.name, step):
            if not refresh and (kernel := self.cached(spec)):
                return kernel  # another process fetched it while we waited
            if (registered := self._registered(spec)) is not None:
                return registered.kernel(spec)
            try:
                resolved = resolve(spec, self._apt, step, refresh=refresh)
                return self._obtain(spec, resolved, step).kernel(spec)
            except SourceError as error:
                raise unavailable(spec, error) from error

    def cached(self, spec: KernelSpec) -> Kernel | None:
        """Return the newest cached kernel that serves `spec`, or None; never touches the network.

        One whose files changed since they were kept does not count. Raises UserError when that is an
        image the person registered: falling back to another kernel would go unnoticed.
        """
        registered = self._registered(spec)
        if registered is not None:
            return registered.kernel(spec)
        for meta in self._metas(spec.name):
            if not meta.registered and meta.serves(spec) and meta.intact:
                return meta.kernel(spec)
        return None

    def kept(self, spec: KernelSpec) -> tuple[Kernel, ...]:
        """Every release of `spec` in the cache, the newest first: earlier ones stay when one is fetched."""
        metas = [meta for meta in self._metas(spec.name) if not meta.registered and meta.serves(spec)]
        return tuple(meta.kernel(spec) for meta in metas if meta.intact)

    def add_image(
        self, name: str, image: Path, modules: Path | None = None, *, report: Report | None = None
    ) -> Kernel:
        """Copy a local image (and the modules it needs) into the cache as kernel `name`.

        From then on it stands for the entry `name` of kernels.yaml, or for itself where there is none.
        Raises UserError for a file that is no bzImage, or modules that are missing or another kernel's.
        """
        spec = image_spec(name, image, modules)
        source = ImageSource(image, modules)
        step = stepper(name, report)
        with writing(self.root), self._locked(name, step):
            earlier = [meta for meta in self._metas(name) if meta.registered]
            meta = self._fetch(name, LocalImage(source), step, registered=True)
            for old in earlier:
                if old.folder != meta.folder:
                    shutil.rmtree(old.folder, ignore_errors=True)
            return meta.kernel(spec)

    def with_registered(self, specs: Sequence[KernelSpec]) -> tuple[KernelSpec, ...]:
        """`specs` and, after them, an entry for each registered image of a name that is not among them."""
        known = {spec.name for spec in specs}
        extra = {
            meta.name: KernelSpec(meta.name, ImageSource(meta.folder / meta.image.path))
            for meta in self._metas()
            if meta.registered and meta.name not in known
        }
        return (*specs, *extra.values())

    def usage(self, snapshots: Path | None = None) -> tuple[Usage, ...]:
        """What every cached kernel takes; `snapshots` holds one folder per kernel name."""
        snapshots = snapshots if snapshots is not None else cache_dir() / "snapshots"
        rows, seen = [], set()
        for meta in self._metas():
            saved = 0 if meta.name in seen else folder_bytes(snapshots / meta.name.replace("/", "_"))
            seen.add(meta.name)
            size = folder_bytes(meta.folder)
            rows.append(Usage(meta.kernel(None), meta.fetched, meta.registered, size, saved))
        return tuple(rows)

    def prune(self, snapshots: Path | None = None) -> int:
        """Empty the cache of kernels, images registered by hand and snapshots; return the bytes freed.

        Raises InfrastructureError when another process is fetching a kernel right now.
        """
        snapshots = snapshots if snapshots is not None else cache_dir() / "snapshots"
        names = sorted(lock.name.removesuffix(".lock") for lock in (self.root / ".locks").glob("*.lock"))
        kept = [path for path in self.root.glob("*") if path.name != ".locks"]
        freed = 0
        with contextlib.ExitStack() as locks, writing(self.root):
            for name in names:
                locks.enter_context(self._idle(name))
            for folder in (*kept, snapshots):
                freed += folder_bytes(folder)
                shutil.rmtree(folder, ignore_errors=not folder.exists())
        return freed

    @property
    def _apt(self) -> Apt:
        return Apt(self.root / ".apt")

    def _metas(self, name: str | None = None) -> list[Meta]:
        """Readable kernels (of one name), the newest of each name first."""
        try:
            folders = [entry.name for entry in os.scandir(self.root) if "@" in entry.name]
        except OSError:
            return []
        wanted = [folder for folder in folders if name is None or folder.startswith(f"{name}@")]
        metas = [meta for folder in wanted if (meta := metafile.read(self.root / folder)) is not None]
        metas.sort(
            key=lambda meta: (meta.registered, sort_key(meta.provenance.package_version or ""), meta.fetched),
            reverse=True,
        )
        return sorted(metas, key=lambda meta: sort_key(meta.name))

    def _registered(self, spec: KernelSpec) -> Meta | None:
        """Return the image registered for `spec`, unless `spec` itself is an image given for one run."""
        if isinstance(spec.source, ImageSource) and spec.origin is None and not self._is_ours(spec.source):
            return None
        meta = next((meta for meta in self._metas(spec.name) if meta.registered), None)
        if meta is not None and not meta.intact:
            raise UserError(
                f"the image registered as kernel {spec.name} is damaged",
                where=str(meta.folder),
                hint=f"bpfmatrix kernels add {spec.name} --image PATH [--modules DIR]",
            )
        return meta

    def _is_ours(self, source: ImageSource) -> bool:
        return source.image.is_relative_to(self.root)

    def _obtain(self, spec: KernelSpec, resolved: Resolved, step: Step) -> Meta:
        """Return what is there of exactly this kernel, else fetch it."""
        meta = metafile.read(self._folder(spec.name, resolved))
        if meta is not None and meta.intact:
            return meta
        return self._fetch(spec.name, resolved, step, registered=False)

    def _fetch(self, name: str, resolved: Resolved, step: Step, *, registered: bool) -> Meta:
        with self._scratch(name) as scratch:
            stage = Stage(scratch)
            resolved.fill(stage, self.root / ".downloads" / name, step)
            contents = stage.finish()
            for left in scratch.glob("*.tmp"):
                shutil.rmtree(left)
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            meta = Meta.of(name, contents, resolved.provenance, now, registered=registered)
            meta.write()
            return self._publish(meta, self._folder(name, resolved))

    def _publish(self, meta: Meta, folder: Path) -> Meta:
        """Rename the finished kernel into place; what lay there (damaged, or not registered) goes."""
        if folder.exists():
            old = Path(tempfile.mkdtemp(prefix=f"{meta.name}@", dir=self.root / ".tmp"))
            folder.rename(old / "old")
            shutil.rmtree(old)
        meta.folder.rename(folder)
        folder.chmod(0o755)
        return meta.moved(folder)

    def _folder(self, name: str, resolved: Resolved) -> Path:
        return self.root / f"{name}@{resolved.provenance.key.replace('/', '_')}"

    @contextlib.contextmanager
    def _scratch(self, name: str) -> Iterator[Path]:
        """Give a fresh folder; those of processes that died go, for we hold the kernel's lock."""
        parent = self.root / ".tmp"
        parent.mkdir(parents=True, exist_ok=True)
        for stale in parent.glob(f"{name}@*"):
            shutil.rmtree(stale, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(prefix=f"{name}@", dir=parent))
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    @contextlib.contextmanager
    def _locked(self, name: str, step: Step) -> Iterator[None]:
        lock = self._lock(name)
        try:
            lock.acquire(timeout=0.1)
        except Timeout:
            step("waiting for another process", 0, None)
            try:
                lock.acquire(timeout=_LOCK_TIMEOUT_S)
            except Timeout as error:
                raise InfrastructureError(
                    f"another process has been fetching kernel {name} for half an hour",
                    where=lock.lock_file,
                ) from error
        try:
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def _idle(self, name: str) -> Iterator[None]:
        lock = self._lock(name)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise InfrastructureError(
                f"another process is fetching kernel {name}", where=lock.lock_file, hint="try again later"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _lock(self, name: str) -> FileLock:
        folder = self.root / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{name}.lock")


def unavailable(spec: KernelSpec, error: SourceError) -> KernelUnavailable:
    """Say for a whole entry what one attempt at it said."""
    return KernelUnavailable(spec.name, f"{spec.source}, {error.tried}", error.reason, where=spec.origin)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below `folder`; 0 where it does not exist."""
    if not folder.is_dir():
        return 0
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
