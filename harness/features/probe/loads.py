"""BPF_PROG_LOAD, BPF_MAP_CREATE and BPF_BTF_LOAD as calls of a batch.

Layout: union bpf_attr of include/uapi/linux/bpf.h. Bytes a kernel does not know are zero, which every kernel
accepts.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from harness.guest.calls import Call, Patch, PatchKind, Sys, argument

MAP_CREATE, PROG_LOAD, OBJ_GET_INFO_BY_FD, BTF_LOAD = 0, 5, 15, 18
SLEEPABLE = 1 << 4  # BPF_F_SLEEPABLE of prog_flags
# The log of a program of a few instructions is some hundred bytes, and up to two thousand with the
# explanations of 7.3. Kernels before 6.4 answer ENOSPC for one that does not fit.
LOG_BYTES = 32 << 10
LOG_TAIL = 2500
_ATTR = 144
_INFO_BYTES = 128  # of struct bpf_prog_info, as much as the questions are about
_HEAD = struct.Struct("<IIQQIIQII16sIII")
_INFO_AT, _ATTACH_AT = 76, 108
_BTF_FD_AT, _TARGET_FD_AT = 72, 112


@dataclass(frozen=True, slots=True)
class Load:
    """One program to load. `btf`, `target`: calls of the batch that returned its BTF and what it extends.

    `functions`: (instruction, BTF id) of its functions, for BTF's function information. `maps`: byte offset
    in the code -> the call that made the map.
    """

    program_type: int
    code: bytes
    attach_type: int = 0
    attach_btf_id: int = 0
    flags: int = 0
    btf: int | None = None
    target: int | None = None
    functions: tuple[tuple[int, int], ...] = ()
    maps: tuple[tuple[int, int], ...] = ()
    license: bytes = b"GPL"
    log_level: int = 1
    keep: bool = False
    log_tail: int = LOG_TAIL


def load_call(load: Load) -> Call:
    """The call that loads a program; its descriptor is closed at once unless `keep`."""
    attr = bytearray(_ATTR)
    _HEAD.pack_into(
        attr,
        0,
        load.program_type,
        len(load.code) // 8,
        0,
        0,
        load.log_level,
        LOG_BYTES if load.log_level else 0,
        0,
        0,
        load.flags,
        b"",
        0,
        load.attach_type,
        0,
    )
    struct.pack_into("<I", attr, _ATTACH_AT, load.attach_btf_id)
    data = [b"", load.code, load.license + b"\0"]
    patches = [Patch(0, 8, PatchKind.ADDRESS, 1), Patch(0, 16, PatchKind.ADDRESS, 2)]
    patches += [Patch(0, 32, PatchKind.LOG)] if load.log_level else []
    patches += [Patch(1, at, PatchKind.RESULT, index) for at, index in load.maps]
    if load.btf is not None:
        patches.append(Patch(0, _BTF_FD_AT, PatchKind.RESULT, load.btf))
    if load.target is not None:
        patches.append(Patch(0, _TARGET_FD_AT, PatchKind.RESULT, load.target))
    if load.functions:
        struct.pack_into("<IQI", attr, _INFO_AT, 8, 0, len(load.functions))
        patches.append(Patch(0, _INFO_AT + 4, PatchKind.ADDRESS, 3))
        data.append(b"".join(struct.pack("<II", at, kind) for at, kind in load.functions))
    data[0] = bytes(attr)
    return Call(
        Sys.BPF,
        (PROG_LOAD, 0, _ATTR),
        tuple(data),
        (*patches, argument(1)),
        log_bytes=LOG_BYTES if load.log_level else 0,
        log_tail=load.log_tail,
        close=not load.keep,
    )


@dataclass(frozen=True, slots=True)
class Map:
    """A map to create; `btf` is the call that returned the BTF its key and value types are in."""

    map_type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int = 0
    btf: int | None = None
    key_type: int = 0
    value_type: int = 0
    extra: int = 0  # map_extra


def map_call(wanted: Map) -> Call:
    """The call that creates a map and keeps its descriptor."""
    attr = bytearray(_ATTR)
    struct.pack_into(
        "<5I", attr, 0, wanted.map_type, wanted.key_size, wanted.value_size, wanted.max_entries, wanted.flags
    )
    struct.pack_into("<II", attr, 52, wanted.key_type, wanted.value_type)
    struct.pack_into("<Q", attr, 64, wanted.extra)
    patches = () if wanted.btf is None else (Patch(0, 48, PatchKind.RESULT, wanted.btf),)
    return Call(Sys.BPF, (MAP_CREATE, 0, _ATTR), (bytes(attr),), (*patches, argument(1)))


def btf_call(blob: bytes) -> Call:
    """The call that loads BTF and keeps its descriptor. struct: btf, log buffer, sizes, log level."""
    attr = struct.pack("<QQIII", 0, 0, len(blob), LOG_BYTES, 1) + bytes(4)
    patches = (Patch(0, 0, PatchKind.ADDRESS, 1), Patch(0, 8, PatchKind.LOG), argument(1))
    return Call(
        Sys.BPF, (BTF_LOAD, 0, len(attr)), (attr, blob), patches, log_bytes=LOG_BYTES, log_tail=LOG_TAIL
    )


def info_call(of: int) -> Call:
    """The call that asks for what a kernel says of the program (map, BTF) that call `of` returned."""
    attr = struct.pack("<IIQ", 0, _INFO_BYTES, 0)
    patches = (
        Patch(0, 0, PatchKind.RESULT, of),
        Patch(0, 8, PatchKind.ADDRESS, 1),
        argument(1),
    )
    return Call(Sys.BPF, (OBJ_GET_INFO_BY_FD, 0, len(attr)), (attr, bytes(_INFO_BYTES)), patches, out=1)
