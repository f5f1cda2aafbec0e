"""A log as HTML: everything escaped, hidden characters shown, the line that rejects marked, source dimmed."""

from __future__ import annotations

import html

from markupsafe import Markup

from harness.verdict.logparse import LineKind, line_kinds, parse
from harness.verdict.text import visible


def verifier_log(log: str, cap: int | None = None) -> Markup:
    """Render a verifier log; beyond `cap` characters lines in the middle are left out and counted."""
    parsed = parse(log)
    lines = log.rstrip("\n").split("\n")
    marked = {*parsed.reason_lines, parsed.insn_line, parsed.source_line}
    kinds = list(line_kinds(lines))
    pieces = []
    for index in _kept(lines, cap):
        if index < 0:
            pieces.append(_omitted(-index))
            continue
        text = _escape(lines[index])
        if index in marked:
            pieces.append(Markup("<mark>{}</mark>").format(text))
        elif kinds[index] is LineKind.SOURCE:
            pieces.append(Markup("<i>{}</i>").format(text))
        else:
            pieces.append(text)
    return Markup("\n").join(pieces)


def plain(text: str, cap: int | None = None) -> Markup:
    """Render any other text: escaped, hidden characters shown, bounded as a verifier log is."""
    lines = text.rstrip("\n").split("\n")
    return Markup("\n").join(
        _omitted(-index) if index < 0 else _escape(lines[index]) for index in _kept(lines, cap)
    )


def _escape(line: str) -> Markup:
    """Escape for the text of an element; quotes, frequent in logs, mean nothing there and stay."""
    return Markup(html.escape(visible(line), quote=False))  # noqa: S704 -- escaped right here


def _omitted(count: int) -> Markup:
    return Markup("<b>… {} lines omitted here; run.json has them all …</b>").format(count)


def _kept(lines: list[str], cap: int | None) -> list[int]:
    """Return indexes to show, -n for n lines left out; the end, where the reason is, gets most room."""
    if cap is None or sum(len(line) + 1 for line in lines) <= cap:
        return list(range(len(lines)))
    head, room = 0, cap // 4
    while head < len(lines) and len(lines[head]) < room:
        room -= len(lines[head]) + 1
        head += 1
    tail, room = len(lines), cap - cap // 4
    while tail > head and (len(lines[tail - 1]) < room or tail == len(lines)):
        room -= len(lines[tail - 1]) + 1
        tail -= 1
    middle = [-(tail - head)] if tail > head else []
    return [*range(head), *middle, *range(tail, len(lines))]
