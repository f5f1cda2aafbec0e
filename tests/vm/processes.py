"""Starting our commands as a person does, and finding the QEMUs they started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_MARK = "BPFMATRIX_TEST_MARK"


class Command:
    """A command in a process group of its own, whose descendants are known by a word in their environment."""

    def __init__(self, *words: str, folder: Path = ROOT) -> None:
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            # So a shell starts what runs in the background, and what we start would inherit it.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self.mark = uuid.uuid4().hex
        module = {
            "pytest": ("-m", "pytest"),
            "bpfmatrix": ("-c", "import sys, harness.cli as c; sys.exit(c.main())"),
        }
        self.process = subprocess.Popen(
            [sys.executable, *module[words[0]], *words[1:]],
            cwd=folder,
            env={**os.environ, _MARK: self.mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def finish(self, seconds: float = 240) -> tuple[int, str]:
        """Wait for the end; exit status and everything printed."""
        try:
            out, _ = self.process.communicate(timeout=seconds)
        finally:
            self.process.kill()
        return self.process.returncode, out

    def wait_for_guest(self, seconds: float = 120) -> None:
        """Wait until a QEMU of this command runs."""
        self._wait(lambda: bool(self.guests()), seconds)

    def interrupt(self, number: signal.Signals) -> None:
        """Send a signal as a terminal does: to the whole group for SIGINT, to the command alone otherwise."""
        if number is signal.SIGINT:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def guests(self) -> list[int]:
        """The process ids of QEMUs that descend from this command, also after it ended."""
        word = f"{_MARK}={self.mark}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_bytes()
                name = (folder / "comm").read_text()
            except OSError:
                continue  # ended meanwhile
            if word in environment and name.startswith("qemu-system"):
                found.append(int(folder.name))
        return found

    def assert_no_guest_left(self) -> None:
        """Fail when a QEMU outlives the command by more than a moment."""
        self._wait(lambda: not self.guests(), 5)

    @staticmethod
    def _wait(condition: object, seconds: float) -> None:
        assert callable(condition)
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"waited {seconds} s in vain"
            time.sleep(0.05)
