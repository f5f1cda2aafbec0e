"""The bzImage header, the payload's compressions, BTF and configuration taken out of it."""

import bz2
import gzip
import lzma

import lz4.block
import pytest
import zstandard
from kernels_support import BTF, bzimage, elf, image

from harness.errors import UserError
from harness.kernels.bzimage import read_bzimage
from harness.kernels.payload import decompress_module, extract_btf, extract_config, extract_vmlinux
from harness.model import KernelVersion

VMLINUX = elf({".text": bytes(range(256)) * 3000, ".BTF": BTF})


def lz4_legacy(data):
    blocks = [
        lz4.block.compress(data[i : i + (8 << 20)], store_size=False) for i in range(0, len(data), 8 << 20)
    ]
    return b"\x02\x21\x4c\x18" + b"".join(len(block).to_bytes(4, "little") + block for block in blocks)


COMPRESSIONS = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "bzip2": bz2.compress,
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
    "lz4": lz4_legacy,
    "none": lambda data: data,
}


def write(path, data):
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("banner", "version", "release"),
    [
        (
            "5.10.0-46-amd64 (kernel@example.org) #1 SMP Debian 5.10.262-1 (2026-07-31)",
            KernelVersion(5, 10, 262),
            "5.10.0-46-amd64",
        ),
        ("5.4.290-0504290-generic (kernel@x) #1 SMP", KernelVersion(5, 4, 290), "5.4.290-0504290-generic"),
        ("6.6.0-rc3+ (me@host) #7", KernelVersion(6, 6, 0), "6.6.0-rc3+"),
    ],
)
def test_header_says_release_and_version(tmp_path, banner, version, release):
    found = read_bzimage(write(tmp_path / "k", bzimage(banner, b"\x1f\x8b")))
    assert (found.release, found.version) == (release, version)


@pytest.mark.parametrize("kind", COMPRESSIONS)
def test_every_compression_gives_the_same_btf(tmp_path, kind):
    size_word = len(VMLINUX).to_bytes(4, "little") if kind != "none" else b""
    file = write(tmp_path / "k", bzimage("6.1.0 x", COMPRESSIONS[kind](VMLINUX) + size_word))
    assert extract_vmlinux(read_bzimage(file), tmp_path / "vmlinux")
    assert (tmp_path / "vmlinux").read_bytes() == VMLINUX
    assert extract_btf(tmp_path / "vmlinux", tmp_path / "btf")
    assert (tmp_path / "btf").read_bytes() == BTF


@pytest.mark.parametrize("kind", [kind for kind in COMPRESSIONS if kind != "none"])
def test_damaged_payload_is_told(tmp_path, kind):
    packed = bytearray(COMPRESSIONS[kind](VMLINUX))
    middle = len(packed) // 2
    packed[middle : middle + 40] = b"\xff" * 40
    file = write(tmp_path / "k", bzimage("6.1.0 x", bytes(packed[: middle + 60])))
    with pytest.raises(UserError, match="damaged"):
        extract_vmlinux(read_bzimage(file), tmp_path / "vmlinux")


def test_unknown_compression_is_no_error(tmp_path):
    file = write(tmp_path / "k", bzimage("6.1.0 x", b"\x89LZO\0\r\n\x1a" + bytes(100)))
    assert not extract_vmlinux(read_bzimage(file), tmp_path / "vmlinux")


def test_no_btf_section(tmp_path):
    assert not extract_btf(write(tmp_path / "v", elf({".text": b"x"})), tmp_path / "btf")
    assert not extract_btf(write(tmp_path / "v", elf({".BTF": b"nonsense"})), tmp_path / "btf")
    assert not (tmp_path / "btf").exists()


def test_built_in_configuration(tmp_path):
    file = write(tmp_path / "k", image(config="CONFIG_BPF=y\n"))
    extract_vmlinux(read_bzimage(file), tmp_path / "vmlinux")
    assert extract_config(tmp_path / "vmlinux") == "CONFIG_BPF=y\n"
    assert extract_config(write(tmp_path / "v", elf({".text": b"IKCFG_ST\x1f\x8bbroken"}))) is None


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (elf({".text": b"x"}), "ELF file"),
        (b"#!/bin/sh\n", "not a kernel image"),
        (b"", "not a kernel image"),
        (bytes(5000), "not a kernel image"),
        (bzimage("6.1.0 x", b"\x1f\x8b" * 500)[:2600], "cut short"),
        (bzimage("", b"\x1f\x8b"), "does not say which version"),
    ],
)
def test_files_that_are_no_bzimage(tmp_path, data, says):
    with pytest.raises(UserError, match=says) as caught:
        read_bzimage(write(tmp_path / "k", data))
    assert str(tmp_path / "k") in str(caught.value)
    assert caught.value.hint


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        read_bzimage(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("a.ko", bytes),
        ("a.ko.xz", lzma.compress),
        ("a.ko.gz", gzip.compress),
        ("a.ko.zst", COMPRESSIONS["zstd"]),
    ],
)
def test_modules_are_decompressed(name, pack):
    assert decompress_module(name, pack(VMLINUX)) == VMLINUX


def test_damaged_module_is_named():
    with pytest.raises(UserError, match=r"a\.ko\.xz is damaged"):
        decompress_module("a.ko.xz", b"nonsense")
