"""What people do without bpfmatrix: a bare QEMU, and virtme-ng with bpftool."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from harness.catalog.kernels import KernelSpec
from harness.guest.initramfs import build_initramfs
from harness.guest.vng import platform_arguments
from harness.kernels.progress import silent
from harness.kernels.sources import DebianRelease, resolve
from harness.kernels.store import KernelStore
from harness.model import Kernel

_NOTHING = Path(__file__).parent / "nothing.c"
_LIMIT_S = 300.0


def floor_seconds(kernel: Kernel) -> float:
    """Seconds from starting QEMU until a do-nothing init runs: same platform, same image, nothing of ours."""
    with tempfile.TemporaryDirectory(prefix="bpfmatrix-bench-") as folder:
        init = Path(folder) / "init"
        subprocess.run(["gcc", "-O2", "-static", "-o", str(init), str(_NOTHING)], check=True)
        initramfs = Path(folder) / "initramfs"
        initramfs.write_bytes(build_initramfs(init, ()))
        command = [*platform_arguments(kernel, kvm=False), "-nodefaults", "-initrd", str(initramfs)]
        command += ["-append", "console=ttyS0 quiet panic=-1", "-serial", "stdio"]
        return _until(command, b"FLOOR READY")


def _until(command: Sequence[str], sign: bytes) -> float:
    start = time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # noqa: S101 - PIPE was asked for
        seen = b""
        while sign not in seen:
            piece = os.read(process.stdout.fileno(), 4096)
            if not piece:
                raise RuntimeError(f"the floor's guest ended early: {seen[-400:].decode(errors='replace')}")
            seen += piece
        seconds = time.monotonic() - start
        process.kill()
    return seconds


class VngUser:
    """One kernel as a person has it who runs `vng --run K --exec …`: the whole package, unpacked."""

    def __init__(self, spec: KernelSpec) -> None:
        self._stack = ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bpfmatrix-vng-")))
        release = resolve(spec, KernelStore()._apt, silent, refresh=False)
        if not isinstance(release, DebianRelease):
            raise TypeError(f"{spec.name} is no Debian kernel; the comparison needs its whole package")
        for part in release.parts:
            deb = release.apt.fetch(part, self.folder, silent)
            subprocess.run(["dpkg-deb", "-x", str(deb), str(self.folder / "root")], check=True)
            deb.unlink()
        self.image = _arrange(self.folder / "root")

    def close(self) -> None:
        """Remove what was unpacked."""
        self._stack.close()

    def seconds(self, objects: Sequence[Path]) -> tuple[float, int, int]:
        """Wall seconds of one `vng --run K --exec` that loads every object with bpftool.

        Also how many loaded, and how many bpftool was asked for inside the guest.
        """
        script = self.folder / "load.sh"
        script.write_text(_script(objects))
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
        command = [sys.executable, "-m", "virtme_ng.run", "--run", str(self.image), "--disable-kvm"]
        command += ["--exec", f"sh {script}"]
        start = time.monotonic()
        done = subprocess.run(
            command,
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
        seconds = time.monotonic() - start
        counts = [line for line in done.stdout.splitlines() if line.startswith("LOADED ")]
        if not counts:
            said = (done.stdout + done.stderr)[-600:] or "nothing; is udev installed (make bench does that)?"
            raise RuntimeError(f"virtme-ng did not finish: {said}")
        loaded, asked = counts[0].split()[1:]
        return seconds, int(loaded), int(asked)


def _arrange(root: Path) -> Path:
    """Put image and modules where virtme-ng looks for them; the image's path."""
    if not (root / "lib").exists():
        (root / "lib").symlink_to("usr/lib")
    modules = next((root / "lib" / "modules").iterdir())
    image = root / "boot" / f"vmlinuz-{modules.name}"
    if not image.exists():
        image.parent.mkdir(exist_ok=True)
        (modules / "vmlinuz").rename(image)
    return image


def _script(objects: Sequence[Path]) -> str:
    lines = ["mount -t bpf bpf /sys/fs/bpf 2>/dev/null", "loaded=0; asked=0"]
    for each in objects:
        lines.append("asked=$((asked+1))")
        lines.append(
            f"bpftool prog load {each} /sys/fs/bpf/one >/dev/null 2>&1"
            " && { loaded=$((loaded+1)); rm -f /sys/fs/bpf/one; }"
        )
    return "\n".join([*lines, "echo LOADED $loaded $asked", ""])
