"""What a person sees while a run goes on: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.kernels.progress import Progress as FetchProgress
from harness.model import CaseResult, KernelRun, Outcome, VerdictKind
from harness.verdict.text import one_line

_PLAIN_SECONDS = 10.0
_MIB = 1 << 20
_FINE = (Outcome.AS_EXPECTED, Outcome.NO_EXPECTATION)


@dataclass
class State:
    """What is known of a run so far; pure, so that it is tested without a terminal."""

    total: int = 0
    done: int = 0
    rejected: int = 0
    differing: int = 0
    built: tuple[int, int] = (0, 0)
    kernels: dict[str, str] = field(default_factory=dict)  # name -> what goes on there
    per_kernel: Counter[str] = field(default_factory=Counter)
    first_case: float | None = None  # a clock's reading when the first case was done

    def count(self, result: CaseResult, now: float) -> None:
        """Take one finished case into account."""
        self.first_case = now if self.first_case is None else self.first_case
        self.done += 1
        self.per_kernel[result.kernel] += 1
        self.rejected += result.verdict.kind is VerdictKind.REJECT
        self.differing += result.outcome not in _FINE

    def seconds_left(self, now: float) -> float | None:
        """Estimate from the pace so far; None before it can be told."""
        if self.first_case is None or self.done < 3 or now <= self.first_case:
            return None
        return (self.total - self.done) * (now - self.first_case) / (self.done - 1)

    def line(self, now: float) -> str:
        """Write the whole state as one line."""
        if not self.total:
            return f"building {self.built[0]}/{self.built[1]}"
        parts = [f"{self.done}/{self.total} cases", f"{self.rejected} rejected"]
        if self.differing:
            parts.append(f"{self.differing} not as expected")
        left = self.seconds_left(now)
        if left is not None and self.done < self.total:
            parts.append(f"{clock(left)} left")
        return ", ".join(parts)


def clock(seconds: float) -> str:
    """Write a duration as a person reads it: `12 s`, `3:05 min`."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60}:{whole % 60:02d} min"


def ready_text(kernel: KernelRun) -> str:
    """Say how a guest came up."""
    how = f"{kernel.accel or '?'}, restored" if kernel.restored else kernel.accel or "?"
    return f"ready in {kernel.boot_seconds or 0:.1f} s ({how})"


def fetch_text(step: FetchProgress) -> str:
    """Say how far a download or an unpacking is."""
    if not step.done and not step.total:
        return step.step
    of = f" of {step.total / _MIB:.0f}" if step.total else ""
    return f"{step.step}: {step.done / _MIB:.0f}{of} MiB"


class LiveDisplay(ABC):
    """Something drawn four times a second on standard error where that is a terminal; a context manager.

    What is drawn is what `__rich__` of the class above it returns; `self._lock` guards it.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self._lock = threading.RLock()
        self._live = (
            Live(self, console=self.console, transient=True, refresh_per_second=4)
            if self.console.is_terminal
            else None
        )

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    @abstractmethod
    def __rich__(self) -> RenderableType:
        """Draw the display; rich calls this at every refresh."""


class RunProgress(LiveDisplay):
    """The `Progress` of a run on `console` (standard error); use it as a context manager.

    On a terminal a display is redrawn in place; elsewhere each event of a kernel is a line, and the state of
    the cases one line every ten seconds. Safe to call from several threads.
    """

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(console)
        self.state = State()
        self._failed: set[str] = set()  # kernels whose problem was told once, for all their cases
        self._said = time.monotonic()

    def __rich__(self) -> RenderableType:
        """Draw the display; rich calls this at every refresh."""
        with self._lock:
            state, now = self.state, time.monotonic()
            table = Table.grid(padding=(0, 2))
            for name, text in state.kernels.items():
                done = state.per_kernel[name]
                table.add_row(Text(name, style="bold"), Text(text), Text(f"{done} done" if done else ""))
            bar = ProgressBar(total=state.total or 1, completed=state.done, width=40)
            return Group(table, bar, Text(state.line(now)))

    def fetching(self, kernel: str, text: str) -> None:
        """Show what goes on for a kernel that is not here yet."""
        self._kernel(kernel, text, spoken=False)

    def fetch_report(self, step: FetchProgress) -> None:
        """Show one step of the kernel store; a plain line only when a new step begins."""
        with self._lock:
            before = self.state.kernels.get(step.kernel, "")
            self._kernel(step.kernel, fetch_text(step), spoken=False)
        if self._live is None and step.step not in before:
            self._print(f"{step.kernel}: {step.step}")

    def building(self, done: int, total: int) -> None:
        """Show how many objects are built."""
        with self._lock:
            self.state.built = (done, total)
        if done == total:
            self._print(f"{total} objects built")
        else:
            self._now_and_then()

    def planned(self, total: int) -> None:
        """Show how many cases there are; told again, these come on top."""
        with self._lock:
            more = "more " if self.state.total else ""
            self.state.total += total
        self._print(f"{total} {more}cases planned")

    def booting(self, kernel: str) -> None:
        """Show that a guest is being started."""
        self._kernel(kernel, "starting its guest")

    def ready(self, kernel: KernelRun) -> None:
        """Show that a guest answers."""
        self._kernel(kernel.name, f"{kernel.release} {ready_text(kernel)}")

    def kernel_failed(self, kernel: str, reason: str) -> None:
        """Show why nothing runs on a kernel; this line stays on a terminal too."""
        self._kernel(kernel, "failed", spoken=False)
        with self._lock:
            self._failed.add(kernel)
        self.console.print(f"{kernel}: {reason}", style="red", markup=False, soft_wrap=True)

    def case_done(self, result: CaseResult) -> None:
        """Count a case; one that is not as expected is named."""
        with self._lock:
            self.state.count(result, time.monotonic())
        if result.outcome not in _FINE and result.kernel not in self._failed:
            text = f"{result.id}: {result.outcome}: {one_line(result.reason)}"
            self.console.print(text, markup=False, soft_wrap=True)
        self._now_and_then()

    def _kernel(self, name: str, text: str, *, spoken: bool = True) -> None:
        with self._lock:
            self.state.kernels[name] = text
        if spoken:
            self._print(f"{name}: {text}")

    def _now_and_then(self) -> None:
        if time.monotonic() - self._said >= _PLAIN_SECONDS:
            self._print(self.state.line(time.monotonic()))

    def _print(self, text: str) -> None:
        """Write a plain line where there is no live display."""
        self._said = time.monotonic()
        if self._live is None:
            self.console.print(text, markup=False, soft_wrap=True)
