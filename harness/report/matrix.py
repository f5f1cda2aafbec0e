"""A run as rows and columns: what every format shows, computed once.

Rows are variants grouped by program, columns are kernels, oldest first. Every planned kernel is a column,
also one that could not be booted; a case that is missing is *not run*, never an empty cell.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from harness.model import (
    HOST,
    CaseResult,
    KernelRun,
    KernelVersion,
    Outcome,
    ProgramInfo,
    Run,
    Stage,
    VerdictKind,
)
from harness.scenario import Behaviour
from harness.verdict.behaviour import failed_words
from harness.verdict.causes import UNCLASSIFIED
from harness.verdict.text import one_line


class Mark(StrEnum):
    """What a cell shows; how it compares with the expectation is `Cell.outcome`."""

    ACCEPT = "accept"
    BEHAVES = "behaves"
    MISBEHAVES = "misbehaves"
    REJECT = "reject"
    CRASH = "crash"
    HANG = "hang"
    SPLAT = "splat"
    NOT_RUN = "not_run"


SYMBOLS: Mapping[Mark, str] = {
    Mark.ACCEPT: "✓",
    Mark.BEHAVES: "✓✓",
    Mark.MISBEHAVES: "✓✗",
    Mark.REJECT: "✗",
    Mark.CRASH: "☠",
    Mark.HANG: "⧗",
    Mark.SPLAT: "⚡",
    Mark.NOT_RUN: "–",
}
WORDS: Mapping[Mark, str] = {
    Mark.ACCEPT: "accepted",
    Mark.BEHAVES: "accepted and behaves",
    Mark.MISBEHAVES: "accepted but misbehaves",
    Mark.REJECT: "rejected",
    Mark.CRASH: "the kernel or the guest died",
    Mark.HANG: "time limit passed",
    Mark.SPLAT: "the kernel complained (WARNING, BUG, lockdep)",
    Mark.NOT_RUN: "not run",
}
# Stages as a cell has room for.
SHORT_STAGE: Mapping[Stage, str] = {
    Stage.RENDER: "render",
    Stage.COMPILE: "compile",
    Stage.OPEN: "open",
    Stage.MAP_CREATE: "map",
    Stage.BTF_LOAD: "btf",
    Stage.LOAD: "load",
    Stage.ATTACH: "attach",
    Stage.RUN: "run",
    Stage.HOST_COMPILE: "host compile",
}
# The one column of rows no kernel has a part in; no entry of a run's kernels.
HOST_COLUMN = KernelRun(HOST, version="", release="", title=HOST, source="", sha256="")
HOST_TITLE = "Host and user space"
# Outcomes somebody has to look at.
BAD = frozenset(
    {Outcome.CHANGED, Outcome.UNEXPECTED, Outcome.CRASH, Outcome.HANG, Outcome.SPLAT, Outcome.FLAKY}
)
# How a cell that is bad is marked behind its symbol; ≠ where nothing else is said.
SIGNS: Mapping[Outcome, str] = {Outcome.CHANGED: "≈", Outcome.FLAKY: "~"}
_BEHAVIOURS = {Behaviour.BEHAVES: Mark.BEHAVES, Behaviour.MISBEHAVES: Mark.MISBEHAVES}
_ABNORMAL = {Outcome.CRASH: Mark.CRASH, Outcome.HANG: Mark.HANG, Outcome.SPLAT: Mark.SPLAT}


@dataclass(frozen=True, slots=True)
class Cell:
    """One variant on one kernel; `case` is None when the run file has none."""

    kernel: KernelRun
    case: CaseResult | None
    mark: Mark
    outcome: Outcome

    @property
    def bad(self) -> bool:
        """Whether the answer is not the expected one."""
        return self.outcome in BAD

    @property
    def stage(self) -> str:
        """The stage in short, "" when accepted or unknown."""
        stage = self.case.verdict.stage if self.case and self.mark is Mark.REJECT else None
        return SHORT_STAGE[stage] if stage else ""

    @property
    def errno(self) -> str:
        """The errno's name of a rejection, "" where there is none."""
        errno = self.case.verdict.errno if self.case and self.mark is Mark.REJECT else None
        return one_line(errno, 20) if errno else ""

    @property
    def word(self) -> str:
        """`behaves` or `misbehaves`, "" where nothing was checked."""
        return self.mark.value if self.mark in _BEHAVIOURS.values() else ""

    @property
    def text(self) -> str:
        """`✓`, `✓✗ misbehaves`, `✗ load EACCES`, `✗ compile`, `☠`, …."""
        return " ".join(part for part in (SYMBOLS[self.mark], self.word, self.stage, self.errno) if part)

    @property
    def failed_checks(self) -> str:
        """What was expected and what came, of the first check that does not hold; "" when all do."""
        return failed_words(self.case.checks) if self.case else ""

    @property
    def why(self) -> str:
        """Why it did not run or is not as expected."""
        return (self.case.reason if self.case else self.kernel.problem) or ""


