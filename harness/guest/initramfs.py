"""Packs the guest's initramfs: the agent as `/init`, kernel modules, and the nodes PID 1 begins with.

A newc cpio archive, uncompressed (the kernel unpacks it faster than it inflates it) and byte for byte the
same for the same content: no times, owners or host paths get in.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from virtme.cpiowriter import CpioWriter

from harness.errors import UserError

_FOLDERS = ("dev", "proc", "sys", "run", "tmp", "modules")
_NODES = (("dev/console", (5, 1)), ("dev/null", (1, 3)), ("dev/kmsg", (1, 11)))


def build_initramfs(
    agent: Path, modules: Sequence[Path] = (), extra: Mapping[str, Path] = MappingProxyType({})
) -> bytes:
    """The archive's bytes.

    `modules`: uncompressed `.ko` files in load order, stored as `/modules/NN-name.ko`. `extra`: absolute path
    in the guest -> file of the host, stored executable (`{"/bin/busybox": Path("/bin/busybox")}`). Raise
    UserError when a file cannot be read, a module is compressed, or an extra path is not absolute.
    """
    archive = io.BytesIO()
    cpio = CpioWriter(archive)
    _write_folders(cpio, extra)
    for name, device in _NODES:
        cpio.mkchardev(name=name.encode(), dev=device, mode=0o600)
    cpio.write_file(name=b"init", body=_read(agent), mode=0o755)
    for number, module in enumerate(modules):
        cpio.write_file(
            name=f"modules/{number:02d}-{_module_name(module)}".encode(), body=_read(module), mode=0o644
        )
    for target in sorted(extra):
        cpio.write_file(name=_relative(target).encode(), body=_read(extra[target]), mode=0o755)
    cpio.write_trailer()
    return archive.getvalue()


def _write_folders(cpio: CpioWriter, extra: Mapping[str, Path]) -> None:
    parents = {
        str(parent) for target in extra for parent in PurePosixPath(_relative(target)).parents if parent.name
    }
    for folder in sorted({*_FOLDERS, *parents}):  # a parent sorts before what is in it
        cpio.mkdir(name=folder.encode(), mode=0o755)


def _relative(target: str) -> str:
    path = PurePosixPath(target)
    if not path.is_absolute() or ".." in path.parts or not path.name:
        raise UserError(f"{target!r} is no absolute path of a file in the guest")
    return str(path.relative_to("/"))


def _module_name(module: Path) -> str:
    if module.suffix != ".ko":
        raise UserError(
            f"{module.name} is not an uncompressed kernel module (.ko)",
            where=str(module),
            hint="unpack it first: xz -d, zstd -d or gzip -d",
        )
    return module.name


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=str(path)) from error
