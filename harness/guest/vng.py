"""The platform virtme-ng picks for a kernel: machine, CPU, accelerator, memory, boot image.

virtme-ng is asked with `--dry-run` for the QEMU command line it would use. Of that line we keep what
describes the platform and leave out its root file system: every `-fsdev` shows the guest a directory of
the host, and a guest with a 9p mount cannot be saved. The answer is a function of its inputs and is kept
in the cache (a dry run costs 0.2 s of Python).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from harness.errors import InfrastructureError, UserError
from harness.model import Kernel
from harness.paths import cache_dir

# Options of virtme-ng's line that describe the platform, and how many values each takes.
_KEPT = {
    "-machine": 1,
    "-M": 1,
    "-cpu": 1,
    "-accel": 1,
    "-m": 1,
    "-smp": 1,
    "-kernel": 1,
    "-net": 1,
    "-vga": 1,
}
_KEPT |= {"-display": 1, "-parallel": 1, "-enable-kvm": 0, "-no-reboot": 0}


def platform_arguments(kernel: Kernel, *, kvm: bool) -> tuple[str, ...]:
    """QEMU's program and platform options for `kernel`, as virtme-ng chooses them.

    Raise UserError when virtme-ng or QEMU is missing, InfrastructureError when the answer is not understood.
    """
    command = _command(kernel, kvm=kvm)
    entry = cache_dir() / "guest" / f"platform-{_key(command)}.json"
    arguments = _kept(entry)
    if arguments is not None:
        return arguments
    arguments = keep_platform(_ask(command))
    entry.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=entry.parent, delete=False) as file:
        json.dump(arguments, file)
    Path(file.name).replace(entry)
    return arguments


def _kept(entry: Path) -> tuple[str, ...] | None:
    """The answer kept in the cache, None when there is none or its QEMU is no longer where it was."""
    try:
        arguments = tuple(str(word) for word in json.loads(entry.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return arguments if arguments and shutil.which(arguments[0]) else None


def version() -> str:
    """The installed virtme-ng's version."""
    return importlib.metadata.version("virtme-ng")


def keep_platform(line: str) -> tuple[str, ...]:
    """The program and platform options of a QEMU command line; InfrastructureError when it is none."""
    words = shlex.split(line)
    if not words or "qemu-system" not in words[0] or "-kernel" not in words:
        raise InfrastructureError(
            f"virtme-ng printed no QEMU command line but: {line.strip()[:300] or 'nothing'}",
            hint="bpfmatrix doctor",
        )
    kept = [words[0]]
    index = 1
    while index < len(words):
        width = _KEPT.get(words[index])
        if width is not None:
            kept += words[index : index + 1 + width]
        index += 1 + (width or 0)
    return tuple(kept)


def _command(kernel: Kernel, *, kvm: bool) -> list[str]:
    command = [
        sys.executable,
        "-m",
        "virtme_ng.run",
        "--run",
        str(kernel.image),
        "--dry-run",
        "--exec",
        "true",
    ]
    command += ["--memory", f"{kernel.memory_mib}M", "--cpus", str(kernel.cpus), "--disable-microvm"]
    return command if kvm else [*command, "--disable-kvm"]


def _key(command: list[str]) -> str:
    return hashlib.sha256("\0".join([version(), *command]).encode()).hexdigest()[:16]


def _ask(command: list[str]) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    with tempfile.TemporaryDirectory(prefix="bpfmatrix-") as root:
        answer = subprocess.run(
            [*command, "--root", root],  # an empty directory: virtme-ng must not look at the host's root
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    lines = [line for line in answer.stdout.splitlines() if "qemu-system" in line]
    if not lines:
        words = (answer.stderr or answer.stdout).strip().splitlines()
        raise UserError(
            f"virtme-ng could not plan a guest: {words[-1] if words else 'it printed nothing'}",
            hint="bpfmatrix doctor --install",
        )
    return lines[-1]
