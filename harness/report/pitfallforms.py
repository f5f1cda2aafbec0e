"""The form to use and the form that bites, side by side, for an entry's section of `docs/pitfalls.md`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.catalog.selection import selects
from harness.model import Outcome
from harness.report.markdown import code, escape
from harness.report.matrix import HOST_COLUMN, Group, Matrix, Row
from harness.verdict.advice import spans, works_everywhere

_SOURCE_LINES = 80
# What every BPF program begins and ends with; left out where all forms shown have it.
_SHARED = re.compile(r'#include ("vmlinux_mini\.h"|<bpf/bpf_\w+\.h>)|char LICENSE\[\] SEC\("license"\)')
_FILE_NAME = re.compile(r"\S+\.c")


@dataclass(frozen=True, slots=True)
class _Right:
    """The candidate to show, and the kernels it works on where that is not all of them."""

    row: Row
    kernels: str = ""


def forms(matrix: Matrix, group: Group) -> str:
    """Say which form to use, and set it beside the one that bites; "" where nobody named any."""
    advice = group.info.advice
    if advice is None or not (advice.right or advice.wrong):
        return ""
    right = _right(matrix, [row for when in advice.right for row in _rows(group, when)])
    wrong = next(iter(_rows(group, advice.wrong)), None) if advice.wrong is not None else None
    line = _recommended(right, matrix) if advice.right else ""
    columns = [("wrong", wrong), ("right", right.row if right else None)]
    return "\n\n".join(part for part in (line, _side_by_side(columns)) if part)


def _rows(group: Group, when: Mapping[str, tuple[str | int | bool, ...]]) -> list[Row]:
    return [row for row in group.rows if row.sample and selects(when, row.sample.axes)]


def _right(matrix: Matrix, candidates: Sequence[Row]) -> _Right | None:
    """The first candidate that works on every kernel measured, or else that works on most of them."""
    for row in candidates:
        if works_everywhere([cell.case for cell in row.cells if cell.case]):
            return _Right(row)
    working = [(row, kernels) for row in candidates if (kernels := _works_on(row))]
    if not working:
        return None
    row, kernels = max(working, key=lambda pair: len(pair[1]))
    return _Right(row, spans(kernels, [kernel.name for kernel in matrix.kernels]))


def _works_on(row: Row) -> list[str]:
    return [
        cell.kernel.name
        for cell in row.cells
        if cell.case and cell.case.outcome is not Outcome.NOT_RUN and works_everywhere([cell.case])
    ]


def _recommended(right: _Right | None, matrix: Matrix) -> str:
    everywhere = "on this machine" if matrix.kernels == (HOST_COLUMN,) else "on every kernel measured"
    if right is None:
        return f"**Recommended:** nothing; no form of this entry works {everywhere}."
    name = code(right.row.label)
    if right.kernels:
        return f"**Recommended:** nothing works {everywhere}; {name} does on {escape(right.kernels)}."
    checked = any(cell.case and cell.case.behaviour for cell in right.row.cells)
    answer = "accepted and well-behaved" if checked else "accepted"
    return f"**Recommended:** {name}, {answer} {everywhere}."


def _side_by_side(columns: Sequence[tuple[str, Row | None]]) -> str:
    shown = [(title, row, _text(row)) for title, row in columns if row is not None]
    if not shown:
        return ""
    shared = set.intersection(*(set(filter(_SHARED.match, text)) for _, _, text in shown))
    heads, cells = [], []
    for title, row, text in shown:
        about, source = _split([line for line in text if line not in shared])
        words = f"{escape(about, 1000)}\n\n" if about else ""
        heads.append(f"<th>{title}: <code>{_html(row.label)}</code></th>\n")
        cells.append(f'<td valign="top">\n\n{words}{_fenced(source)}\n\n</td>\n')
    return f"<table>\n<tr>\n{''.join(heads)}</tr>\n<tr>\n{''.join(cells)}</tr>\n</table>"


def _text(row: Row) -> list[str]:
    return [line.replace("\x00", "") for line in (row.sample.source if row.sample else "").splitlines()]


def _split(lines: Sequence[str]) -> tuple[str, list[str]]:
    """The comment a program begins with, as words, and the rest of it."""
    comments = 0
    while comments < len(lines) and lines[comments].startswith("//"):
        comments += 1
    words = [line.removeprefix("//").strip() for line in lines[:comments]]
    if len(words) > 1 and _FILE_NAME.fullmatch(words[0]):
        words[0] += ":"
    return " ".join(words), _without_gaps(lines[comments:])


def _without_gaps(lines: Sequence[str]) -> list[str]:
    """Drop empty lines at both ends and all but one of several in a row."""
    kept: list[str] = []
    for line in lines:
        if line.strip() or (kept and kept[-1].strip()):
            kept.append(line)
    return kept if not kept or kept[-1].strip() else kept[:-1]


def _fenced(lines: Sequence[str]) -> str:
    """The text as a block; its fence is longer than any in the text, so that it cannot end the block."""
    shown = list(lines[:_SOURCE_LINES]) or ["(no source)"]
    if len(lines) > _SOURCE_LINES:
        shown.append(f"/* {len(lines) - _SOURCE_LINES} more lines */")
    fence = "```"
    while any(fence in line for line in shown):
        fence += "`"
    return f"{fence}c\n" + "\n".join(shown) + f"\n{fence}"


def _html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
