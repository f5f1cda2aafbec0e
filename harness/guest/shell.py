"""A root shell in a guest, on the person's own terminal."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from harness.errors import InfrastructureError, UserError
from harness.guest.accel import wants_kvm
from harness.guest.agent_build import build_agent
from harness.guest.assets import initramfs_file
from harness.guest.options import GuestOptions
from harness.guest.qemu import append_text
from harness.guest.vng import platform_arguments
from harness.model import Kernel

# Beside busybox, what a person wants to have at hand in there, where the machine has a static one.
_TOOLS = {"/bin/busybox": "busybox"}
_PROMPT = b"# "


def run_shell(kernel: Kernel, options: GuestOptions) -> int:
    """Boot `kernel` with a busybox shell on this terminal and wait until it ends; QEMU's exit status.

    The guest has nothing of the host: in there are busybox, the kernel's own file systems and the agent.
    Without a terminal the shell gets what comes on standard input, and `exit` behind it. Raise UserError when
    busybox is missing or not static, InfrastructureError when QEMU cannot be started.
    """
    busybox = static_busybox()
    agent = build_agent()
    initramfs = initramfs_file(agent.path, kernel.modules, dict.fromkeys(_TOOLS, busybox))
    command = [
        *platform_arguments(kernel, kvm=wants_kvm(options.accel)),
        *("-nodefaults", "-no-user-config", "-initrd", str(initramfs)),
        *("-chardev", "stdio,id=terminal,signal=off,mux=off", "-serial", "chardev:terminal"),
        *("-append", append_text(kernel.boot_args, ("bpfmatrix.shell",))),
    ]
    try:
        if sys.stdin.isatty():
            return subprocess.run(command, check=False).returncode
        return _feed(command, sys.stdin.buffer.read())
    except OSError as error:
        raise InfrastructureError(f"QEMU could not be started: {error}", hint="bpfmatrix doctor") from error


def _feed(command: list[str], words: bytes) -> int:
    """Give a shell without a terminal its input once it asks; what comes before its prompt would be lost."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as qemu:
        assert qemu.stdin is not None  # noqa: S101 - a pipe, as asked for
        assert qemu.stdout is not None  # noqa: S101
        seen = b""
        try:
            while piece := os.read(qemu.stdout.fileno(), 4096):
                sys.stdout.buffer.write(piece)
                sys.stdout.buffer.flush()
                asked = _PROMPT in seen
                seen = (seen + piece)[-4096:] if not asked else seen
                if not asked and _PROMPT in seen:
                    qemu.stdin.write(words + b"\nexit\n")
                    qemu.stdin.flush()
        except BaseException:
            qemu.kill()
            raise
    return qemu.returncode


def static_busybox() -> Path:
    """The machine's statically linked busybox; UserError when there is none."""
    found = shutil.which("busybox")
    if found is None:
        raise UserError("busybox is not installed", hint="bpfmatrix doctor --install")
    path = Path(found)
    if b"/lib64/ld-linux" in path.read_bytes():
        raise UserError(
            f"{path} is not statically linked (package busybox-static)", hint="bpfmatrix doctor --install"
        )
    return path
