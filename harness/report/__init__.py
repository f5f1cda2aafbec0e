"""Pure reports: a run in, text out. `write_all` is the only function here that touches the disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.catalog.schemacheck import suggest
from harness.errors import UserError
from harness.model import Run
from harness.record import runfile
from harness.record.atomic import replacing
from harness.report import html, markdown, pitfalls, tables
from harness.report import terminal as _terminal
from harness.report.beside import Beside
from harness.report.matrix import build

__all__ = ["FORMATS", "Beside", "page", "render", "terminal", "write_all"]

_RENDERERS: dict[str, Callable[[Run], str]] = {
    "markdown": lambda run: markdown.render(build(run)),
    "html": lambda run: page(run, Beside()),
    "json": lambda run: "".join(runfile.dump(run)),
    "csv": tables.render_csv,
    "pitfalls": pitfalls.render,
    "junit": tables.render_junit,
}
FORMATS = tuple(_RENDERERS)


def render(run: Run, fmt: str) -> str:
    """Return the run in a format of `FORMATS`; UserError listing them for any other name."""
    renderer = _RENDERERS.get(fmt)
    if renderer is None:
        raise UserError(f"unknown format {fmt!r}; {suggest(fmt, FORMATS, 'formats')}")
    return renderer(run)


def page(run: Run, beside: Beside) -> str:
    """Return the run as one HTML page, with what stands beside it: comparisons, the nights before."""
    return html.render(build(run), beside)


def terminal(run: Run, width: int = 100, *, color: bool = False) -> str:
    """Return the matrix for a terminal of `width` columns, with ANSI colours on request."""
    return _terminal.render(build(run), width, color=color)


def write_all(run: Run, out_dir: Path) -> tuple[Path, Path, Path]:
    """Write `matrix.md`, `matrix.html` and `run.json` into `out_dir`, each atomically; return their paths.

    The run file comes first: it is what the other two can be made from again (`bpfmatrix report`).
    """
    markdown_path, html_path, run_path = (out_dir / name for name in ("matrix.md", "matrix.html", "run.json"))
    runfile.write(run, run_path)
    for path, fmt in ((markdown_path, "markdown"), (html_path, "html")):
        with replacing(path) as file:
            file.write(render(run, fmt))
    return markdown_path, html_path, run_path
