"""The matrix for a terminal: as much of each cell as the width allows, then what is not as expected."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from harness.model import KernelRun
from harness.report.matrix import SIGNS, SYMBOLS, Cell, Mark, Matrix
from harness.report.summary import sentence
from harness.verdict.text import one_line

_STYLES = {
    Mark.ACCEPT: "blue",
    Mark.BEHAVES: "blue",
    Mark.MISBEHAVES: "red",
    Mark.REJECT: "yellow",
    Mark.CRASH: "bold magenta",
    Mark.HANG: "bold magenta",
    Mark.SPLAT: "bold magenta",
    Mark.NOT_RUN: "dim",
}
_LABEL_SHARE = 0.4  # of the width, at most, for the variant's name
_NARROWEST = 24


def render(matrix: Matrix, width: int = 100, *, color: bool = False) -> str:
    """Return the tables, differences and counts as text no line of which is wider than `width` columns.

    Cells shrink from `✗ load EACCES` over `✗ EACCES` to `✗`; when not even that fits, the kernels are
    shown in several tables. With `color` the text holds ANSI sequences.
    """
    words = [said for part in _parts(matrix) for said in _differences(part)]
    words.append(sentence(matrix) + ".")
    return _printed(matrix, words, max(width, _NARROWEST), color=color)


def tables(matrix: Matrix, width: int = 100, *, color: bool = False) -> str:
    """Return the tables alone, as `render` has them."""
    return _printed(matrix, (), max(width, _NARROWEST), color=color)


def _printed(matrix: Matrix, words: Sequence[str], width: int, *, color: bool) -> str:
    """Return the tables, whose lines are cut at the width, and then `words`, which are wrapped."""
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        legacy_windows=False,
        highlight=False,
    )
    for part in _parts(matrix):
        for line in _tables(part, width):
            console.print(line, no_wrap=True, overflow="ellipsis", soft_wrap=False)
    for said in words:
        console.print(Text(said))
    return "\n".join(line.rstrip() for line in out.getvalue().split("\n"))


def _parts(matrix: Matrix) -> list[Matrix]:
    """The kernels' rows and the host's, as far as there are any."""
    return [part for part in (matrix, matrix.host_part) if part.groups] or [matrix]


def _tables(matrix: Matrix, width: int) -> Iterator[Text]:
    label = min(_label_width(matrix), max(8, int(width * _LABEL_SHARE)))
    room = width - label
    for detail in (2, 1, 0):
        widths = [_column_width(matrix, index, detail) for index in range(len(matrix.kernels))]
        if sum(one + 2 for one in widths) <= room:
            yield from _table(matrix, label, range(len(matrix.kernels)), widths, detail)
            return
    start = 0
    while start < len(widths):
        end, used = start, 0
        while end < len(widths) and (end == start or used + widths[end] + 2 <= room):
            used += widths[end] + 2
            end += 1
        yield from _table(matrix, label, range(start, end), widths, 0)
        start = end


def _table(matrix: Matrix, label: int, columns: range, widths: Sequence[int], detail: int) -> Iterator[Text]:
    """Yield the lines of one table; a program's heading takes a whole line."""
    heads = [Text(_header(matrix.kernels[index])) for index in columns]
    used = [widths[index] for index in columns]
    yield _line(Text("variant"), heads, label, used)
    yield Text("─" * (label + sum(used) + 2 * len(used)), style="dim")
    for group in matrix.groups:
        yield Text(one_line(group.heading), style="bold", overflow="ellipsis", no_wrap=True)
        for row in group.rows:
            cells = [_cell(row.cells[index], detail) for index in columns]
            yield _line(Text("  " + one_line(row.label)), cells, label, used)
    yield Text("")


def _line(first: Text, cells: Sequence[Text], label: int, widths: Sequence[int]) -> Text:
    line = _fitted(first, label)
    for cell, width in zip(cells, widths, strict=True):
        line.append("  ").append_text(_fitted(cell, width))
    line.rstrip()
    return line


def _fitted(text: Text, width: int) -> Text:
    text = text.copy()
    text.truncate(width, overflow="ellipsis", pad=True)
    return text


def _cell(cell: Cell, detail: int) -> Text:
    style = f"{_STYLES[cell.mark]} reverse" if cell.bad else _STYLES[cell.mark]
    return Text(_text(cell, detail), style=style)


def _text(cell: Cell, detail: int) -> str:
    parts = [SYMBOLS[cell.mark] + _flag(cell)]
    if detail == 2:
        parts.append(cell.word)
    if detail == 2 or (detail == 1 and not cell.errno):
        parts.append(cell.stage)
    if detail:
        parts.append(cell.errno)
    return " ".join(part for part in parts if part)


def _flag(cell: Cell) -> str:
    if not cell.bad:
        return ""
    return SIGNS.get(cell.outcome, "≠")


def _header(kernel: KernelRun) -> str:
    """Return the entry's short name; the exact release stands in the files, where there is room."""
    return one_line(kernel.name, 16)


def _label_width(matrix: Matrix) -> int:
    labels = [f"  {row.label}" for group in matrix.groups for row in group.rows]
    return max([cell_len(one_line(label)) + 2 for label in labels] or [8])


def _column_width(matrix: Matrix, index: int, detail: int) -> int:
    texts = [_text(row.cells[index], detail) for group in matrix.groups for row in group.rows]
    return max([cell_len(text) for text in texts] + [cell_len(_header(matrix.kernels[index]))])


def _differences(matrix: Matrix) -> Iterator[str]:
    for group in matrix.groups:
        for row in group.rows:
            for cell in row.cells:
                if cell.bad and cell.case:
                    yield f"{_flag(cell)} {one_line(cell.case.id)}: {one_line(cell.why, 400)}"
    for kernel in matrix.kernels:
        if kernel.problem:
            yield f"– {one_line(kernel.name)}: not run: {one_line(kernel.problem, 400)}"
