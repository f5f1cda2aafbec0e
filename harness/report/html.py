"""The matrix as one self-contained HTML page: no request to anywhere, complete without JavaScript.

Every variant has one panel with a tab per kernel; a grid cell is a link to its tab, so a panel opens by the
address alone (`:target`). A variant's source stands in its panel once, and so do identical logs of a row.
The Content-Security-Policy in the page allows its own style and script, by hash, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from harness.model import CaseResult, Outcome
from harness.report.logview import plain, verifier_log
from harness.report.matrix import HOST_TITLE, SYMBOLS, WORDS, Cell, Group, Mark, Matrix, Row, reproduce
from harness.report.summary import counts, package, started
from harness.scenario import CheckResult, Step, StepResult
from harness.verdict.causes import Cause, cause_by_id
from harness.verdict.expect import describe_expected, describe_verdict
from harness.verdict.logparse import ParsedLog, parse
from harness.verdict.steps import result_words, step_words
from harness.verdict.text import one_line, visible

# The page must stay under 6 MB for 300 rows on 12 kernels. What is not a log takes about 830 bytes a cell.
_PAGE_BUDGET = 5_700_000
_CELL_BYTES = 830
# Of a step, a check, and the headings over them in one tab, beside their words.
_STEP_MARKUP, _CHECK_MARKUP, _SCENARIO_MARKUP = 35, 65, 130
_SMALLEST_BUDGET = 500_000
_ESCAPED = 1.06  # growth of a log by escaping and marking
_FLAGS = {Outcome.UNEXPECTED: "≠", Outcome.CHANGED: "≈", Outcome.FLAKY: "~", Outcome.NO_EXPECTATION: "?"}


@dataclass(frozen=True, slots=True)
class StepView:
    """A step of a scenario and what it gave, in words; `state` is `done`, `failed` or `not-reached`."""

    what: str
    gave: str
    state: str


@dataclass(frozen=True, slots=True)
class Tab:
    """One cell, as its panel shows it. Texts are Markup where they hold our own tags, else plain."""

    anchor: str
    cell: Cell
    css: str
    symbol: str
    verdict: str
    expected: str  # "" where it is as expected
    why: str
    message: str
    cause: int | None  # index in the row's causes
    parsed: ParsedLog | None
    log: Markup | None
    same_log: str  # kernel whose tab holds the identical log, "" if this one does
    build_log: Markup | None
    loader_log: Markup | None
    details: tuple[tuple[str, str], ...]
    checks: tuple[CheckResult, ...]
    steps: tuple[StepView, ...]
    same_checks: str  # kernel whose tab holds the identical checks
    same_steps: str  # … and steps
    command: str


@dataclass(frozen=True, slots=True)
class RowView:
    """A row of the grid and its panel."""

    anchor: str
    row: Row
    tabs: tuple[Tab, ...]
    causes: tuple[Cause, ...]  # shown once for all tabs they concern
    facts: tuple[tuple[str, str], ...]  # the same for all tabs
    source: Markup | None
    source_name: str


@dataclass(frozen=True, slots=True)
class GroupView:
    """A program's rows under its heading."""

    group: Group
    anchor: str
    rows: tuple[RowView, ...]


