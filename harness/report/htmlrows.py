"""Rows, cells and panels of the matrix's page, as its templates take them.

What several cells of a row share (the source, the same log, the same steps) stands in its panel once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from markupsafe import Markup

from harness.model import CaseResult, Outcome, Run
from harness.report.beside import Beside
from harness.report.htmlchanges import SIGNS, Told, told
from harness.report.htmlhistory import Stretch, stretches
from harness.report.logview import plain, verifier_log
from harness.report.matrix import SYMBOLS, Cell, Group, Mark, Row, reproduce
from harness.scenario import CheckResult, Step, StepResult
from harness.verdict.causes import Cause, cause_by_id
from harness.verdict.expect import describe_expected, describe_verdict
from harness.verdict.logparse import ParsedLog, parse
from harness.verdict.steps import result_words, step_words

_FLAGS = {Outcome.UNEXPECTED: "≠", Outcome.CHANGED: "≈", Outcome.FLAKY: "~", Outcome.NO_EXPECTATION: "?"}
_T = TypeVar("_T")
_NO_CHANGE = Told("", ())


@dataclass(frozen=True, slots=True)
class StepView:
    """A step of a scenario and what it gave, in words; `state` is `done`, `failed` or `not-reached`."""

    what: str
    gave: str
    state: str


@dataclass(frozen=True, slots=True)
class LogView:
    """A log as it was; `show` escapes and marks it, and cuts what is beyond a number of characters."""

    title: str
    raw: str
    show: Callable[[str, int | None], Markup]


@dataclass(frozen=True, slots=True)
class Tab:
    """One cell, as its panel shows it. Texts are Markup where they hold our own tags, else plain."""

    anchor: str
    cell: Cell
    css: str
    symbol: str
    cause_id: str  # "" where there is none
    change: Told
    change_sign: str
    verdict: str
    expected: str  # "" where it is as expected
    message: str
    cause: int | None  # index in the row's causes
    parsed: ParsedLog | None
    logs: tuple[LogView, ...]
    details: tuple[tuple[str, str], ...]
    checks: tuple[CheckResult, ...]
    steps: tuple[StepView, ...]
    same: tuple[tuple[str, str, str], ...]  # what another tab holds already, that tab's anchor and kernel
    command: str
    history: tuple[Stretch, ...]

    @property
    def words(self) -> str:
        """What the grid says beside the symbol: errno and stage, or how it behaves."""
        return f"{self.cell.errno} {self.cell.stage}".strip() or self.cell.word

    @property
    def nights(self) -> int:
        """How many nights the history is of."""
        return sum(stretch.nights for stretch in self.history)


@dataclass(frozen=True, slots=True)
class RowView:
    """A row of the grid and its panel."""

    anchor: str
    row: Row
    group: Group
    tabs: tuple[Tab, ...]
    causes: tuple[Cause, ...]  # shown once for all tabs they concern
    facts: tuple[tuple[str, str], ...]  # the same for all tabs
    source: Markup | None
    source_name: str


@dataclass(frozen=True, slots=True)
class Share:
    """How many cells of a program a kernel gave one answer, and how many stand before them in the bar."""

    css: Mark
    symbol: str
    number: int
    at: int


@dataclass(frozen=True, slots=True)
class GroupView:
    """A program's rows under its heading."""

    group: Group
    anchor: str
    family: str
    short: str  # the program's name without what all share
    rows: tuple[RowView, ...]
    shares: tuple[tuple[Share, ...], ...]  # by kernel


def group_views(groups: Iterable[Group], run: Run, beside: Beside) -> list[GroupView]:
    """Return everything to show."""
    maker = _Rows(run, beside)
    return [maker.group(group, f"g{index}") for index, group in enumerate(groups)]


