"""A root shell in a guest, on the person's own terminal."""

from __future__ import annotations

import shutil
import subprocess
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


def run_shell(kernel: Kernel, options: GuestOptions) -> int:
    """Boot `kernel` with a busybox shell on this terminal and wait until it ends; QEMU's exit status.

    The guest has nothing of the host: in there are busybox, the kernel's own file systems and the agent.
    Raise UserError when busybox is missing or not static.
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
        return subprocess.run(command, check=False).returncode
    except OSError as error:
        raise InfrastructureError(f"QEMU could not be started: {error}", hint="bpfmatrix doctor") from error


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
