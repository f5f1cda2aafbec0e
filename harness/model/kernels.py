"""A kernel: on disk, as its guest describes it, and as a run records it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from harness.model.versions import KernelVersion


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel on disk, ready to boot. Made by `harness.kernels`, used by `harness.guest`."""

    name: str  # the entry's name, e.g. "5.10"
    version: KernelVersion  # upstream version, e.g. 5.10.262
    release: str  # what `uname -r` prints, e.g. "5.10.0-46-amd64"
    source: str  # "debian bullseye-security", "mainline v5.4.290", "image"
    sha256: str  # of `image`
    image: Path
    modules: tuple[Path, ...] = ()  # uncompressed .ko files in load order (virtio console)
    package: str | None = None
    package_version: str | None = None
    config: Path | None = None
    btf: Path | None = None  # the BTF the image itself carries, as a raw .BTF blob
    external_btf: Path | None = None  # handed to libbpf as btf_custom_path
    boot_args: tuple[str, ...] = ()
    memory_mib: int = 448
    cpus: int = 1

    @property
    def title(self) -> str:
        """The column header: upstream version, and the release where that says something else."""
        version = str(self.version)
        return version if self.release.startswith(version) else f"{version} ({self.release})"


@dataclass(frozen=True, slots=True)
class GuestFacts:
    """What a guest said of itself when it became ready."""

    release: str
    version_text: str  # uname -v
    has_btf: bool
    map_types: frozenset[str]  # creatable, measured: "ringbuf", "hash", …
    libbpf: str
    agent: str  # content hash of the agent's sources
    config: frozenset[str] = frozenset()  # CONFIG_… that are y or m, as far as known

    def has(self, need: str) -> bool:
        """Whether a `needs` word of a manifest holds.

        `btf`, `map_type.X`, `config.X`, `libbpf.1.4` (that version or a newer one), or `!` of one.
        """
        if need.startswith("!"):
            return not self.has(need[1:])
        kind, _, name = need.partition(".")
        if kind == "map_type":
            return name in self.map_types
        if kind == "config":
            return name.removeprefix("CONFIG_") in self.config
        if kind == "libbpf":
            return self.libbpf_version >= tuple(int(part) for part in name.split("."))
        return kind == "btf" and self.has_btf

    @property
    def libbpf_version(self) -> tuple[int, ...]:
        """The loader's version as numbers, `(1, 1)` for "v1.1"."""
        return tuple(int(part) for part in re.findall(r"\d+", self.libbpf))


@dataclass(frozen=True, slots=True)
class KernelRun:
    """One kernel of a run: what it was and how it came up; `problem` when it did not."""

    name: str
    version: str
    release: str
    title: str
    source: str
    sha256: str
    package: str | None = None
    package_version: str | None = None
    accel: str | None = None
    boot_seconds: float | None = None
    restored: bool | None = None
    has_btf: bool | None = None
    libbpf: str | None = None  # version of the libbpf inside the agent that loaded
    problem: str | None = None  # why nothing ran on it
