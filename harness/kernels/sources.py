"""Turns an entry of `kernels.yaml` into something that can be fetched: which exact kernel, and how.

Resolving is cheap (an index at most); `fill` does the work. Both are asked for by the store only when
the cache has nothing that serves.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.catalog.kernels import DebianSource, ImageSource, KernelSpec, MainlineSource
from harness.kernels import mainline
from harness.kernels.apt import Apt, Package
from harness.kernels.bzimage import read_bzimage
from harness.kernels.debversion import sort_key
from harness.kernels.download import file_sha256
from harness.kernels.errors import SourceError
from harness.kernels.progress import Step
from harness.kernels.unpack import DebFiles, Stage, TreeFiles, modules_folder


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a kernel is, for the record: `key` tells it from every other of its name."""

    key: str
    source: str  # "debian bookworm-security", "mainline v5.4.290", "image"
    selector: str  # what must be the same for it to serve an entry again
    package: str | None = None
    package_version: str | None = None
    packages: tuple[tuple[str, str, str], ...] = ()  # name, version, SHA-256


class Resolved(Protocol):
    """A kernel that is known exactly and not here yet."""

    @property
    def provenance(self) -> Provenance:
        """What it is."""

    def fill(self, stage: Stage, downloads: Path, step: Step) -> None:
        """Bring its files into `stage`; an interrupted download may leave its part in `downloads`.

        Raises SourceError, UserError or OSError.
        """


def resolve(spec: KernelSpec, apt: Apt, step: Step, *, refresh: bool) -> Resolved:
    """Find out which kernel `spec` means now. Raises SourceError when its source cannot say."""
    match spec.source:
        case DebianSource():
            return _resolve_debian(spec.source, apt, step, refresh=refresh)
        case MainlineSource():
            step(f"index mainline {spec.source.version}", 0, None)
            return MainlineRelease(mainline.find(spec.source))
        case ImageSource():
            return LocalImage(spec.source)


def selector(source: MainlineSource | ImageSource) -> str:
    """Return what a cached kernel must have been made of to serve this source again.

    For a local image that is the file itself: its path, size and time of change.
    """
    if isinstance(source, MainlineSource):
        return str(source)
    marks = [
        f"{path.resolve()}|{path.stat().st_size}|{path.stat().st_mtime_ns}"
        for path in (source.image, source.modules)
        if path is not None
    ]
    return "image " + " ".join(marks)


@dataclass(frozen=True, slots=True)
class DebianRelease:
    """A linux-image package and those of its dependencies that carry parts of the kernel."""

    apt: Apt
    image: Package
    parts: tuple[Package, ...]  # in the order they are worth fetching

    @property
    def provenance(self) -> Provenance:
        """Named after package and version."""
        return Provenance(
            key=f"{self.image.name.removeprefix('linux-image-')}_{self.image.version}",
            source=f"debian {self.image.suite}",
            selector="debian",
            package=self.image.name,
            package_version=self.image.version,
            packages=tuple((part.name, part.version, part.sha256) for part in self.parts),
        )

    def fill(self, stage: Stage, downloads: Path, step: Step) -> None:
        """Fetch and unpack one package after the other until nothing is missing.

        Where virtio is built in, the large linux-modules package is never fetched.
        """
        downloads.mkdir(parents=True, exist_ok=True)
        for part in self.parts:
            if stage.complete:
                break
            deb = self.apt.fetch(part, downloads, step)
            step(f"unpack {part.name}", 0, None)
            stage.absorb(DebFiles(deb))
            deb.unlink()


@dataclass(frozen=True, slots=True)
class MainlineRelease:
    """A version of Ubuntu's mainline archive."""

    kernel: mainline.MainlineKernel

    @property
    def provenance(self) -> Provenance:
        """Named after the version; the image package stands for all of them."""
        sums = sorted(self.kernel.sums.items())
        package, _, rest = next(name for name, _ in sums if "linux-image" in name).partition("_")
        packages = tuple((name.partition("_")[0], name.split("_")[1], digest) for name, digest in sums)
        source = str(self.kernel.source)
        return Provenance(
            key=source.replace(" ", "-"),
            source=source,
            selector=selector(self.kernel.source),
            package=package,
            package_version=rest.partition("_")[0],
            packages=packages,
        )

    def fill(self, stage: Stage, downloads: Path, step: Step) -> None:
        """Let virtme-ng's downloader unpack beside the stage, take what is needed, drop the rest."""
        tree = self.kernel.fetch(downloads, stage.folder / "mainline.tmp", step)
        step("unpack", 0, None)
        stage.absorb(TreeFiles(tree))
        for deb in downloads.iterdir():
            deb.unlink()


@dataclass(frozen=True, slots=True)
class LocalImage:
    """A bzImage on this machine."""

    source: ImageSource

    @property
    def provenance(self) -> Provenance:
        """Named after its content. Raises UserError where it is not a bzImage."""
        release = read_bzimage(self.source.image).release
        mark = selector(self.source)
        tail = hashlib.sha256((mark + file_sha256(self.source.image)).encode()).hexdigest()[:12]
        return Provenance(key=f"image-{release}-{tail}", source="image", selector=mark)

    def fill(self, stage: Stage, downloads: Path, step: Step) -> None:
        """Copy the image, its configuration where one lies beside it, and the modules it needs.

        Raises UserError for an image that is none and modules that are not there.
        """
        step("unpack", 0, None)
        image = self.source.image
        release = read_bzimage(image).release
        stage.take_image(image)
        for beside in (image.with_name(f"config-{release}"), image.with_name("config")):
            if beside.is_file() and stage.config is None:
                stage.take_config(beside)
        if self.source.modules is not None:
            stage.absorb(TreeFiles(modules_folder(self.source.modules, release)))


def _resolve_debian(source: DebianSource, apt: Apt, step: Step, *, refresh: bool) -> DebianRelease:
    packages: list[Package] = []
    problems: list[SourceError] = []
    for suite in source.suites:
        try:
            packages += apt.packages(suite, step, refresh=refresh)
        except SourceError as error:
            problems.append(error)
    image = newest(source.pattern, packages)
    if image is None:
        if problems:
            raise problems[0]
        raise SourceError(f"packages matching {source}", _no_match(source, packages))
    return DebianRelease(apt, image, _parts(image, packages))


def newest(pattern: re.Pattern[str], packages: Sequence[Package]) -> Package | None:
    """Return the package whose whole name matches and whose version is the newest (Debian's order)."""
    matching = [package for package in packages if pattern.fullmatch(package.name)]
    return max(matching, key=lambda p: (sort_key(p.version), sort_key(p.name)), default=None)


def _parts(image: Package, packages: Sequence[Package]) -> tuple[Package, ...]:
    """Small parts that may suffice come first: base (configuration), binary, then image and modules."""
    release = image.name.removeprefix("linux-image-")
    here = {p.name: p for p in packages if p.suite == image.suite and p.version == image.version}
    names = [f"linux-{part}-{release}" for part in ("base", "binary")]
    parts = [here[name] for name in names if name in image.depends and name in here]
    modules = here.get(f"linux-modules-{release}")
    return (*parts, image, *([modules] if modules and modules.name in image.depends else []))


def _no_match(source: DebianSource, packages: Sequence[Package]) -> str:
    names = sorted({package.name for package in packages if package.name.startswith("linux-image-")})
    literal = re.sub(r"\\(.)", r"\1", source.package.replace("{flavour}", source.flavour))
    near = difflib.get_close_matches(literal, names, n=3, cutoff=0.3)
    return "none" + (f"; the nearest are {', '.join(near)}" if near else " in these suites")
