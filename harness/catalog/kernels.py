"""The kernels a person listed in `kernels.yaml`: where each comes from and how it boots.

Nothing here touches a network or a cache; `harness.kernels` turns an entry into a `Kernel` on disk.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.catalog.schemacheck import suggest
from harness.catalog.yamlfile import Document, load, load_schema
from harness.errors import UserError
from harness.model import Origin

DEFAULT_MEMORY_MIB = 448
NAME = re.compile(r"(?!(?:all|host)$)[A-Za-z0-9][A-Za-z0-9._+-]{0,39}")

# Keys that belong to one source only, and those of them that must be there.
_KEYS = {
    "debian": ({"suites", "package", "flavour"}, {"suites", "package"}),
    "mainline": ({"version", "flavour"}, {"version"}),
    "image": ({"image", "modules"}, {"image"}),
}
_DEBIAN_FLAVOURS = {"amd64": "amd64", "cloud": "cloud-amd64", "rt": "rt-amd64"}


@dataclass(frozen=True, slots=True)
class DebianSource:
    """A package of a Debian archive. Of all matches in all suites the newest version wins."""

    suites: tuple[str, ...]
    package: str  # regular expression for the whole package name, `{flavour}` not yet replaced
    flavour: str = "amd64"  # amd64, cloud or rt

    @property
    def pattern(self) -> re.Pattern[str]:
        """The expression with the flavour as Debian writes it (`amd64`, `cloud-amd64`, `rt-amd64`)."""
        flavour = _DEBIAN_FLAVOURS.get(self.flavour, self.flavour)
        return re.compile(self.package.replace("{flavour}", re.escape(flavour)))

    def __str__(self) -> str:
        return f"debian {'|'.join(self.suites)}: {self.package.replace('{flavour}', self.flavour)}"


@dataclass(frozen=True, slots=True)
class MainlineSource:
    """An upstream version as Ubuntu's mainline archive builds it."""

    version: str  # with the v: "v5.4.290"
    flavour: str = "generic"

    def __str__(self) -> str:
        tail = "" if self.flavour == "generic" else f" {self.flavour}"
        return f"mainline {self.version}{tail}"


@dataclass(frozen=True, slots=True)
class ImageSource:
    """A bzImage on this machine, with its modules where it needs some to reach virtio."""

    image: Path
    modules: Path | None = None

    def __str__(self) -> str:
        return f"image {self.image}" + (f" with {self.modules}" if self.modules else "")


Source = DebianSource | MainlineSource | ImageSource


@dataclass(frozen=True, slots=True)
class KernelSpec:
    """One entry: what to get and how to boot it. `memory_mib` is MiB."""

    name: str
    source: Source
    architecture: str = "amd64"
    default: bool = False
    boot_args: tuple[str, ...] = ()
    memory_mib: int = DEFAULT_MEMORY_MIB
    cpus: int = 1
    btf: Path | None = None  # an external BTF file, handed to libbpf as btf_custom_path
    origin: Origin | None = None  # None: made for one run, or from what `kernels add` registered


def load_kernels(path: Path) -> tuple[KernelSpec, ...]:
    """Read `kernels.yaml`, entries in the file's order; its paths are relative to its own folder.

    Raises UserError with file:line for anything `harness.catalog.yamlfile` refuses, a key that does
    not belong to the entry's source, a missing one, or a pattern that is not a regular expression.
    """
    document = load(path, load_schema("kernels"))
    entries: dict[str, dict[str, Any]] = document.data["kernels"]
    return tuple(_spec(document, name, entry) for name, entry in entries.items())


def select(specs: Sequence[KernelSpec], names: Iterable[str]) -> tuple[KernelSpec, ...]:
    """Pick the named entries, each once, as named; no names: those marked `default`; "all": all.

    Raises UserError for an unknown name, with the known ones and the nearest.
    """
    wanted = list(dict.fromkeys(names))
    if not wanted:
        return tuple(spec for spec in specs if spec.default)
    known = {spec.name: spec for spec in specs}
    for name in wanted:
        if name != "all" and name not in known:
            raise UserError(
                f"unknown kernel {name!r}; {suggest(name, known, 'known')}",
                hint="bpfmatrix kernels list, or add it to kernels.yaml",
            )
    picked = [spec for name in wanted for spec in (specs if name == "all" else (known[name],))]
    return tuple(dict.fromkeys(picked))


def image_spec(
    name: str, image: Path, modules: Path | None = None, like: KernelSpec | None = None
) -> KernelSpec:
    """Build an entry for a local image, booting as `like` does (the entry it stands in for).

    Its `origin` is None: nobody wrote it into a file.

    Raises UserError for a name that could not stand in `kernels.yaml`.
    """
    if NAME.fullmatch(name) is None:
        raise UserError(
            f"{name!r} cannot be a kernel's name",
            hint="use letters, digits and . _ + - (at most 40, not 'all' or 'host')",
        )
    source = ImageSource(image, modules)
    return replace(like, source=source, origin=None) if like else KernelSpec(name, source)


def _spec(document: Document, name: str, entry: dict[str, Any]) -> KernelSpec:
    _check_keys(document, name, entry)
    folder = document.path.resolve().parent
    btf = entry.get("btf")
    return KernelSpec(
        name=name,
        source=_source(document, name, entry, folder),
        architecture=entry.get("architecture", "amd64"),
        default=entry.get("default", False),
        boot_args=tuple(entry.get("boot_args", ())),
        memory_mib=entry.get("memory", DEFAULT_MEMORY_MIB),
        cpus=entry.get("cpus", 1),
        btf=folder / btf if btf else None,
        origin=document.origin(("kernels", name)),
    )


def _source(document: Document, name: str, entry: dict[str, Any], folder: Path) -> Source:
    if entry["source"] == "debian":
        source = DebianSource(tuple(entry["suites"]), entry["package"], entry.get("flavour", "amd64"))
        _check_debian(document, name, source)
        return source
    if entry["source"] == "mainline":
        return MainlineSource(entry["version"], entry.get("flavour", "generic"))
    modules = entry.get("modules")
    return ImageSource(folder / entry["image"], folder / modules if modules else None)


def _check_debian(document: Document, name: str, source: DebianSource) -> None:
    if source.flavour not in _DEBIAN_FLAVOURS:
        raise UserError(
            f"unknown flavour {source.flavour!r}; {suggest(source.flavour, _DEBIAN_FLAVOURS)}",
            where=document.origin(("kernels", name, "flavour")),
        )
    try:
        _ = source.pattern
    except re.error as error:
        raise UserError(
            f"package: {source.package!r} is not a regular expression: {error}",
            where=document.origin(("kernels", name, "package")),
        ) from error


def _check_keys(document: Document, name: str, entry: dict[str, Any]) -> None:
    kind = entry["source"]
    _, required = _KEYS[kind]
    missing = [key for key in sorted(required) if key not in entry]
    if missing:
        raise UserError(
            f"kernel {name!r}: source {kind} needs the key {missing[0]!r}",
            where=document.origin(("kernels", name)),
        )
    foreign = set().union(*(keys for keys, _ in _KEYS.values())) - _KEYS[kind][0]
    for key in entry:
        if key in foreign:
            raise UserError(
                f"kernel {name!r}: the key {key!r} does not belong to source {kind}",
                where=document.origin(("kernels", name, key)),
            )