@dataclass(frozen=True, slots=True)
class Row:
    """One variant; `compiler` is set only where several compilers built it."""

    program: str
    variant: str
    compiler: str | None
    cells: tuple[Cell, ...]

    @property
    def label(self) -> str:
        """The variant's name, with the compiler where it matters."""
        return f"{self.variant} · {self.compiler}" if self.compiler else self.variant

    @property
    def sample(self) -> CaseResult | None:
        """Any case of the row, for what all of them share (source, axes)."""
        return next((cell.case for cell in self.cells if cell.case), None)


@dataclass(frozen=True, slots=True)
class Group:
    """The rows of one program."""

    info: ProgramInfo
    rows: tuple[Row, ...]

    @property
    def heading(self) -> str:
        """`N01: Ring buffer size`, or the program's name where nobody wrote a title."""
        title = self.info.title or self.info.name
        return f"{self.info.pitfall}: {title}" if self.info.pitfall else title


@dataclass(frozen=True, slots=True)
class Matrix:
    """Everything a report shows."""

    run: Run
    kernels: tuple[KernelRun, ...]
    groups: tuple[Group, ...]
    outcomes: Mapping[Outcome, int]
    marks: Mapping[Mark, int]
    unclassified: int
    host: tuple[Group, ...] = ()  # rows no kernel has a part in, each with one cell

    @property
    def host_part(self) -> Matrix:
        """The rows of the host as a matrix of one column; its counts are those of the whole."""
        return replace(self, kernels=(HOST_COLUMN,), groups=self.host, host=())

    @property
    def total(self) -> int:
        """Cells, run or not."""
        return sum(self.marks.values())


def build(run: Run) -> Matrix:
    """Arrange a run; programs keep their order, variants too."""
    kernels = tuple(sorted(run.kernels, key=lambda kernel: _version(kernel.version)))
    made = _groups(run, [case for case in run.cases if case.kernel != HOST], kernels)
    host = _groups(run, [case for case in run.cases if case.kernel == HOST], (HOST_COLUMN,))
    every = [cell for group in (*made, *host) for row in group.rows for cell in row.cells]
    return Matrix(
        run,
        kernels,
        made,
        Counter(cell.outcome for cell in every),
        Counter(cell.mark for cell in every),
        sum(case.verdict.cause == UNCLASSIFIED for case in run.cases),
        host,
    )


def reproduce(case: CaseResult, info: ProgramInfo) -> str:
    """Return the one-line command that runs this case alone."""
    words = ["bpfmatrix", "run"] + (["--kernel", case.kernel] if case.kernel != HOST else [])
    if not case.pitfall and info.path:
        words += ["--programs", info.path]
    if case.flaky:
        words += ["--repeat", str(len(case.answers))]
    if case.compiler:
        words += ["--clang", case.compiler.split(" ", 1)[0]]
    return shlex.join([*words, "-k", f"{case.program}[{case.variant}]"])


def _groups(run: Run, cases: Sequence[CaseResult], columns: tuple[KernelRun, ...]) -> tuple[Group, ...]:
    several = len({case.compiler for case in run.cases if case.compiler}) > 1
    infos = {info.name: info for info in run.programs}
    groups: dict[str, list[Row]] = {}
    for (program, variant, compiler), there in _rows(cases).items():
        cells = tuple(_cell(column, there.get(column.name)) for column in columns)
        groups.setdefault(program, []).append(Row(program, variant, compiler if several else None, cells))
    return tuple(
        Group(infos.get(name) or _info(rows[0].sample, name), tuple(rows)) for name, rows in groups.items()
    )


def _rows(
    cases: Iterable[CaseResult],
) -> dict[tuple[str, str, str | None], dict[str, CaseResult]]:
    rows: dict[tuple[str, str, str | None], dict[str, CaseResult]] = {}
    for case in cases:
        rows.setdefault((case.program, case.variant, case.compiler), {})[case.kernel] = case
    return rows


def _cell(kernel: KernelRun, case: CaseResult | None) -> Cell:
    if case is None or case.outcome is Outcome.NOT_RUN:
        return Cell(kernel, case, Mark.NOT_RUN, Outcome.NOT_RUN)
    mark = _ABNORMAL.get(case.outcome) or _ABNORMAL.get(case.verdict.abnormal or case.outcome)
    if mark is None and case.behaviour is not None:
        mark = _BEHAVIOURS[case.behaviour]
    if mark is None:
        mark = {VerdictKind.ACCEPT: Mark.ACCEPT, VerdictKind.REJECT: Mark.REJECT}.get(
            case.verdict.kind, Mark.NOT_RUN
        )
    return Cell(kernel, case, mark, case.outcome)


def _info(case: CaseResult | None, name: str) -> ProgramInfo:
    return ProgramInfo(name, title=case.title, pitfall=case.pitfall) if case else ProgramInfo(name)


def _version(text: str) -> KernelVersion:
    try:
        return KernelVersion.parse(text)
    except ValueError:
        return KernelVersion(0, 0)
