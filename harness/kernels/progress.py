"""How the slow steps (index, download, unpack) tell a person what they are at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """One moment: `done` of `total` bytes of this step, `total` None where nobody knows."""

    kernel: str
    step: str  # "index bookworm", "download linux-image-…", "unpack", "waiting for another process"
    done: int = 0
    total: int | None = None


Report = Callable[[Progress], None]
Step = Callable[[str, int, int | None], None]


def silent(step: str, done: int = 0, total: int | None = None) -> None:
    """Report nothing; the default."""


def stepper(kernel: str, report: Report | None) -> Step:
    """Bind a kernel's name to a report function."""
    if report is None:
        return silent

    def step(text: str, done: int = 0, total: int | None = None) -> None:
        report(Progress(kernel, text, done, total))

    return step
