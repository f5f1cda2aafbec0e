"""A kernel as an object sees it: what was measured or documented of it, its BTF and its configuration."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from harness.build.btftypes import Btf, BtfError
from harness.errors import UserError
from harness.features.kernels import Target
from harness.features.objects.core import KernelTypes
from harness.model import Kernel, KernelVersion

_CONFIG_LINE = re.compile(r"(CONFIG_\w+)=(.*)")
_MODULES_SINCE = KernelVersion(5, 11)  # modules have BTF of their own from here on (`module_btf_sysfs`)


@dataclass(frozen=True)
class KernelView:
    """One kernel. Without `btf` what depends on its types is unknown; without `config`, its configuration."""

    target: Target
    btf: Path | None = None
    config: Path | None = None
    version: KernelVersion | None = None
    blob: bytes | None = field(default=None, repr=False)  # of the running kernel

    @property
    def title(self) -> str:
        """How the kernel is called in tables."""
        return self.target.title

    @cached_property
    def types(self) -> KernelTypes | None:
        """The kernel's own BTF; None where it is not at hand. UserError for a damaged one."""
        if self.btf is None:
            return None
        try:
            return KernelTypes(Btf(self.btf.read_bytes()))
        except OSError as error:
            raise UserError(f"cannot be read: {error.strerror}", where=str(self.btf)) from error
        except BtfError as error:
            raise UserError(f"damaged BTF ({error})", where=str(self.btf)) from error

    @cached_property
    def symbols(self) -> Mapping[str, str] | None:
        """The configuration: `CONFIG_X` to its value; None where it is not known."""
        if self.config is None:
            return None
        try:
            raw = self.config.read_bytes()
            text = (gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw).decode(errors="replace")
        except OSError as error:
            raise UserError(f"cannot be read: {error}", where=str(self.config)) from error
        return {found[1]: found[2] for found in map(_CONFIG_LINE.fullmatch, text.splitlines()) if found}

    @property
    def modules_have_types(self) -> bool:
        """Whether a module may bring types that the kernel's own BTF lacks."""
        return self.version is None or self.version >= _MODULES_SINCE

    @property
    def release(self) -> str:
        """What tells this kernel from another of its name."""
        return self.target.measured.release if self.target.measured else ""


def view_of(target: Target, kernels: Sequence[Kernel]) -> KernelView:
    """The view of `target`, with the BTF and configuration of the kernel on disk that it means."""
    found = _on_disk(target, kernels)
    if found is None:
        version = target.measured.version if target.measured else None
        if version is None and len(target.series) == 1:
            version = KernelVersion(*target.series[0])
        return KernelView(target, version=version)
    return KernelView(target, found.btf, found.config, found.version)


def _on_disk(target: Target, kernels: Sequence[Kernel]) -> Kernel | None:
    wanted = {target.asked}
    if target.measured is not None:
        wanted = {target.measured.kernel, target.measured.release}
    return next((kernel for kernel in kernels if kernel.name in wanted or kernel.release in wanted), None)
