"""The files of a night, written into a hidden folder; the page over all nights."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path

from jinja2 import Template

from harness.nightly import changesfile, folders, junit, results, strip
from harness.nightly.chronicle import beside
from harness.nightly.types import Night, NightRecord
from harness.record import runfile
from harness.record.atomic import replacing
from harness.report import html, markdown
from harness.report.matrix import build
from harness.report.webpage import asset, environment, ours, policy

FILES = ("changes.md", "matrix.html", "matrix.md", "junit.xml", "results.csv", "run.json")
CHANGES = "changes.md"
INDEX = "index.html"
_TOP = "../../.."  # from a night's folder to the project's
_SIGNS = {0: ("✓", "good"), 1: ("✗", "worse"), 3: ("⚠", "broken")}


def write_files(night: Night, draft: Path, history: Path) -> None:
    """Write everything a night's folder holds. Errors as of `harness.record.atomic`."""
    runfile.write(night.run, draft / "run.json")
    matrix = build(night.run)
    texts = {
        "matrix.md": markdown.render(matrix, _TOP),
        "matrix.html": html.render(matrix, beside(history, night.findings.comparisons)),
        "junit.xml": junit.render(night),
        "results.csv": results.render(night),
        CHANGES: changesfile.render(night),
    }
    for name, text in texts.items():
        with replacing(draft / name) as file:
            file.write(text)
    folders.write_record(night.record, draft)


def write_index(nights: Path, records: Iterable[NightRecord]) -> None:
    """Write the page over the nights, the latest first; it needs nothing but the folders beside it."""
    with replacing(nights / INDEX) as file:
        file.write(render_index(records))


def render_index(records: Iterable[NightRecord]) -> str:
    """Return the page; everything in it that is not ours is escaped."""
    rows = [(record, *_SIGNS.get(record.status, _SIGNS[3])) for record in records]
    style = asset("base.css") + _part("index.css")
    return _template().render(
        rows=rows,
        words=changesfile.STATUS_WORDS,
        files=FILES,
        columns=strip.columns(record for record, *_ in rows),
        height=strip.HEIGHT,
        style=ours(style),
        policy=policy(style),
    )


@cache
def _template() -> Template:
    return environment().from_string(_part("index.html.j2"))


def _part(name: str) -> str:
    return resources.files("harness.nightly").joinpath(name).read_text(encoding="utf-8")
