"""Takes the vmlinux out of a bzImage, and out of that the BTF and the built-in configuration."""

from __future__ import annotations

import bz2
import gzip
import lzma
import mmap
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Protocol

import lz4.block
import zstandard
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from harness.errors import UserError
from harness.kernels.bzimage import BzImage

BTF_MAGIC = b"\x9f\xeb"  # 0xeB9F little-endian, Documentation/bpf/btf.rst
_CHUNK = 1 << 18
_LZ4_BLOCK = 8 << 20  # block size of the legacy format that `lz4 -l` and so the kernel's build write
_MAX_CONFIG = 4 << 20


class _Decoder(Protocol):
    """What zlib, bz2, lzma and zstandard decompressors have in common."""

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was seen; what follows (the size word) is not ours."""

    def decompress(self, data: bytes, /) -> bytes:
        """Take compressed bytes, give what they make."""


def extract_vmlinux(image: BzImage, target: Path) -> bool:
    """Decompress the payload into `target`; False for a compression we cannot read (lzo).

    Raises UserError when the payload is damaged. The formats are those of
    `scripts/extract-vmlinux` in the kernel's tree.
    """
    with image.path.open("rb") as file:
        file.seek(image.payload_start)
        magic = file.read(8)
        stream = _stream_for(magic)
        if stream is None:
            return False
        file.seek(image.payload_start)
        try:
            with target.open("wb") as out:
                for block in stream(file, image.payload_length):
                    out.write(block)
        except (lzma.LZMAError, zlib.error, zstandard.ZstdError, lz4.block.LZ4BlockError, EOFError) as error:
            raise _damaged(image, str(error)) from error
    with target.open("rb") as file:
        if file.read(4) != b"\x7fELF":
            raise _damaged(image, "no ELF file inside")
    return True


def extract_btf(vmlinux: Path, target: Path) -> bool:
    """Write the `.BTF` section to `target`; False where the kernel was built without one."""
    try:
        with vmlinux.open("rb") as file:
            section = ELFFile(file).get_section_by_name(".BTF")
            data: bytes = section.data() if section is not None else b""
    except ELFError:
        return False
    if not data.startswith(BTF_MAGIC):
        return False
    target.write_bytes(data)
    return True


def extract_config(vmlinux: Path) -> str | None:
    """Return the configuration a kernel built with CONFIG_IKCONFIG carries, None where it has none.

    It is gzip data behind the marker `IKCFG_ST` (`scripts/extract-ikconfig`).
    """
    with vmlinux.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = data.find(b"IKCFG_ST\x1f\x8b")
        packed = data[start + 8 : start + 8 + _MAX_CONFIG] if start >= 0 else b""
    if not packed:
        return None
    try:
        return zlib.decompressobj(31).decompress(packed).decode("utf-8", "replace")
    except zlib.error:
        return None


def decompress_module(name: str, data: bytes) -> bytes:
    """Return a module's ELF bytes; `name` tells the compression (.ko, .ko.gz, .ko.xz, .ko.zst)."""
    try:
        if name.endswith(".xz"):
            return lzma.decompress(data)
        if name.endswith(".gz"):
            return gzip.decompress(data)
        if name.endswith(".zst"):
            return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    except (lzma.LZMAError, zlib.error, zstandard.ZstdError, OSError, EOFError) as error:
        raise UserError(f"module {name} is damaged: {error}") from error
    return data


def _stream_for(magic: bytes) -> Callable[[IO[bytes], int], Iterator[bytes]] | None:
    decoders: tuple[tuple[bytes, Callable[[], _Decoder]], ...] = (
        (b"\x1f\x8b", lambda: zlib.decompressobj(31)),
        (b"\xfd7zXZ\0", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ)),
        (b"\x5d\0\0", lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE)),
        (b"BZh", bz2.BZ2Decompressor),
        (b"\x28\xb5\x2f\xfd", lambda: zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()),
    )
    for prefix, make in decoders:
        if magic.startswith(prefix):
            return lambda file, length: _decode(file, length, make())
    if magic.startswith(b"\x02\x21\x4c\x18"):
        return _decode_lz4
    return _copy if magic.startswith(b"\x7fELF") else None


def _pieces(file: IO[bytes], length: int) -> Iterator[bytes]:
    while length > 0:
        piece = file.read(min(_CHUNK, length))
        if not piece:
            raise EOFError("the file ends early")
        length -= len(piece)
        yield piece


def _copy(file: IO[bytes], length: int) -> Iterator[bytes]:
    return _pieces(file, length)


def _decode(file: IO[bytes], length: int, decoder: _Decoder) -> Iterator[bytes]:
    try:
        for piece in _pieces(file, length):
            yield decoder.decompress(piece)
            if decoder.eof:
                return
    except OSError as error:  # bz2 says OSError for damaged data
        if error.errno is not None:
            raise
        raise EOFError(str(error)) from error
    raise EOFError("the compressed data ends early")


def _decode_lz4(file: IO[bytes], length: int) -> Iterator[bytes]:
    """LZ4's legacy frame: magic, then blocks of a 4-byte size and data; the size word follows last."""
    end = file.tell() + length
    file.seek(4, 1)
    while file.tell() + 8 <= end:
        size = int.from_bytes(file.read(4), "little")
        if size == 0 or file.tell() + size > end:
            return
        yield lz4.block.decompress(file.read(size), uncompressed_size=_LZ4_BLOCK)


def _damaged(image: BzImage, why: str) -> UserError:
    return UserError(
        f"the kernel image is damaged: its payload does not decompress ({why})",
        where=str(image.path),
        hint="copy or download it again",
    )
