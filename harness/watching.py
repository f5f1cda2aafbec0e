"""What a run tells whoever watches it."""

from __future__ import annotations

from typing import Protocol

from harness.model import CaseResult, KernelRun


class Progress(Protocol):
    """What a run tells whoever watches it. Called from several threads."""

    def fetching(self, kernel: str, text: str) -> None:
        """A kernel is being looked up or downloaded; `text` is what goes on."""

    def building(self, done: int, total: int) -> None:
        """`done` of `total` objects are built."""

    def planned(self, total: int) -> None:
        """This many cases will be run."""

    def booting(self, kernel: str) -> None:
        """A guest of `kernel` is being started."""

    def ready(self, kernel: KernelRun) -> None:
        """The guest answers."""

    def kernel_failed(self, kernel: str, reason: str) -> None:
        """No guest of `kernel` could be started; its cases are not run."""

    def case_done(self, result: CaseResult) -> None:
        """One case is judged."""


class Silent:
    """A progress nobody watches."""

    def fetching(self, kernel: str, text: str) -> None:
        """Ignore it."""

    def building(self, done: int, total: int) -> None:
        """Ignore it."""

    def planned(self, total: int) -> None:
        """Ignore it."""

    def booting(self, kernel: str) -> None:
        """Ignore it."""

    def ready(self, kernel: KernelRun) -> None:
        """Ignore it."""

    def kernel_failed(self, kernel: str, reason: str) -> None:
        """Ignore it."""

    def case_done(self, result: CaseResult) -> None:
        """Ignore it."""