class _Rows:
    """Makes rows and numbers them."""

    def __init__(self, run: Run, beside: Beside) -> None:
        self._run = run
        self._history = beside.history
        self._told: Mapping[str, Told] = told(beside.comparisons)
        self._number = 0

    def group(self, group: Group, anchor: str) -> GroupView:
        rows = tuple(self._row(row, group) for row in group.rows)
        family, short = _names(group.info.name)
        return GroupView(group, anchor, family, short, rows, _shares(group.rows))

    def _row(self, row: Row, group: Group) -> RowView:
        anchor = f"r{self._number}"
        self._number += 1
        seen = _Seen()
        names = _cause_names(row)
        tabs = tuple(
            self._tab(cell, group, f"{anchor}k{index}", seen, names) for index, cell in enumerate(row.cells)
        )
        sample = row.sample
        source = plain(sample.source) if sample and sample.source else None
        facts = (("compiler", sample.compiler or "none"), ("loader", sample.loader)) if sample else ()
        causes = tuple(cause_by_id(name) for name in names)
        path = group.info.path or group.info.name
        return RowView(anchor, row, group, tabs, causes, facts, source, path)

    def _tab(self, cell: Cell, group: Group, anchor: str, seen: _Seen, causes: list[str]) -> Tab:
        case = cell.case
        log = case.observation.verifier_log if case and case.observation else ""
        cause = case.verdict.cause if case else None
        change = self._told.get(case.id, _NO_CHANGE) if case else _NO_CHANGE
        new = seen.at(anchor, cell.kernel.name)
        return Tab(
            anchor=anchor,
            cell=cell,
            css=cell.mark.value + (" bad" if cell.bad else ""),
            symbol=SYMBOLS[cell.mark] + _FLAGS.get(cell.outcome, ""),
            cause_id=cause or "",
            change=change,
            change_sign=SIGNS.get(change.css, ""),
            verdict=describe_verdict(case.verdict, case.behaviour) if case else "not run",
            expected=_expected(case),
            message=case.verdict.message if case else "",
            cause=causes.index(cause) if cause else None,
            parsed=parse(log) if log else None,
            details=(*_details(case), *new("maps", _maps(case))) if case else (),
            checks=new("checks", case.checks) if case else (),
            steps=new("steps", _steps(case)) if case else (),
            logs=tuple(log for log in (_logs(case) if case else ()) if new(log.title.lower(), (log.raw,))),
            same=new.told(),
            command=reproduce(case, group.info) if case else "",
            history=self._nights(cell),
        )

    def _nights(self, cell: Cell) -> tuple[Stretch, ...]:
        if cell.case is None or not self._history:
            return ()
        return stretches(cell.case, self._run, cell.kernel, self._history.get(cell.case.id, ()))


class _Seen:
    """What earlier tabs of a row hold already, with the anchor and the kernel of the tab."""

    def __init__(self) -> None:
        self.first: dict[tuple[object, ...], tuple[str, str]] = {}

    def at(self, anchor: str, kernel: str) -> _New:
        """Return what asks for the tab `anchor`."""
        return _New(self.first, (anchor, kernel))


class _New:
    """Passes on what no earlier tab holds, and remembers where the rest is."""

    def __init__(self, first: dict[tuple[object, ...], tuple[str, str]], here: tuple[str, str]) -> None:
        self._first, self._here = first, here
        self._same: dict[tuple[str, str], list[str]] = {}

    def __call__(self, what: str, items: tuple[_T, ...]) -> tuple[_T, ...]:
        where = self._first.setdefault((what, *items), self._here) if items else self._here
        if where == self._here:
            return items
        self._same.setdefault(where, []).append(what)
        return ()

    def told(self) -> tuple[tuple[str, str, str], ...]:
        """Say what is the same as in which tab, after everything was asked for."""
        return tuple((_listed(what), *where) for where, what in self._same.items())


def _listed(words: list[str]) -> str:
    return (", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else words[0]).capitalize()


def _logs(case: CaseResult) -> Iterable[LogView]:
    seen = case.observation
    logs = (
        LogView("Verifier log", seen.verifier_log if seen else "", verifier_log),
        LogView("Build log", case.build_log, plain),
        LogView("Loader log", seen.loader_log if seen else "", plain),
    )
    return (log for log in logs if log.raw)


def _names(program: str) -> tuple[str, str]:
    """Return family and short name: `programs/maps/ringbuf_size` → maps, maps/ringbuf_size."""
    parts = program.split("/")
    if len(parts) >= 3 and parts[0] == "programs":
        return parts[1], "/".join(parts[1:])
    return "handed in", program


def _shares(rows: Iterable[Row]) -> tuple[tuple[Share, ...], ...]:
    columns = zip(*(row.cells for row in rows), strict=True)
    return tuple(tuple(_column([cell.mark for cell in column])) for column in columns)


def _column(marks: list[Mark]) -> Iterable[Share]:
    at = 0
    for mark in Mark:
        number = marks.count(mark)
        if number:
            yield Share(mark, SYMBOLS[mark], number, at)
            at += number


def _cause_names(row: Row) -> list[str]:
    return list(dict.fromkeys(c.case.verdict.cause for c in row.cells if c.case and c.case.verdict.cause))


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
    pairs += [("fix-up", text) for text in seen.fixups]
    pairs += [("kernel log", text) for text in seen.kernel_messages]
    if seen.console_tail:
        pairs.append(("console", seen.console_tail[-4000:]))
    return tuple(pairs)


def _maps(case: CaseResult) -> tuple[tuple[str, str], ...]:
    pairs = []
    for created in case.observation.maps if case.observation else ():
        size = f"key {created.key_size}, value {created.value_size}, entries {created.max_entries}"
        if created.declared_entries not in (None, created.max_entries):
            size += f" (declared {created.declared_entries})"
        pairs.append((f"map {created.name}", f"{created.type}, {size}: {created.errno or 'created'}"))
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
