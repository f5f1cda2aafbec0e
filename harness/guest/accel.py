"""Does KVM work here? Found out by trying, remembered until the machine boots again.

`/dev/kvm` can open and still be useless (measured: nested without the needed emulation, the guest hangs
at boot using almost no CPU). So three instructions at the reset vector are run under KVM: they write to
QEMU's debug-exit port and are done in a tenth of a second. What does not exit with the agreed status in
time is no KVM. A machine that passes and whose guests still never become ready is found out by the
guest's own time limit and remembered the same way.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.guest.options import AccelChoice
from harness.paths import cache_dir

# A 64 KiB firmware whose last 16 bytes, the reset vector, are: mov al,0x21; out 0xf4,al; hlt; jmp to the hlt.
# isa-debug-exit ends QEMU with status (value << 1) | 1.
_FIRMWARE = b"\xf4" * 0xFFF0 + bytes.fromhex("b021e6f4f4ebfd").ljust(16, b"\xf4")
_EXIT_STATUS = (0x21 << 1) | 1
_TRY_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class KvmVerdict:
    """Whether KVM can be used here, and how that is known."""

    usable: bool
    reason: str


def probe_kvm(*, refresh: bool = False) -> KvmVerdict:
    """Whether KVM works on this machine since its last boot; tried once, then remembered."""
    known = None if refresh else _remembered()
    if known is not None:
        return known
    verdict = _try_kvm()
    remember(verdict)
    return verdict


def remember(verdict: KvmVerdict) -> None:
    """Keep `verdict` for this boot of the machine; a cache that cannot be written only costs another try."""
    entry = _entry()
    record = {"boot_id": _boot_id(), "usable": verdict.usable, "reason": verdict.reason}
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=entry.parent, delete=False) as file:
            json.dump(record, file)
        Path(file.name).replace(entry)
    except OSError:
        return


def wants_kvm(choice: AccelChoice) -> bool:
    """Whether to start guests with KVM. UserError when KVM is demanded and does not work."""
    if choice is AccelChoice.TCG:
        return False
    verdict = probe_kvm()
    if choice is AccelChoice.KVM and not verdict.usable:
        raise UserError(
            f"KVM was asked for and does not work here: {verdict.reason}",
            hint="leave --accel away (emulation is used then), or make KVM work and run: bpfmatrix doctor",
        )
    return verdict.usable


def _entry() -> Path:
    return cache_dir() / "guest" / "kvm.json"


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _remembered() -> KvmVerdict | None:
    try:
        record = json.loads(_entry().read_text())
        if record["boot_id"] == _boot_id():
            return KvmVerdict(bool(record["usable"]), str(record["reason"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass  # no record, or a damaged one: find out again
    return None


def _try_kvm() -> KvmVerdict:
    device = Path("/dev/kvm")
    if not device.exists():
        return KvmVerdict(False, "/dev/kvm does not exist")
    if not os.access(device, os.R_OK | os.W_OK):
        return KvmVerdict(False, "/dev/kvm may not be opened by this user (group kvm)")
    qemu = shutil.which("qemu-system-x86_64")
    if qemu is None:
        return KvmVerdict(False, "qemu-system-x86_64 is not installed")
    with tempfile.NamedTemporaryFile(prefix="bpfmatrix-firmware-") as firmware:
        firmware.write(_FIRMWARE)
        firmware.flush()
        return _run_firmware(qemu, firmware.name, "kvm")


def _run_firmware(qemu: str, image: str, accel: str) -> KvmVerdict:
    cpu = "host" if accel == "kvm" else "max"
    command = [qemu, "-accel", accel, "-machine", "q35", "-cpu", cpu, "-m", "16", "-nodefaults", "-no-reboot"]
    command += ["-display", "none", "-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-bios", image]
    try:
        tried = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TRY_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as late:
        words = _first_line(late.stderr or b"")
        return KvmVerdict(False, f"/dev/kvm opens, but the first instructions hang under it{words}")
    if tried.returncode == _EXIT_STATUS:
        return KvmVerdict(True, "it runs instructions")
    return KvmVerdict(
        False, f"QEMU ended with status {tried.returncode} under {accel.upper()}{_first_line(tried.stderr)}"
    )


def _first_line(text: bytes) -> str:
    lines = text.decode("utf-8", "replace").strip().splitlines()
    return f" ({lines[0][:160]})" if lines else ""
