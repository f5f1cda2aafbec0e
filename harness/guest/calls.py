"""System calls in the guest that the host puts together: a batch, and what each of it returned. Pure.

What is asked of a kernel is data on the host then; the agent only makes the calls (PROTOCOL.md, "Calls").
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from harness.guest.errors import GuestConfused
from harness.guest.tables import errno_name
from harness.guest.wire import FIELD, Message, MessageType, number

ARGUMENTS = 0xFFFFFFFF  # of Patch.where: an argument of the call, not a place in one of its blobs
MOST_CALLS = 32_768  # of one batch
_NO_BLOB = 0xFFFFFFFF
_HEAD = struct.Struct("<6I6Q")
_PATCH = struct.Struct("<4I")
_CALLED = struct.Struct("<q2I")
_CLOSE = 1


class Sys(IntEnum):
    """Numbers of x86_64's system calls (arch/x86/entry/syscalls/syscall_64.tbl)."""

    READ = 0
    WRITE = 1
    OPEN = 2
    CLOSE = 3
    LSEEK = 8
    IOCTL = 16
    DUP2 = 33
    GETPID = 39
    SOCKET = 41
    SENDTO = 44
    BIND = 49
    SOCKETPAIR = 53
    SETSOCKOPT = 54
    EXECVE = 59
    CHDIR = 80
    MKDIR = 83
    RMDIR = 84
    UNLINK = 87
    MOUNT = 165
    PERF_EVENT_OPEN = 298
    BPF = 321


class PatchKind(IntEnum):
    """What a patch writes: an address of 8 bytes, or what an earlier call returned, in 4 bytes."""

    ADDRESS = 0  # of blob `index` of the same call
    RESULT = 1  # of call `index` of the same batch
    LOG = 2  # the log buffer's address


@dataclass(frozen=True, slots=True)
class Patch:
    """What the host cannot know, written before the call: at `at` of blob `where`, or argument `at`."""

    where: int
    at: int
    kind: PatchKind
    index: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """One system call. `data` are blobs of memory the patches point to; `out`: the blob to bring back.

    `close`: close the descriptor it returns at once. `log_bytes` of a buffer are emptied before the call, and
    the last `log_tail` of the text in it come back.
    """

    number: int
    arguments: tuple[int, ...] = ()
    data: tuple[bytes, ...] = ()
    patches: tuple[Patch, ...] = ()
    log_bytes: int = 0
    log_tail: int = 0
    out: int | None = None
    close: bool = False


@dataclass(frozen=True, slots=True)
class Called:
    """What a call returned: a value, or `errno`'s name and the value -1."""

    value: int
    errno: str | None = None
    log: str = ""
    out: bytes = b""


class Ending(IntEnum):
    """How a batch ended."""

    ALL = 0
    EARLY = 1  # the process ended under it: a call killed it, became another program, or was unusable
    LIMIT = 2


@dataclass(frozen=True, slots=True)
class Answers:
    """A batch's results, in order, of the calls that returned; all of them when `ending` is ALL."""

    called: tuple[Called, ...]
    ending: Ending = Ending.ALL
    signal: int | None = None
    kernel_messages: tuple[str, ...] = ()


def argument(at: int, kind: PatchKind = PatchKind.ADDRESS, index: int = 0) -> Patch:
    """A patch of argument `at`."""
    return Patch(ARGUMENTS, at, kind, index)


def calls_fields(calls: Sequence[Call], time_limit_s: float) -> list[tuple[int, bytes]]:
    """The fields of a CALLS message; ValueError for more calls than a batch has."""
    if len(calls) > MOST_CALLS:
        raise ValueError(f"{len(calls)} calls, a batch has at most {MOST_CALLS}")
    return [(1, number(max(1, round(time_limit_s * 1000)))), *((2, _call_bytes(call)) for call in calls)]


def _call_bytes(call: Call) -> bytes:
    values = [value & 0xFFFFFFFFFFFFFFFF for value in call.arguments] + [0] * (6 - len(call.arguments))
    out = _NO_BLOB if call.out is None else call.out
    head = _HEAD.pack(call.number, _CLOSE * call.close, call.log_bytes, call.log_tail, out, 0, *values)
    fields = [(1, head), *((2, blob) for blob in call.data)]
    fields += [(3, _PATCH.pack(patch.where, patch.at, patch.kind, patch.index)) for patch in call.patches]
    return b"".join(FIELD.pack(tag, len(value)) + value for tag, value in fields)


def answers_of(message: Message) -> Answers:
    """What a CALLED says; GuestConfused when the message is no usable one."""
    ending = message.number(1)
    if message.type != MessageType.CALLED or ending not in tuple(Ending):
        raise GuestConfused(f"message {message.type} is no CALLED")
    return Answers(
        tuple(_called(raw) for raw in message.all(2)),
        Ending(ending),
        message.number(3),
        message.texts(4),
    )


def _called(raw: bytes) -> Called:
    if len(raw) < _CALLED.size:
        raise GuestConfused("a call's result is cut short")
    value, log, out = _CALLED.unpack_from(raw)
    if len(raw) != _CALLED.size + log + out:
        raise GuestConfused("a call's result does not add up to its length")
    text = raw[_CALLED.size : _CALLED.size + log].decode("utf-8", "replace")
    failed = -4096 < value < 0
    return Called(
        -1 if failed else value, errno_name(-value) if failed else None, text, raw[_CALLED.size + log :]
    )
