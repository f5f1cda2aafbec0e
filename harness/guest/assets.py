"""What a guest is made of, put together once per kernel: agent, initramfs, command line, platform."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.guest.agent_build import build_agent
from harness.guest.initramfs import build_initramfs
from harness.guest.qemu import append_text, device_arguments
from harness.guest.snapshot import Snapshot, qemu_version, snapshot_for
from harness.guest.vng import platform_arguments, version
from harness.model import Kernel
from harness.paths import cache_dir


@dataclass(frozen=True, slots=True)
class Assets:
    """Everything QEMU is started with, apart from the descriptors of a single run."""

    kernel: Kernel
    agent: str  # content hash of the agent
    initramfs: Path
    platform: tuple[str, ...]
    append: str
    warm: Path | None = None  # object whose load fills libbpf's feature cache
    accel: str = field(default="tcg")

    def snapshot(self) -> Snapshot:
        """Where the saved guest made of exactly these parts lies."""
        parts = [self.kernel.sha256, self.agent, self.initramfs.stem, self.append, self.accel, version()]
        parts += [*self.platform, *device_arguments(0, 0, 0, 0), qemu_version(self.platform[0])]
        parts += [self.warm.name if self.warm else ""]
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
        platform=platform_arguments(kernel, kvm=kvm),
        append=append_text(kernel.boot_args),
        warm=warm,
        accel="kvm" if kvm else "tcg",
    )


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
