"""The history of a case: a table, a plot for the terminal, and one as PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from rich.bar import Bar
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.errors import UserError
from harness.model import VerdictKind
from harness.record.history import Entry
from harness.verdict.text import one_line

_NOTHING = "–"
_BAR = 30  # columns
_MOST_DATES = 15  # below a plot


def history_text(case: str, entries: Sequence[Entry], width: int = 110, *, color: bool = False) -> str:
    """Write the verdicts and instruction counts of `case` over time, kernel by kernel, with bars.

    A bar is the instruction count against the most of that kernel; a line is marked where the answer is
    another one than before it.
    """
    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=color, no_color=not color, highlight=False, markup=False
    )
    console.print(Text(case, style="bold"))
    for kernel in dict.fromkeys(entry.record.kernel for entry in entries):
        console.print()
        console.print(_table(kernel, [entry for entry in entries if entry.record.kernel == kernel]))
    if any(entry.night.clock_back for entry in entries):
        console.print("* the clock went backwards: rows are in the order they were recorded in")
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def write_plot(case: str, entries: Sequence[Entry], path: Path) -> None:
    """Draw the instruction counts of `case` over the recorded runs as PNG (or what `path` ends in).

    UserError when matplotlib is not installed, or does not know the file's ending.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an optional extra, and slow to import
    except ModuleNotFoundError as missing:
        what = f"--plot needs the Python package {missing.name}"
        raise UserError(
            what, hint="pip install 'bpfmatrix[plot]', or look at the bars in the terminal"
        ) from missing
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    nights = sorted({(entry.night.number, entry.night.start) for entry in entries})
    places = {number: place for place, (number, _) in enumerate(nights)}
    for number, kernel in enumerate(dict.fromkeys(entry.record.kernel for entry in entries)):
        _draw(axes, kernel, number, [e for e in entries if e.record.kernel == kernel], places)
    if any(entry.record.answer.verdict is not VerdictKind.ACCEPT for entry in entries):
        axes.plot([], [], "x", markersize=11, color="gray", label="not accepted")
    shown = range(0, len(nights), len(nights) // _MOST_DATES + 1)
    axes.set_xticks(shown, [nights[place][1][:10] for place in shown], rotation=45, ha="right")
    axes.set(ylabel="instructions the verifier processed", title=case)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"cannot be drawn: {one_line(reason)}", where=str(path), hint="--plot FILE.png"
        ) from error


def _draw(axes: object, kernel: str, number: int, entries: Sequence[Entry], places: dict[int, int]) -> None:
    """One line per kernel; what was not accepted is a cross. Lines that lie on each other stay visible."""
    known = [entry for entry in entries if entry.record.insns is not None]
    across = [places[entry.night.number] for entry in known]
    counts = [entry.record.insns for entry in known]
    style = {
        "marker": "os^Dv<>P"[number % 8],
        "fillstyle": "none",
        "markersize": 7 + 2 * number % 8,
        "linewidth": max(1.0, 4.0 - number),
    }
    line = axes.plot(across, counts, label=kernel, alpha=0.8, **style)  # type: ignore[attr-defined]
    refused = [
        (place, count)
        for place, count, entry in zip(across, counts, known, strict=True)
        if entry.record.answer.verdict is not VerdictKind.ACCEPT
    ]
    if refused:
        axes.plot(  # type: ignore[attr-defined]
            *zip(*refused, strict=True), "x", markersize=11, color=line[0].get_color()
        )


def _table(kernel: str, entries: Sequence[Entry]) -> Table:
    table = Table(title=f"kernel {kernel}" if kernel != "host" else "host", title_justify="left", box=None)
    for name in ("start", "release", "answer"):
        table.add_column(name, overflow="fold")
    table.add_column("instructions", justify="right")
    table.add_column("time", justify="right")
    table.add_column("", min_width=_BAR)
    most = max((entry.record.insns or 0 for entry in entries), default=0)
    before: Entry | None = None
    for entry in entries:
        table.add_row(*_cells(entry, before), _bar(entry.record.insns, most))
        before = entry
    return table


def _cells(entry: Entry, before: Entry | None) -> tuple[str, ...]:
    record = entry.record
    changed = before is not None and before.record.answer != record.answer
    answer = f"flaky: {record.answer}" if record.flaky else str(record.answer)
    return (
        f"{entry.night.start}{'*' if entry.night.clock_back else ''}",
        record.under.release or _NOTHING,
        one_line(f"{'! ' if changed else ''}{answer}"),
        _NOTHING if record.insns is None else f"{record.insns:,}",
        _NOTHING if record.time_us is None else f"{record.time_us / 1000:,.1f} ms",
    )


def _bar(count: int | None, most: int) -> Bar | str:
    return Bar(most, 0, count, width=_BAR) if count and most else ""
