"""The matrix as one self-contained HTML page: no request to anywhere, complete without JavaScript.

Every variant has one panel with a tab per kernel; a grid cell is a link to its tab. Panels stand in
`<noscript>`: without JavaScript they are ordinary parts of the page, opened by the address alone (`:target`);
with it the browser takes each for one piece of text, which costs nothing when the page is opened, and the
script makes the panel of a cell when it is looked at. The programs behind the first ones stand in one, too,
as a table of their own, which the script joins to the first. Everything in them is escaped, so no text can
end the element.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup

from harness.report.beside import Beside
from harness.report.htmlchanges import compared
from harness.report.htmlrows import GroupView, LogView, RowView, Share, group_views
from harness.report.matrix import HOST_TITLE, SYMBOLS, WORDS, Mark, Matrix
from harness.report.summary import counts, package, started
from harness.report.webpage import asset, ours, policy, template
from harness.verdict.causes import cause_by_id

# 300 rows on 12 kernels must stay under 6 MB; a matrix of more rows may be larger.
_LIMIT, _ROWS, _ROW_LIMIT = 5_900_000, 300, 4_000
_SHORTEST_LOG = 300  # characters a log keeps, whatever it costs
_OMISSION = 100  # bytes of the line that counts what is cut
_BARS = {
    Mark.ACCEPT: "accept",
    Mark.BEHAVES: "accept",
    Mark.MISBEHAVES: "wrong",
    Mark.REJECT: "reject",
    Mark.CRASH: "dead",
    Mark.HANG: "dead",
    Mark.SPLAT: "dead",
    Mark.NOT_RUN: "none",
}
_LONG = 200  # rows, from which on only the programs are shown until one is opened
_FIRST = 20  # programs a browser builds at once, more than a screen: the rest when the page has opened


def render(matrix: Matrix, beside: Beside | None = None) -> str:
    """Return the page. Logs are whole unless the page would pass its limit, then the longest are cut."""
    beside = beside or Beside()
    groups = (*matrix.groups, *matrix.host)
    views = group_views(groups, matrix.run, beside)
    panels = {row.anchor: _panel(row) for view in views for row in view.rows}
    frame = _frame(matrix, views, beside)
    limit = _LIMIT + max(0, len(panels) - _ROWS) * _ROW_LIMIT
    cap = _cap(views, limit - len(frame.encode()) - sum(_bytes(text) for text in panels.values()))
    if cap is not None:
        rows = [row for view in views for row in view.rows if any(len(log.raw) > cap for log in _logs(row))]
        panels |= {row.anchor: _panel(row, cap) for row in rows}
    head, tail = frame.split(_PANELS)
    return head + "".join(panels.values()) + tail


_PANELS = "<!-- panels -->"


def _frame(matrix: Matrix, views: Sequence[GroupView], beside: Beside) -> str:
    """Return the page without its panels."""
    split = len(matrix.groups)
    tabs = [tab for view in views for row in view.rows for tab in row.tabs]
    rows = sum(len(view.rows) for view in views)
    causes = Counter(tab.cause_id for tab in tabs if tab.cause_id)
    bars = _bars(views)
    style = asset("base.css") + asset("style.css") + _sizes(matrix, views) + "\n".join(bars.values()) + "\n"
    theme, script = asset("theme.js"), asset("base.js") + asset("script.js")
    return template("page.html.j2").render(
        matrix=matrix,
        run=matrix.run,
        tables=[(matrix, views[:split])] + [(matrix.host_part, views[split:])] * bool(matrix.host),
        host_title=HOST_TITLE,
        first=_FIRST,
        rows=rows,
        folded=rows > _LONG,
        counts=counts(matrix),
        bad=[tab for tab in tabs if tab.cell.bad],
        compared=compared(beside.comparisons, {t.cell.case.id: t.anchor for t in tabs if t.cell.case}),
        notes=beside.notes,
        marks=[(SYMBOLS[mark], WORDS[mark], mark.value) for mark in Mark],
        shown=[(mark.value, WORDS[mark]) for mark in Mark if matrix.marks.get(mark)],
        families=sorted({view.family for view in views}),
        causes=[(name, cause_by_id(name).title, number) for name, number in causes.most_common()],
        bars={shares: number for number, shares in enumerate(bars)},
        cause_numbers={name: number for number, (name, _) in enumerate(causes.most_common())},
        started=started,
        package=package,
        style=ours(style),
        theme=ours(theme),
        script=ours(script),
        policy=policy(style, theme, script),
    )


def _panel(row: RowView, cap: int | None = None) -> Markup:
    """Return a panel as ASCII: one other sign, and a browser may keep all of it in two bytes a sign."""
    text = template("panel.html.j2").render(row=row, cap=cap)
    return Markup(text.encode("ascii", "xmlcharrefreplace").decode("ascii"))  # noqa: S704 -- escaped


def _sizes(matrix: Matrix, views: Sequence[GroupView]) -> str:
    """Say how many columns there are, and how high programs are that are not drawn yet."""
    rules = [f"#kernel-half {{ --columns: {len(matrix.kernels)}; }}", "#host-half { --columns: 1; }"]
    for number in sorted({len(view.rows) for view in views}):
        height = f"calc(4.6rem + {number} * var(--row))"
        rules.append(f".n{number} {{ contain-intrinsic-height: auto {height}; }}")
    return "\n".join(rules) + "\n"


def _bars(views: Sequence[GroupView]) -> Mapping[tuple[Share, ...], str]:
    """Return a rule of style for each way in which answers are spread: a bar as the ground of a cell.

    An element for each part of each bar would be a third of what the browser has to build.
    """
    every = dict.fromkeys(shares for view in views for shares in view.shares)
    return {
        shares: f".heading .b{number} {{ background-image: {_gradient(shares)}; }}"
        for number, shares in enumerate(every)
    }


def _gradient(shares: Sequence[Share]) -> str:
    one = 100 / sum(part.number for part in shares)
    stops = (
        f"var(--{_BARS[part.css]}-bar) {one * part.at:.4g}% {one * (part.at + part.number):.4g}%"
        for part in shares
    )
    return f"linear-gradient(90deg, {', '.join(stops)})"


def _cap(views: Sequence[GroupView], room: int) -> int | None:
    """Return the most characters of one log such that the page fits; None when it does.

    `room` is how many bytes are left, below 0 how many there are too many.
    """
    if room >= 0:
        return None
    rows = [row for view in views for row in view.rows]
    # Escaping makes a log longer, so that what is left out counts for more than it does here.
    sizes = sorted(_bytes(log.raw) for row in rows for log in _logs(row))
    left = sum(sizes) + room
    for index, size in enumerate(sizes):
        if size * (len(sizes) - index) > left:
            return max(left // (len(sizes) - index) - _OMISSION, _SHORTEST_LOG)
        left -= size
    return None


def _logs(row: RowView) -> Iterable[LogView]:
    return (log for tab in row.tabs for log in tab.logs)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))
