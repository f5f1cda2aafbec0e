"""What a guest is made of, put together once per kernel: agent, initramfs, command line, platform."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.guest.agent_build import build_agent
from harness.guest.initramfs import build_initramfs
from harness.guest.qemu import append_text, device_arguments
from harness.guest.snapshot import Snapshot, qemu_version, snapshot_for
from harness.guest.vng import platform_arguments, version
from harness.model import Kernel
from harness.paths import cache_dir

# QEMU keeps up to 1 GiB of translated code by default; a guest of ours fits in 32 MiB without getting slower
# (`python -m benchmarks`), and several guests fit on one machine.
_SMALL_TCG = ("-accel", "tcg,tb-size=32")
# Emulated, a string instruction goes byte by byte where the processor says that this is fast (ERMS, FSRM);
# without these, kernels move eight bytes a step (docs/decisions.md has what that gives).
_WITHOUT = ",-erms,-fsrm"
_BTF_MAGIC = (b"\x9f\xeb", b"\xeb\x9f")
WARM = "warm"  # the agent's name for the warm-up object


@dataclass(frozen=True, slots=True)
class ExternalBtf:
    """A BTF file for a kernel that brings none, and the agent's name for it, which follows its content."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class Assets:
    """Everything QEMU is started with, apart from the descriptors of a single run."""

    kernel: Kernel
    agent: str  # content hash of the agent
    initramfs: Path
    platform: tuple[str, ...]
    append: str
    warm: Path | None = None  # object whose load fills libbpf's feature cache
    btf: ExternalBtf | None = None
    accel: str = "tcg"

    @property
    def warm_blobs(self) -> frozenset[str]:
        """What a guest made of these parts holds when it is saved."""
        if self.warm is None:
            return frozenset()
        return frozenset({WARM} | ({self.btf.name} if self.btf else set()))

    def snapshot(self) -> Snapshot:
        """Where the saved guest made of exactly these parts lies."""
        parts = [self.kernel.sha256, self.agent, self.initramfs.stem, self.append, self.accel, version()]
        parts += [*self.platform, *device_arguments(0, 0, 0, 0), qemu_version(self.platform[0])]
        parts += [self.warm.name if self.warm else "", self.btf.name if self.btf else ""]
        return snapshot_for(self.kernel.name, parts)


def prepare(kernel: Kernel, *, kvm: bool, warm: Path | None = None) -> Assets:
    """Build or find the parts of `kernel`'s guest.

    Raise UserError for missing tools, InfrastructureError when something cannot be built or written.
    """
    agent = build_agent()
    return Assets(
        kernel=kernel,
        agent=agent.digest,
        initramfs=initramfs_file(agent.path, kernel.modules),
        platform=_platform(kernel, kvm=kvm),
        append=append_text(kernel.boot_args),
        warm=warm,
        btf=external_btf(kernel.external_btf) if kernel.external_btf else None,
        accel="kvm" if kvm else "tcg",
    )


def _platform(kernel: Kernel, *, kvm: bool) -> tuple[str, ...]:
    """virtme-ng's platform, and what makes emulation of it small and fast."""
    chosen = platform_arguments(kernel, kvm=kvm)
    if kvm:
        return chosen
    options = zip(("", *chosen), chosen, strict=False)
    return (*(word + _WITHOUT * (before == "-cpu") for before, word in options), *_SMALL_TCG)


def external_btf(path: Path) -> ExternalBtf:
    """Read the BTF file an entry names; UserError when it is none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"the BTF file cannot be read: {error.strerror}", where=str(path)) from error
    if data[:2] not in _BTF_MAGIC and data[:4] != b"\x7fELF":
        raise UserError("this is no BTF: neither raw BTF nor an ELF file", where=str(path))
    return ExternalBtf(path, f"btf-{hashlib.sha256(data).hexdigest()[:32]}")


def initramfs_file(agent: Path, modules: tuple[Path, ...], extra: Mapping[str, Path] | None = None) -> Path:
    """The initramfs as a file of the cache, named by its content."""
    data = build_initramfs(agent, modules, extra or {})
    digest = hashlib.sha256(data).hexdigest()[:20]
    path = cache_dir() / "guest" / f"initramfs-{digest}.cpio"
    if not path.is_file() or path.stat().st_size != len(data):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(draft).replace(path)
    return path
