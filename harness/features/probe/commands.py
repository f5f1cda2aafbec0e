"""Calls of bpf() and of what programs are attached to, put together from offsets of their structures.

Layout: union bpf_attr of include/uapi/linux/bpf.h, struct perf_event_attr of include/uapi/linux/perf_event.h.
Bytes a kernel does not know are zero, which every kernel accepts.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

from harness.guest.calls import Call, Patch, PatchKind, Sys, argument

BYTES = 144  # of union bpf_attr
_SET_BPF = 0x40042408  # PERF_EVENT_IOC_SET_BPF
_PERF_BYTES = 72  # PERF_ATTR_SIZE_VER1
_CAPSET = 126
_CLOSE_ON_EXEC = 8  # PERF_FLAG_FD_CLOEXEC


class Cmd(IntEnum):
    """Commands of bpf() (enum bpf_cmd)."""

    MAP_CREATE = 0
    MAP_UPDATE_ELEM = 2
    MAP_GET_NEXT_KEY = 4
    OBJ_PIN = 6
    PROG_ATTACH = 8
    PROG_DETACH = 9
    PROG_TEST_RUN = 10
    PROG_GET_NEXT_ID = 11
    PROG_QUERY = 16
    RAW_TRACEPOINT_OPEN = 17
    MAP_LOOKUP_AND_DELETE_ELEM = 21
    MAP_LOOKUP_BATCH = 24
    LINK_CREATE = 28
    ITER_CREATE = 33


@dataclass(frozen=True, slots=True)
class Result:
    """What an earlier call of the batch returned, where a descriptor is wanted."""

    call: int


@dataclass(frozen=True, slots=True)
class Memory:
    """The address of bytes that go with the call."""

    data: bytes


Field = tuple[str, int] | Result | Memory  # a number with its format, or what is patched in


def bpf_call(command: Cmd, fields: Mapping[int, Field], out: int | None = None) -> Call:
    """A call of bpf(): offset in the union -> what stands there. Memory is blobs 1 and up, in order."""
    attr, blobs, patches = _filled(BYTES, fields)
    return Call(Sys.BPF, (command, 0, BYTES), (attr, *blobs), (*patches, argument(1)), out=out)


def _filled(size: int, fields: Mapping[int, Field]) -> tuple[bytes, list[bytes], list[Patch]]:
    attr = bytearray(size)
    blobs: list[bytes] = []
    patches: list[Patch] = []
    for at, value in fields.items():
        if isinstance(value, Result):
            patches.append(Patch(0, at, PatchKind.RESULT, value.call))
        elif isinstance(value, Memory):
            blobs.append(value.data)
            patches.append(Patch(0, at, PatchKind.ADDRESS, len(blobs)))
        else:
            struct.pack_into(f"<{value[0]}", attr, at, value[1])
    return bytes(attr), blobs, patches


def number(value: int) -> Field:
    """A number of 32 bits."""
    return "I", value


def wide(value: int) -> Field:
    """A number of 64 bits."""
    return "Q", value


def text(value: str) -> Memory:
    """A text with its end."""
    return Memory(value.encode() + b"\0")


def open_call(path: str, flags: int = 0, mode: int = 0) -> Call:
    """Open a file."""
    return Call(Sys.OPEN, (0, flags, mode), (path.encode() + b"\0",), (argument(0),))


def path_call(number_: int, path: str, mode: int = 0) -> Call:
    """A system call that takes a path: mkdir, rmdir, unlink."""
    return Call(number_, (0, mode), (path.encode() + b"\0",), (argument(0),))


def perf_call(kind: int, config: int, name: str = "", pid: int = -1, cpu: int = 0) -> Call:
    """perf_event_open: an event of a type; `name` is what config1 points to (a function, for kprobes)."""
    fields: dict[int, Field] = {0: number(kind), 4: number(_PERF_BYTES), 8: wide(config), 16: wide(1)}
    if name:
        fields[56] = text(name)
    attr, blobs, patches = _filled(_PERF_BYTES, fields)
    return Call(
        Sys.PERF_EVENT_OPEN, (0, pid, cpu, -1, _CLOSE_ON_EXEC), (attr, *blobs), (*patches, argument(0))
    )


def set_bpf_call(event: int, program: int) -> Call:
    """Attach a program to a perf event; both are calls of the batch."""
    patches = (argument(0, PatchKind.RESULT, event), argument(2, PatchKind.RESULT, program))
    return Call(Sys.IOCTL, (0, _SET_BPF, 0), (), patches)


def socket_call(family: int, kind: int) -> Call:
    """Make a socket."""
    return Call(Sys.SOCKET, (family, kind, 0))


def option_call(socket: int, option: int, value: int | Result) -> Call:
    """Set an option of level SOL_SOCKET."""
    data, _, found = _filled(4, {0: value if isinstance(value, Result) else number(value)})
    patches = (*found, argument(0, PatchKind.RESULT, socket), argument(3))
    return Call(Sys.SETSOCKOPT, (0, 1, option, 0, 4), (data,), patches)


def drop_calls(capability: int) -> list[Call]:
    """Take a capability from the process of the batch: capset(2) with all others, version 3."""
    head = struct.pack("<Ii", 0x20080522, 0)
    low = 0xFFFFFFFF & ~(1 << capability) if capability < 32 else 0xFFFFFFFF
    high = 0x1FF & ~(1 << capability - 32) if capability >= 32 else 0x1FF
    held = struct.pack("<6I", low, low, 0, high, high, 0)
    return [Call(_CAPSET, (0, 0), (head, held), (argument(0), argument(1, PatchKind.ADDRESS, 1)))]


def named(call: Call, name: str, at: int) -> Call:
    """The call with a name of 16 bytes at an offset of its attributes."""
    attr = bytearray(call.data[0])
    struct.pack_into("<16s", attr, at, name.encode())
    return replace(call, data=(bytes(attr), *call.data[1:]))