def render(matrix: Matrix) -> str:
    """Return the page. Logs are whole unless the page would pass 6 MB."""
    cap = _cap(matrix)
    views = []
    number = 0
    for index, group in enumerate((*matrix.groups, *matrix.host)):
        rows = []
        for row in group.rows:
            rows.append(_row(row, group, f"r{number}", cap))
            number += 1
        views.append(GroupView(group, f"g{index}", tuple(rows)))
    split = len(matrix.groups)
    style, script = _part("style.css"), _part("script.js")
    return (
        _environment()
        .from_string(_part("page.html.j2"))
        .render(
            matrix=matrix,
            run=matrix.run,
            groups=views,
            tables=[(matrix, views[:split])] + [(matrix.host_part, views[split:])] * bool(matrix.host),
            host_title=HOST_TITLE,
            counts=counts(matrix),
            bad=[tab for view in views for row in view.rows for tab in row.tabs if tab.cell.bad],
            marks=[(SYMBOLS[mark], WORDS[mark], mark.value) for mark in Mark],
            started=started,
            package=package,
            style=Markup(style),  # noqa: S704 -- our own file, not input
            script=Markup(script),  # noqa: S704 -- our own file, not input
            policy=_policy(style, script),
        )
    )


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _part(name: str) -> str:
    return resources.files("harness.report").joinpath("page", name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["clean"] = visible
    environment.filters["line"] = one_line
    return environment


def _row(row: Row, group: Group, anchor: str, cap: int | None) -> RowView:
    seen = _Seen({}, {}, {})
    names = _cause_names(row)
    tabs = tuple(
        _tab(cell, group, f"{anchor}k{index}", cap, seen, names) for index, cell in enumerate(row.cells)
    )
    sample = row.sample
    source = plain(sample.source) if sample and sample.source else None
    facts = (("compiler", sample.compiler or "none"), ("loader", sample.loader)) if sample else ()
    causes = tuple(cause_by_id(name) for name in names)
    return RowView(anchor, row, tabs, causes, facts, source, group.info.path or group.info.name)


def _cause_names(row: Row) -> list[str]:
    return list(dict.fromkeys(c.case.verdict.cause for c in row.cells if c.case and c.case.verdict.cause))


@dataclass(frozen=True, slots=True)
class _Seen:
    """What earlier tabs of a row hold already, with the kernel of the tab."""

    logs: dict[str, str]
    checks: dict[tuple[CheckResult, ...], str]
    steps: dict[tuple[StepView, ...], str]


def _tab(cell: Cell, group: Group, anchor: str, cap: int | None, seen: _Seen, causes: list[str]) -> Tab:
    case = cell.case
    observed = case.observation if case else None
    log = observed.verifier_log if observed else ""
    same = seen.logs.get(log, "") if log else ""
    if log:
        seen.logs.setdefault(log, cell.kernel.name)
    checks = case.checks if case else ()
    same_checks = seen.checks.get(checks, "") if checks else ""
    seen.checks.setdefault(checks, cell.kernel.name)
    steps = _steps(case) if case else ()
    same_steps = seen.steps.get(steps, "") if steps else ""
    seen.steps.setdefault(steps, cell.kernel.name)
    css = f"{cell.mark.value} {cell.outcome.value}" + (" bad" if cell.bad else "")
    return Tab(
        anchor=anchor,
        cell=cell,
        css=css,
        symbol=SYMBOLS[cell.mark] + _FLAGS.get(cell.outcome, ""),
        verdict=describe_verdict(case.verdict, case.behaviour) if case else "not run",
        expected=_expected(case),
        why=cell.why,
        message=case.verdict.message if case else "",
        cause=causes.index(case.verdict.cause) if case and case.verdict.cause else None,
        parsed=parse(log) if log else None,
        log=verifier_log(log, cap) if log and not same else None,
        same_log=same,
        build_log=plain(case.build_log, cap) if case and case.build_log else None,
        loader_log=plain(observed.loader_log, cap) if observed and observed.loader_log else None,
        details=_details(case) if case else (),
        checks=() if same_checks else checks,
        same_checks=same_checks,
        steps=() if same_steps else steps,
        same_steps=same_steps,
        command=reproduce(case, group.info) if case else "",
    )


def _expected(case: CaseResult | None) -> str:
    if case is None or case.outcome is Outcome.AS_EXPECTED:
        return ""
    if case.expected is None:
        return "nothing (no expectation)"
    text = describe_expected(case.expected)
    if case.expected.message:
        text += f", message matching {case.expected.message}"
    if case.expected.unmeasured:
        text += " (from documented history, not measured before)"
    return text


def _details(case: CaseResult) -> tuple[tuple[str, str], ...]:
    pairs: list[tuple[str, str]] = []
    seen = case.observation
    if seen is None:
        return ()
    if seen.insns_processed is not None:
        took = f", {seen.kernel_time_us / 1000:.1f} ms" if seen.kernel_time_us is not None else ""
        pairs.append(("verified", f"{seen.insns_processed:,} instructions{took}"))
    pairs += [("said", step.message) for step in seen.steps if step.errno and "\n" in step.message]
    for created in seen.maps:
        size = f"key {created.key_size}, value {created.value_size}, entries {created.max_entries}"
        if created.declared_entries not in (None, created.max_entries):
            size += f" (declared {created.declared_entries})"
        pairs.append((f"map {created.name}", f"{created.type}, {size}: {created.errno or 'created'}"))
    pairs += [("fix-up", text) for text in seen.fixups]
    pairs += [("kernel log", text) for text in seen.kernel_messages]
    if seen.console_tail:
        pairs.append(("console", seen.console_tail[-4000:]))
    return tuple(pairs)


def _steps(case: CaseResult) -> tuple[StepView, ...]:
    results = {result.index: result for result in case.observation.steps} if case.observation else {}
    return tuple(_step(step, results.get(index)) for index, step in enumerate(case.scenario))


def _step(step: Step, result: StepResult | None) -> StepView:
    if result is None:
        return StepView(step_words(step), "not reached", "not-reached")
    allowed = " (it may fail)" if result.errno and step.may_fail else ""
    state = "failed" if result.errno and not step.may_fail else "done"
    return StepView(step_words(step), result_words(step, result) + allowed, state)


def _cap(matrix: Matrix) -> int | None:
    """Return the most characters of one log such that the page fits its budget; None when all fit whole."""
    rows = [row for group in (*matrix.groups, *matrix.host) for row in group.rows]
    cases = [cell.case for row in rows for cell in row.cells if cell.case]
    sources = sum(len(row.sample.source) for row in rows if row.sample)
    sizes = sorted(int(size * _ESCAPED) for case in cases for size in _log_sizes(case))
    scenarios = sum(_scenario_bytes(row) for row in rows)
    fixed = matrix.total * _CELL_BYTES + int((sources + scenarios) * _ESCAPED)
    room = max(_PAGE_BUDGET - fixed, _SMALLEST_BUDGET)
    if sum(sizes) <= room:
        return None
    left = len(sizes)
    for size in sizes:
        if size * left > room:
            break
        room -= size
        left -= 1
    return max(int(room / left / _ESCAPED), 300) if left else None


def _scenario_bytes(row: Row) -> int:
    """Return how long the checks and the steps of a row are on the page, the same ones counted once."""
    cases = [cell.case for cell in row.cells if cell.case and cell.case.scenario]
    steps = {_steps(case) for case in cases}
    shown = len(cases) * _SCENARIO_MARKUP
    shown += sum(len(view.what) + len(view.gave) + _STEP_MARKUP for views in steps for view in views)
    checks = [check for same in {case.checks for case in cases} for check in same]
    return shown + sum(len(c.value) + len(c.want) + len(c.got) + len(c.why) + _CHECK_MARKUP for c in checks)


def _log_sizes(case: CaseResult) -> tuple[int, ...]:
    seen = case.observation
    return (len(seen.verifier_log), len(seen.loader_log)) if seen else (len(case.build_log),)
