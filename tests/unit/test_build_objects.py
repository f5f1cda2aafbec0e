from __future__ import annotations

import struct
import subprocess
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.build.objects import MAX_BYTES, inspect, read_object
from harness.build.toolchain import find_compilers
from harness.errors import UserError

SOURCE = """
#define SEC(name) __attribute__((section(name), used))
__attribute__((noinline)) int helper(int x) { return x * 3; }
SEC("tc") int zeta(void *ctx) { return helper((long)ctx); }
SEC("kprobe/x") int alpha(void *ctx) { return 1; }
SEC("kprobe/x") __attribute__((weak)) int beta(void *ctx) { return 2; }
char LICENSE[] SEC("license") = "GPL";
"""


@cache
def compiled(source: str = SOURCE, *options: str) -> bytes:
    (clang,) = find_compilers([])
    command = [str(clang.path), "-target", "bpf", "-O2", "-g", *options, "-x", "c", "-c", "-", "-o", "-"]
    return subprocess.run(command, input=source.encode(), capture_output=True, check=True).stdout


def refusal(tmp_path: Path, raw: bytes) -> str:
    file = tmp_path / "x.bpf.o"
    file.write_bytes(raw)
    with pytest.raises(UserError) as caught:
        read_object(file)
    assert str(file) in str(caught.value)
    return str(caught.value)


def test_programs_in_section_order_without_subprograms(tmp_path: Path) -> None:
    file = tmp_path / "x.bpf.o"
    file.write_bytes(compiled())
    info = read_object(file)
    assert info.programs == ("zeta", "alpha", "beta")
    assert len(info.sha256) == 64


def test_what_is_no_bpf_object(tmp_path: Path) -> None:
    assert "not an ELF file (begins with b'#!/bin/s')" in refusal(tmp_path, b"#!/bin/sh\n")
    assert "an empty file" in refusal(tmp_path, b"")
    assert "truncated or damaged ELF file" in refusal(tmp_path, compiled()[:200])
    assert "truncated or damaged ELF file" in refusal(tmp_path, compiled()[:40])
    x86 = bytearray(compiled())
    x86[18:20] = struct.pack("<H", 62)
    assert "for EM_X86_64, not for BPF" in refusal(tmp_path, bytes(x86))
    executable = bytearray(compiled())
    executable[16:18] = struct.pack("<H", 2)
    assert "not a relocatable 64-bit object (ET_EXEC)" in refusal(tmp_path, bytes(executable))
    assert "big-endian" in refusal(tmp_path, compiled(SOURCE, "-target", "bpfeb"))


def test_no_programs(tmp_path: Path) -> None:
    assert "no BPF programs" in refusal(tmp_path, compiled("int x;"))
    assert "no BPF programs" in refusal(tmp_path, compiled("int f(void) { return 0; }"))


def test_legacy_maps_say_what_to_do(tmp_path: Path) -> None:
    message = refusal(tmp_path, compiled(SOURCE + 'struct { int a; } m SEC("maps") = {1};'))
    assert "legacy `maps` section" in message
    assert 'SEC(".maps")' in message


def test_too_large(tmp_path: Path) -> None:
    file = tmp_path / "x.bpf.o"
    with file.open("wb") as sparse:
        sparse.write(compiled())
        sparse.truncate(MAX_BYTES + 1)
    with pytest.raises(UserError, match="larger than 64 MiB"):
        read_object(file)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        read_object(tmp_path / "none.o")


def test_a_section_count_from_a_lie_ends_soon() -> None:
    lie = bytearray(compiled())
    lie[60:62] = b"\0\0"  # e_shnum 0: the count is in the first section header's size
    start = struct.unpack_from("<Q", lie, 40)[0]
    struct.pack_into("<Q", lie, start + 32, 1 << 60)
    with pytest.raises(UserError):
        inspect(bytes(lie), "x")


MUTATION = st.tuples(
    st.integers(0, 1 << 16), st.one_of(st.binary(min_size=1, max_size=8), st.just(b"\xff" * 8))
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(MUTATION, min_size=1, max_size=6), st.integers(0, 1 << 16))
def test_damage_is_a_user_error_or_harmless(mutations: list[tuple[int, bytes]], cut: int) -> None:
    raw = bytearray(compiled())
    headers = struct.unpack_from("<Q", raw, 40)[0]
    for position, value in mutations:
        # Half of the damage goes to the ELF header and the section headers: the rest is mostly debug data.
        area = (position // 2) % 64 if position % 4 == 0 else headers + position % (len(raw) - headers)
        at = area if position % 2 == 0 else position % len(raw)
        raw[at : at + len(value)] = value
    if cut % 5 == 0:
        del raw[cut % len(raw) :]
    try:
        names = inspect(bytes(raw), "mutated")
    except UserError as error:
        names = (error.what,)
    assert all(names)
