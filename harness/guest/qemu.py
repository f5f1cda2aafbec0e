"""One QEMU process: started with our devices on virtme-ng's platform, watched, and ended.

Nothing of it touches the file system: the ports are socket pairs handed over as open descriptors, the
console is a memory file. So a killed harness leaves nothing behind: QEMU itself dies with us
(PR_SET_PDEATHSIG through setpriv).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from harness.errors import UserError
from harness.guest.qmp import Monitor

# What the kernel is told. oops=panic and panic=-1 with QEMU's -no-reboot turn a dying kernel into a process
# that ends, which the host sees at once. Nothing here may change what the verifier does (no mitigations=).
# cryptomgr.notests: the self tests of the ciphers cost 0.4 s of an emulated boot (measured on 6.12). no5lvl:
# QEMU offers five levels of page tables, and every level costs an emulated guest a load on each TLB miss.
# tsc=reliable: no watchdog that compares the clock with another one and could doubt it after a restore.
# no_timer_check: on a busy machine an emulated timer can be late enough for a kernel to panic at boot
# ("IO-APIC + timer doesn't work", seen with 6.1); kernels leave this check out by themselves under KVM.
# init_on_alloc=0: Debian's kernels zero every page they hand out, a good eighth of an emulated case. Maps and
# the verifier's own memory are zeroed by their owners. damon_stat.enabled=N: newer kernels (a trace of 7.3
# shows it; 5.10 has it not) keep looking which memory is used, for a statistic.
BASE_APPEND = (
    *("console=ttyS0", "quiet", "loglevel=4", "panic=-1", "oops=panic", "rdinit=/init"),
    *("cryptomgr.notests", "no5lvl", "tsc=reliable", "no_timer_check", "init_on_alloc=0"),
    "damon_stat.enabled=N",
)


def device_arguments(port: int, serial: int, monitor: int, console: int) -> list[str]:
    """QEMU options for the guest's devices; the numbers are descriptors QEMU inherits.

    They come out the same for every start, so that a saved guest finds the devices it was saved with.
    """
    return [
        *("-nodefaults", "-no-user-config"),
        *("-chardev", f"file,id=console,path=/proc/self/fd/{console},append=on"),
        *("-serial", "chardev:console"),
        *("-chardev", f"socket,id=serial,fd={serial}", "-serial", "chardev:serial"),
        *("-device", "virtio-serial-pci,max_ports=2"),
        *("-chardev", f"socket,id=port,fd={port}"),
        *("-device", "virtserialport,name=bpfmatrix.0,chardev=port"),
        *("-chardev", f"socket,id=monitor,fd={monitor}", "-mon", "chardev=monitor,mode=control"),
    ]


def append_text(boot_args: Sequence[str], extra: Sequence[str] = ()) -> str:
    """The kernel command line: ours, then the kernel entry's own words."""
    return " ".join((*BASE_APPEND, *extra, *boot_args))


class Qemu:
    """A running QEMU. `lines` are the host's ends of the guest's two ports."""

    def __init__(
        self, platform: Sequence[str], initramfs: Path, append: str, incoming: str | None = None
    ) -> None:
        """Start QEMU; `incoming` is a migration URI to restore from.

        Raise UserError when the program is missing.
        """
        pairs = [socket.socketpair() for _ in range(3)]
        ours, theirs = zip(*pairs, strict=True)
        self._console = os.memfd_create("bpfmatrix-console")
        descriptors = (*(end.fileno() for end in theirs), self._console)
        command = [
            *platform,
            *device_arguments(*descriptors),
            *("-initrd", str(initramfs), "-append", append),
            *(("-incoming", incoming) if incoming else ()),
        ]
        try:
            self._process = _spawn(command, descriptors)
        except BaseException:
            os.close(self._console)
            for end in ours:
                end.close()
            raise
        finally:
            for end in theirs:
                end.close()
        self.lines = ours[:2]
        self.monitor = Monitor(ours[2])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """The process id of QEMU."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def console_tail(self, limit: int = 8192) -> str:
        """The last `limit` bytes of console and of QEMU's own messages, as text."""
        if self._console < 0:
            return ""
        size = os.fstat(self._console).st_size
        return os.pread(self._console, limit, max(0, size - limit)).decode("utf-8", "replace")

    def wait_end(self, seconds: float) -> int | None:
        """Wait for QEMU to end by itself; its status, or None when it still runs."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def abort(self) -> None:
        """End QEMU now, from another thread than the one that uses it: its sockets come to their end."""
        if self._process.poll() is None:
            self._process.kill()

    def kill(self) -> None:
        """End QEMU now and free everything; safe to call twice.

        The guest has no state worth a clean shutdown.
        """
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self.monitor.close()
        for end in self.lines:
            end.close()
        if self._console >= 0:
            os.close(self._console)
            self._console = -1


def _spawn(command: list[str], descriptors: Sequence[int]) -> subprocess.Popen[bytes]:
    if shutil.which(command[0]) is None:
        raise UserError(f"{command[0]} is not installed", hint="bpfmatrix doctor --install")
    setpriv = shutil.which("setpriv")
    guard = [setpriv, "--pdeathsig", "KILL"] if setpriv else []
    return subprocess.Popen(
        [*guard, *command],
        stdin=subprocess.DEVNULL,
        stdout=descriptors[-1],  # QEMU's own complaints stand with the console
        stderr=descriptors[-1],
        pass_fds=descriptors,
        start_new_session=True,  # a Ctrl-C of the terminal is for us to handle
    )


def describe_exit(status: int | None) -> str:
    """A QEMU exit status in words."""
    if status is None:
        return "QEMU still runs"
    if status < 0:
        return f"QEMU was ended by {signal.Signals(-status).name}"
    return f"QEMU ended with status {status}"
