"""QEMU's monitor, as far as saving and restoring needs it: QMP over an open socket."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

from harness.guest.errors import GuestConfused, GuestGone, GuestSilent


class Monitor:
    """A QMP session. Opens it (greeting, capabilities) with the first command."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._file = sock.makefile("rwb", buffering=0)
        self._open = False

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        self._file.close()
        self._sock.close()

    def execute(self, command: str, timeout_s: float = 10.0, **arguments: object) -> Any:
        """Run one command and return its `return` value; events are passed over.

        Raise GuestGone, GuestSilent, or GuestConfused with QEMU's words.
        """
        self._sock.settimeout(timeout_s)
        if not self._open:
            self._line()  # the greeting
            self._open = True
            self.execute("qmp_capabilities", timeout_s)
        request = {"execute": command, **({"arguments": arguments} if arguments else {})}
        try:
            self._file.write(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise GuestGone(f"QEMU's monitor is closed ({error.strerror})") from error
        while True:
            answer = self._line()
            if "error" in answer:
                raise GuestConfused(f"QEMU refused {command}: {answer['error'].get('desc')}")
            if "return" in answer:
                return answer["return"]

    def save(self, uri: str, timeout_s: float = 60.0) -> None:
        """Migrate the running guest to `uri` and let it go on; raise as `execute` does."""
        self.execute("migrate-set-parameters", **{"max-bandwidth": 1 << 36, "downtime-limit": 2000})
        self.execute("migrate", uri=uri)
        deadline = time.monotonic() + timeout_s
        while (status := self.execute("query-migrate").get("status")) != "completed":
            if status in ("failed", "cancelled"):
                raise GuestConfused(f"QEMU could not save the guest: {status}")
            if time.monotonic() > deadline:
                raise GuestSilent("QEMU did not finish saving the guest")
            time.sleep(0.005)
        self.execute("cont")

    def wait_restored(self, deadline: float) -> None:
        """Wait until an incoming guest runs; before that a serial port would lose what is sent to it."""
        while (status := self.execute("query-status").get("status")) != "running":
            if time.monotonic() > deadline:
                raise GuestSilent(f"QEMU did not finish restoring the guest (it says {status!r})")
            time.sleep(0.004)

    def _line(self) -> dict[str, Any]:
        try:
            line = self._file.readline(1 << 20)
        except TimeoutError as error:
            raise GuestSilent("QEMU's monitor does not answer") from error
        except OSError as error:
            raise GuestGone("QEMU's monitor is closed") from error
        if not line:
            raise GuestGone("QEMU's monitor is closed")
        answer = json.loads(line)
        return answer if isinstance(answer, dict) else {}
