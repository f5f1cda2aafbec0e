"""What a person sees while kernels are asked: a line per kernel on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections import Counter

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from harness.features.types import FeatureKind, MeasuredFeature, Support
from harness.kernels.progress import Progress as FetchProgress
from harness.progress import LiveDisplay, fetch_text

_SIGNS = ((Support.YES, "yes"), (Support.NO, "no"), (Support.UNKNOWN, "unknown"))


def count_text(features: list[MeasuredFeature]) -> str:
    """`201 yes, 10 no`, unknown only where there are some."""
    counts = Counter(feature.support() for feature in features)
    return ", ".join(f"{counts[support]} {word}" for support, word in _SIGNS if counts[support]) or "none"


def plain(kind: FeatureKind) -> str:
    """A kind as it is read: `map types`."""
    return f"{kind.value.replace('_', ' ')}s" if kind not in _SINGULAR else kind.value


_SINGULAR = (FeatureKind.LANGUAGE, FeatureKind.JIT, FeatureKind.CONFIG)


class FeatureProgress(LiveDisplay):
    """The `Watch` of `bpfmatrix features` on standard error; a context manager, safe for threads."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(console)
        self._now: dict[str, str] = {}

    def __rich__(self) -> RenderableType:
        """Draw the display; rich calls this at every refresh."""
        table = Table.grid(padding=(0, 2))
        with self._lock:
            for kernel, text in self._now.items():
                table.add_row(Text(kernel, style="bold"), Text(text))
        return table

    def fetch_report(self, step: FetchProgress) -> None:
        """Show one step of the kernel store; a plain line only when a new step begins."""
        with self._lock:
            begins = step.step not in self._now.get(step.kernel, "")
        self._set(step.kernel, fetch_text(step), step.step if begins else None)

    def starting(self, kernel: str) -> None:
        """Show that a guest is being started."""
        self._set(kernel, "starting its guest", "starting its guest")

    def ready(self, kernel: str, text: str) -> None:
        """Show that a guest answers."""
        self._set(kernel, text, text)

    def asking(self, kernel: str, kind: FeatureKind) -> None:
        """Show what is being asked."""
        self._set(kernel, f"asking about {plain(kind)}", None)

    def asked(self, kernel: str, kind: FeatureKind, features: list[MeasuredFeature], seconds: float) -> None:
        """Show what was answered."""
        text = f"{plain(kind)}: {count_text(features)} ({seconds:.1f} s)"
        self._set(kernel, text, text)

    def told(self, kernel: str, text: str) -> None:
        """Say what a person has to know; this stays on a terminal, too."""
        self.console.print(f"{kernel}: {text}", style="red", markup=False, soft_wrap=True)

    def _set(self, kernel: str, text: str, line: str | None) -> None:
        with self._lock:
            self._now[kernel] = text
        if line is not None and self._live is None:
            self.console.print(f"{kernel}: {line}", markup=False, soft_wrap=True)
