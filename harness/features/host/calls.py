"""System calls on the machine this runs on, in the form the guest's agent makes them (`harness.guest.calls`).

What is asked of a guest can be asked of the running kernel so. Only calls that leave nothing behind are made:
reading files, making maps, loading programs and types; nothing is attached, pinned or changed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import resource
import select
import signal
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.errors import InfrastructureError
from harness.guest.calls import ARGUMENTS, Answers, Call, Called, Ending, PatchKind, Sys
from harness.guest.tables import errno_name

_CAP_SYS_ADMIN, _CAP_BPF = 21, 39  # include/uapi/linux/capability.h
# BPF_MAP_CREATE, BPF_PROG_LOAD, BPF_OBJ_GET_INFO_BY_FD, BPF_BTF_LOAD (include/uapi/linux/bpf.h)
_HARMLESS_COMMANDS = frozenset({0, 5, 15, 18})
_HARMLESS = frozenset({Sys.READ, Sys.OPEN, Sys.CLOSE, Sys.LSEEK})
_PIECE = 1 << 16


class NotHarmlessError(InfrastructureError):
    """A batch has a call that could change the running system."""


def may_ask() -> bool:
    """Whether this process may load any program: what it may not do says nothing of the kernel."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:  # noqa: PTH123
        for line in file:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) & (1 << _CAP_BPF | 1 << _CAP_SYS_ADMIN))
    return False


def harmless(call: Call) -> bool:
    """Whether a call leaves nothing behind once its process has ended."""
    if call.number == Sys.BPF:
        return bool(call.arguments) and call.arguments[0] in _HARMLESS_COMMANDS
    if call.number == Sys.OPEN:
        return len(call.arguments) < 2 or call.arguments[1] == os.O_RDONLY
    return call.number in _HARMLESS


class HostKernel:
    """The running kernel, asked like a guest: `calls` as `harness.guest.guest.Guest.calls` has it."""

    def calls(self, calls: Sequence[Call], time_limit_s: float) -> Answers:
        """Make a batch of calls in a child process, which is killed past the time limit.

        Raises NotHarmlessError, before anything is called, for a call that would leave something behind.
        """
        for call in calls:
            if not harmless(call):
                raise NotHarmlessError(
                    f"system call {call.number} {call.arguments[:1]} is not made on a host"
                )
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _work(calls, writing)
        os.close(writing)
        return _gather(child, reading, time.monotonic() + time_limit_s)

    def read_file(self, path: str, limit: int = 256 << 10) -> bytes:
        """The first `limit` bytes of a file; OSError as the kernel says."""
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read(limit)


def _work(calls: Sequence[Call], writing: int) -> None:
    """The child: every result goes down the pipe at once, so that what was answered is kept if it dies."""
    status = 1
    try:
        with contextlib.suppress(ValueError, OSError):  # before 5.11 maps and programs count as locked memory
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        made = _Maker()
        for call in calls:
            result = pickle.dumps(made.make(call))
            os.write(writing, struct.pack("<I", len(result)) + result)
        status = 0
    finally:
        os._exit(status)


def _syscall() -> Callable[..., int]:
    function = ctypes.CDLL(None, use_errno=True).syscall
    function.restype = ctypes.c_long
    return function


@dataclass(slots=True)
class _Maker:
    """Makes calls one after another and remembers what they returned."""

    results: list[int] = field(default_factory=list)
    syscall: Callable[..., int] = field(default_factory=_syscall)

    def make(self, call: Call) -> Called:
        """One call; a negative result is an errno."""
        blobs = [ctypes.create_string_buffer(blob, max(1, len(blob))) for blob in call.data]
        log = ctypes.create_string_buffer(max(1, call.log_bytes))
        arguments = list(call.arguments) + [0] * (6 - len(call.arguments))
        for patch in call.patches:
            value, form = self._value(patch.kind, patch.index, blobs, log)
            if patch.where == ARGUMENTS:
                arguments[patch.at] = value
            else:
                struct.pack_into(form, blobs[patch.where], patch.at, value)
        ctypes.set_errno(0)
        value = self.syscall(call.number, *map(ctypes.c_uint64, arguments))
        code = ctypes.get_errno() if value < 0 else 0
        self.results.append(value)
        if call.close and value >= 0:
            os.close(value)
        text = log.value.decode("utf-8", "replace")[-call.log_tail :] if call.log_tail else ""
        out = b"" if call.out is None else blobs[call.out].raw[: len(call.data[call.out])]
        return Called(-1 if code else value, errno_name(code) if code else None, text, out)

    def _value(
        self, kind: PatchKind, index: int, blobs: Sequence[ctypes.Array[ctypes.c_char]], log: object
    ) -> tuple[int, str]:
        if kind is PatchKind.RESULT:
            return self.results[index] & 0xFFFFFFFF, "<I"
        target = log if kind is PatchKind.LOG else blobs[index]
        return ctypes.addressof(target), "<Q"  # type: ignore[arg-type]  # both are ctypes arrays


def _gather(child: int, reading: int, deadline: float) -> Answers:
    """Read results until the child ends or the time is over, and leave no process behind."""
    received, late = b"", False
    try:
        while True:
            ready, _, _ = select.select([reading], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                late = True
                break
            piece = os.read(reading, _PIECE)
            if not piece:
                break
            received += piece
    finally:
        os.close(reading)
        if late:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    died = os.WTERMSIG(status) if os.WIFSIGNALED(status) and not late else None
    ending = Ending.LIMIT if late else Ending.ALL if status == 0 else Ending.EARLY
    return Answers(tuple(_results(received)), ending, died)


def _results(received: bytes) -> list[Called]:
    found, at = [], 0
    while at + 4 <= len(received):
        (size,) = struct.unpack_from("<I", received, at)
        if at + 4 + size > len(received):
            break  # cut short by the end of the child
        found.append(pickle.loads(received[at + 4 : at + 4 + size]))  # noqa: S301 - by our own child
        at += 4 + size
    return found
