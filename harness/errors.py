"""Errors that end a command. A verifier rejection is data, never an exception.

Every error says what, where, why and the next command; `str(error)` is what the person reads.
"""

from __future__ import annotations

from harness.model import Origin


class HarnessError(Exception):
    """Base of everything we raise on purpose. `exit_status` is the process's exit status."""

    exit_status = 3

    def __init__(self, what: str, *, where: Origin | str | None = None, hint: str | None = None) -> None:
        self.what = what
        self.where = where
        self.hint = hint
        super().__init__(what)

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}\n  next: {self.hint}" if self.hint else head


class UserError(HarnessError):
    """Something the person can put right: a file, a name, an option, a missing tool. Exit status 2."""

    exit_status = 2


class InfrastructureError(HarnessError):
    """The world broke: a download, a disk, a guest that does not boot. Exit status 3."""

    exit_status = 3
