"""The CO-RE relocations and function records of an object's .BTF.ext section.

Layout: struct btf_ext_header and struct bpf_core_relo of the kernel's UAPI and of libbpf. Each part is a
record size, then sections: a name, a count, that many records. Lengths may lie: that is a BtfError.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from harness.build.btftypes import MAGIC, Btf, BtfError
from harness.features.objects.model import CoreRelocation, RelocationKind

_SHORT, _LONG = 24, 32  # headers without and with the CO-RE part
MAX_RECORDS = 1_000_000


@dataclass(frozen=True, slots=True)
class ExtInfo:
    """By section name and byte offset in it: relocations, and the BTF types of the functions there."""

    relocations: dict[str, dict[int, CoreRelocation]]
    functions: dict[str, dict[int, int]]
    unknown: tuple[int, ...] = ()  # kinds of relocation nobody told us about


def read_ext(blob: bytes, btf: Btf) -> ExtInfo:
    """Read a .BTF.ext section; BtfError when it is none or its lengths do not fit."""
    order = btf.order
    if len(blob) < _SHORT:
        raise BtfError(f".BTF.ext of {len(blob)} bytes")
    magic, version, _, head, func_at, func_size = struct.unpack_from(f"{order}HBBIII", blob)
    if magic != MAGIC or version != 1:
        raise BtfError(".BTF.ext with wrong magic or version")
    functions: dict[str, dict[int, int]] = {}
    for section, record in _records(blob, btf, head + func_at, func_size):
        offset, kind = struct.unpack_from(f"{order}II", record)
        functions.setdefault(section, {})[offset] = kind
    relocations: dict[str, dict[int, CoreRelocation]] = {}
    unknown: set[int] = set()
    if head >= _LONG and len(blob) >= _LONG:
        core_at, core_size = struct.unpack_from(f"{order}II", blob, 24)
        for section, record in _records(blob, btf, head + core_at, core_size):
            _relocation(record, btf, relocations.setdefault(section, {}), unknown)
    return ExtInfo(relocations, functions, tuple(sorted(unknown)))


def _relocation(record: bytes, btf: Btf, into: dict[int, CoreRelocation], unknown: set[int]) -> None:
    if len(record) < 16:
        raise BtfError(f"CO-RE records of {len(record)} bytes")
    offset, type_id, access, kind = struct.unpack_from(f"{btf.order}IIII", record)
    if kind > max(RelocationKind):
        unknown.add(kind)
    else:
        into[offset] = CoreRelocation(RelocationKind(kind), type_id, btf.string(access))


def _records(blob: bytes, btf: Btf, start: int, size: int) -> Iterator[tuple[str, bytes]]:
    if not size:
        return
    end = start + size
    if end > len(blob) or size < 4:
        raise BtfError(f".BTF.ext says a part ends at {end} of {len(blob)} bytes")
    (width,) = struct.unpack_from(f"{btf.order}I", blob, start)
    if not 8 <= width <= 256:
        raise BtfError(f".BTF.ext has records of {width} bytes")
    at = start + 4
    while at < end:
        if at + 8 > end:
            raise BtfError(".BTF.ext is cut short")
        name, count = struct.unpack_from(f"{btf.order}II", blob, at)
        at += 8
        if at + count * width > end or count > MAX_RECORDS:
            raise BtfError(f".BTF.ext promises {count} records of {width} bytes, which do not fit")
        section = btf.string(name)
        for number in range(count):
            yield section, blob[at + number * width : at + (number + 1) * width]
        at += count * width
