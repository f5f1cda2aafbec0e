"""`python -m benchmarks.page [RUN.json]`: size of the page of a matrix, and how fast it opens and filters.

Chromium opens each page from a file, without a window; a filter is measured from the input to the frame that
shows the rows. Medians.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from tabulate import tabulate

from benchmarks.machine import machine, say
from harness.model import HOST, CaseResult, KernelRun, Run
from harness.record.history import Entry, Night
from harness.record.runfile import read
from harness.record.snapshot import snapshot
from harness.report import Beside, page
from harness.report.htmlhistory import NIGHTS

ROWS, KERNELS, REPEATS = 300, 12, 9
_BROWSER, _DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=1400,900")
# Twice: the first time a filter is used the page is indexed, too.
_FILTERS = ("q=EACCES", "verdict=reject", "kernel=", "q=reg_type logs", "")
_OPENED = """
const done = arguments[0], at = performance.getEntriesByType('navigation')[0];
(function look() {
  const paint = performance.getEntriesByName('first-contentful-paint')[0];
  if (paint && at.loadEventEnd) done([paint.startTime, at.loadEventEnd]); else setTimeout(look, 5);
})();
"""
_FILTERED = """
const done = arguments[1], [name, value] = arguments[0].split('=');
const field = id => document.getElementById(id);
field('logs').checked = arguments[0].endsWith(' logs');
for (const each of ['q', 'verdict', 'kernel']) field(each).value = '';
if (name === 'kernel') field(name).selectedIndex = 1;
else if (name) field(name).value = value.replace(' logs', '');
const start = performance.now();
document.getElementById('bar').dispatchEvent(new Event('input'));
requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one page; times in milliseconds."""

    name: str
    megabytes: float
    painted: float
    opened: float
    first_filter: float
    filters: tuple[float, ...]


def main(arguments: Sequence[str]) -> None:
    """Measure both pages and print the text for docs/benchmarks.md."""
    text = page_text(Path(arguments[0] if arguments else "reports/run.json"))
    print(f"{machine()}\n\n{text}")


def page_text(path: Path) -> str:
    """The table of both pages, and what they are; a sentence where there is no browser."""
    if not (Path(_BROWSER).is_file() and Path(_DRIVER).is_file()):
        return "Not measured: Chromium or its driver is missing here (`make test` installs both)."
    run = read(path)
    pages = (
        (f"{ROWS} rows, {KERNELS} kernels, {NIGHTS} nights", enlarged(run)),
        (f"{len(run.cases):,} cases, {len(run.kernels)} kernels", (run, Beside())),
    )
    figures = []
    with tempfile.TemporaryDirectory(prefix="bpfmatrix-page-") as folder:
        for name, (shown, beside) in pages:
            say(f"the page of {name}")
            file = Path(folder) / "matrix.html"
            file.write_text(page(shown, beside), encoding="utf-8")
            figures.append(_measured(name, file, folder))
    return (
        f"{table(figures)}\n\nThe first page is {ROWS} rows of `reports/run.json` on {KERNELS} kernels, with "
        f"their logs and {NIGHTS} nights of history; the second is that run's."
    )


def enlarged(run: Run) -> tuple[Run, Beside]:
    """300 of the run's rows on 12 kernels: each of its kernels several times, with their own logs."""
    rows: dict[tuple[str, str, str | None], dict[str, CaseResult]] = {}
    for case in run.cases:
        if case.kernel != HOST:
            rows.setdefault((case.program, case.variant, case.compiler), {})[case.kernel] = case
    whole = [row for row in rows.values() if len(row) == len(run.kernels)]
    chosen = whole[:: max(1, len(whole) // ROWS)][:ROWS]
    kernels = [_kernel(run, number) for number in range(KERNELS)]
    cases = tuple(
        _case(row[run.kernels[number % len(run.kernels)].name], kernel, number)
        for row in chosen
        for number, kernel in enumerate(kernels)
    )
    made = dataclasses.replace(run, kernels=tuple(kernels), cases=cases)
    records = snapshot(made).cases.values()
    nights = [
        Night(number, f"night {number}", f"2026-01-{number + 1:02}T01:00:00Z") for number in range(NIGHTS)
    ]
    history = {
        f"{record.case}@{record.kernel}": tuple(Entry(night, record) for night in nights)
        for record in records
    }
    return made, Beside(history=history)


def _kernel(run: Run, number: int) -> KernelRun:
    kernel = run.kernels[number % len(run.kernels)]
    version = f"{5 + number}.{number}.{number}"
    return dataclasses.replace(
        kernel, name=f"k{number}", version=version, title=version, release=f"{version}-amd64"
    )


def _case(case: CaseResult, kernel: KernelRun, number: int) -> CaseResult:
    seen = case.observation
    if seen is not None and seen.verifier_log:  # no two kernels' logs are the same
        log = seen.verifier_log.rstrip("\n") + f"\nkernel {number}\n"
        seen = dataclasses.replace(seen, verifier_log=log)
    name = f"{case.id.rpartition('@')[0]}@{kernel.name}"
    return dataclasses.replace(case, id=name, kernel=kernel.name, observation=seen)


def _measured(name: str, path: Path, folder: str) -> Figures:
    options = Options()
    options.binary_location = _BROWSER
    for flag in (*_FLAGS, f"--user-data-dir={folder}/profile"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=Service(_DRIVER))
    try:
        opened, first, later = [], [], []
        for _ in range(REPEATS):
            browser.get("about:blank")
            browser.get(path.as_uri())
            opened.append(browser.execute_async_script(_OPENED))
            first.append(browser.execute_async_script(_FILTERED, _FILTERS[0]))
            later.append([browser.execute_async_script(_FILTERED, each) for each in _FILTERS])
    finally:
        browser.quit()
    painted, loaded = (statistics.median(times) for times in zip(*opened, strict=True))
    filters = tuple(statistics.median(times) for times in zip(*later, strict=True))
    return Figures(name, path.stat().st_size / 1e6, painted, loaded, statistics.median(first), filters)


def table(figures: Sequence[Figures]) -> str:
    """One line a page."""
    head = ["page", "MB", "first paint, ms", "opened, ms", "first filter, ms", "words", "verdict", "kernel"]
    head += ["words in logs", "cleared"]
    body = [
        [each.name, f"{each.megabytes:.1f}"]
        + [f"{time:.0f}" for time in (each.painted, each.opened, each.first_filter, *each.filters)]
        for each in figures
    ]
    target = ["target of the first", "≤ 6", "", "≤ 200", *["≤ 200"] * (1 + len(_FILTERS))]
    return tabulate([*body, target], head, tablefmt="github", disable_numparse=True)


if __name__ == "__main__":
    main(sys.argv[1:])
