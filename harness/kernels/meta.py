"""`meta.json`: what lies beside a cached kernel's files, so that later runs need no one else's word."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness.catalog.kernels import DebianSource, ImageSource, KernelSpec
from harness.kernels.download import file_sha256
from harness.kernels.sources import Provenance, selector
from harness.kernels.unpack import Contents
from harness.model import Kernel, KernelVersion

SCHEMA = 1
FILE = "meta.json"


@dataclass(frozen=True, slots=True)
class KeptFile:
    """One file as it was when it was kept; size in bytes."""

    path: str  # relative to the kernel's folder
    size: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, folder: Path, path: Path) -> KeptFile:
        """Measure a file."""
        status = path.stat()
        return cls(str(path.relative_to(folder)), status.st_size, status.st_mtime_ns, file_sha256(path))

    def intact(self, folder: Path) -> bool:
        """Whether the file is still what it was; read in full only when size or time of change moved."""
        path = folder / self.path
        try:
            status = path.stat()
            if status.st_size != self.size:
                return False
            return status.st_mtime_ns == self.mtime_ns or file_sha256(path) == self.sha256
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class Meta:
    """A cached kernel. `fetched` is UTC, ISO 8601; `registered` = put there by `kernels add`."""

    folder: Path
    name: str
    version: str
    release: str
    provenance: Provenance
    fetched: str
    registered: bool
    image: KeptFile
    config: KeptFile | None
    btf: KeptFile | None
    modules: tuple[KeptFile, ...]

    @classmethod
    def of(
        cls, name: str, contents: Contents, provenance: Provenance, fetched: str, *, registered: bool
    ) -> Meta:
        """Describe a finished stage."""
        stage = contents.image.parent

        def kept(path: Path | None) -> KeptFile | None:
            return KeptFile.of(stage, path) if path else None

        return cls(
            folder=stage,
            name=name,
            version=str(contents.header.version),
            release=contents.header.release,
            provenance=provenance,
            fetched=fetched,
            registered=registered,
            image=KeptFile.of(stage, contents.image),
            config=kept(contents.config),
            btf=kept(contents.btf),
            modules=tuple(KeptFile.of(stage, path) for path in contents.modules),
        )

    @property
    def files(self) -> Iterable[KeptFile]:
        """Every file kept."""
        return [file for file in (self.image, self.config, self.btf, *self.modules) if file]

    @property
    def intact(self) -> bool:
        """Whether all files are what they were."""
        return all(file.intact(self.folder) for file in self.files)

    def serves(self, spec: KernelSpec) -> bool:
        """Whether this is what `spec` asks for: its package matches, its version or its file is the same."""
        source = spec.source
        if isinstance(source, DebianSource):
            suite = self.provenance.source.removeprefix("debian ")
            matches = source.pattern.fullmatch(self.provenance.package or "")
            return suite in source.suites and matches is not None
        try:
            return self.provenance.selector == selector(source)
        except OSError:  # the image is gone, the copy is not: the path alone must do
            return isinstance(source, ImageSource) and self.provenance.selector.startswith(
                f"image {source.image.resolve()}|"
            )

    def kernel(self, spec: KernelSpec | None) -> Kernel:
        """Build the value the rest of the harness works with, booting as `spec` says."""
        folder = self.folder
        boot = spec or _ANY
        return Kernel(
            name=self.name,
            version=KernelVersion.parse(self.version),
            release=self.release,
            source=self.provenance.source,
            sha256=self.image.sha256,
            image=folder / self.image.path,
            modules=tuple(folder / file.path for file in self.modules),
            package=self.provenance.package,
            package_version=self.provenance.package_version,
            config=folder / self.config.path if self.config else None,
            btf=folder / self.btf.path if self.btf else None,
            external_btf=boot.btf,
            boot_args=boot.boot_args,
            memory_mib=boot.memory_mib,
            cpus=boot.cpus,
        )

    def write(self) -> None:
        """Write `meta.json` into the folder."""
        data = {"schema": SCHEMA, **asdict(self)}
        del data["folder"]
        (self.folder / FILE).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")

    def moved(self, folder: Path) -> Meta:
        """Return the same, lying in `folder`."""
        return replace(self, folder=folder)


_ANY = KernelSpec("any", ImageSource(Path()))


def read(folder: Path) -> Meta | None:
    """Read a kernel's folder; None for one without a usable `meta.json` (another schema, damaged)."""
    try:
        data: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if data.pop("schema") != SCHEMA:
            return None
        provenance = data.pop("provenance")
        packages = tuple((name, version, digest) for name, version, digest in provenance.pop("packages"))
        return Meta(
            folder=folder,
            provenance=Provenance(**provenance, packages=packages),
            image=KeptFile(**data.pop("image")),
            config=_optional(data.pop("config")),
            btf=_optional(data.pop("btf")),
            modules=tuple(KeptFile(**file) for file in data.pop("modules")),
            **data,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _optional(data: dict[str, Any] | None) -> KeptFile | None:
    return KeptFile(**data) if data else None
