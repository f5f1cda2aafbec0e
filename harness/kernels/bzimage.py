"""Reads the header of an x86 bzImage: which kernel it is and where the compressed vmlinux lies.

Field offsets from Documentation/arch/x86/boot.rst (boot protocol 2.08 or later, Linux 2.6.26+):
setup_sects 0x1f1, magic `HdrS` 0x202, protocol version 0x206, kernel_version 0x20e (pointer minus
0x200), payload_offset 0x248, payload_length 0x24c (both from the start of the protected-mode code).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.model import KernelVersion

_HEADER = 0x250
_SECTOR = 512
_MAX_SETUP = 64 * _SECTOR
_PACKAGE_VERSION = re.compile(r"Debian (\d+\.\d+\.\d+)")


@dataclass(frozen=True, slots=True)
class BzImage:
    """What the header says. `payload_start` and `payload_length` are bytes within the file."""

    path: Path
    banner: str  # "5.10.0-46-amd64 (debian-kernel@…) #1 SMP Debian 5.10.262-1 (2026-…)"
    payload_start: int
    payload_length: int

    @property
    def release(self) -> str:
        """What `uname -r` will print."""
        return self.banner.split(" ", 1)[0]

    @property
    def version(self) -> KernelVersion:
        """The upstream version: Debian names it only in its banner (its 5.10.0-46 is a 5.10.262)."""
        match = _PACKAGE_VERSION.search(self.banner)
        return KernelVersion.parse(match[1] if match else self.release)


def read_bzimage(path: Path) -> BzImage:
    """Read and check the header; raises UserError for anything that is not a whole bzImage."""
    try:
        with path.open("rb") as file:
            head = file.read(_MAX_SETUP)
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"the kernel image cannot be read: {error.strerror}", where=str(path)) from error
    _refuse_other_kinds(path, head)
    setup_sectors = head[0x1F1] or 4  # 0 means 4, for reasons older than Linux 1.0
    code = (setup_sectors + 1) * _SECTOR
    offset, length = struct.unpack_from("<II", head, 0x248)
    image = BzImage(path, _banner(path, head), code + offset, length)
    if length == 0 or image.payload_start + length > size:
        raise UserError(
            f"the kernel image is cut short: {size:,} bytes, its header promises "
            f"{image.payload_start + length:,}",
            where=str(path),
            hint="copy or download it again",
        )
    return image


def _refuse_other_kinds(path: Path, head: bytes) -> None:
    hint = "give the bzImage: arch/x86/boot/bzImage of a build tree, or a distribution's /boot/vmlinuz-*"
    if head.startswith(b"\x7fELF"):
        raise UserError("this is an ELF file (a vmlinux?), not a bzImage", where=str(path), hint=hint)
    if len(head) < _HEADER or head[0x202:0x206] != b"HdrS":
        raise UserError("not a kernel image: no bzImage header", where=str(path), hint=hint)
    (protocol,) = struct.unpack_from("<H", head, 0x206)
    if protocol < 0x208:
        raise UserError(
            f"boot protocol {protocol >> 8}.{protocol & 0xFF:02}: a kernel from before 2.6.26",
            where=str(path),
            hint=hint,
        )


def _banner(path: Path, head: bytes) -> str:
    (pointer,) = struct.unpack_from("<H", head, 0x20E)
    start = pointer + 0x200
    text = head[start : start + 512].split(b"\0", 1)[0].decode("ascii", "replace")
    if pointer == 0 or re.match(r"\d+\.\d+", text) is None:
        raise UserError(
            "the kernel image does not say which version it is",
            where=str(path),
            hint="rebuild it; every bzImage since 2.6.26 carries its version string",
        )
    return text
