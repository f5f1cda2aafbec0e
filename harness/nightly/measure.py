"""Measuring a night: every case on every kernel, going on where a killed night was; single cases again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness import pipeline
from harness.errors import UserError
from harness.model import HOST, CaseResult, Kernel, KernelRun, Run
from harness.nightly.journal import Journal, plan_of
from harness.plan import PlannedCase, RunOptions, build_cases
from harness.watching import Progress, Silent


@dataclass(frozen=True, slots=True)
class Measured:
    """A run, and what it was made of, so that a part of it can be made again."""

    run: Run
    options: RunOptions
    planned: tuple[PlannedCase, ...]
    taken_over: tuple[str, ...] = ()  # kernels a night that was killed had finished


def measure(options: RunOptions, progress: Progress, work: Path) -> Measured:
    """Measure all cases of `options`; what is finished is kept in `work` until the night is published.

    Raises UserError when there is nothing to measure.
    """
    planned = build_cases(options, progress)
    if not planned:
        raise UserError("no case matches", hint="see the ids there are: pytest --collect-only -q")
    journal = Journal(work, plan_of(options.kernels, planned, options.guest))
    names = {kernel.name for kernel in options.kernels}
    before = [(kernel, rows) for kernel, rows in journal.taken_over() if kernel.name in names]
    done = {kernel.name for kernel, _ in before}
    left = tuple(kernel for kernel in options.kernels if kernel.name not in done)
    made = pipeline.run(
        replace(options, kernels=left, on_kernel=journal.keep),
        progress,
        tuple(entry for entry in planned if entry.case.kernel not in done),
    )
    whole = _joined(made, before, planned, journal.start)
    return Measured(whole, options, planned, tuple(sorted(done)))


def again(measured: Measured, ids: Collection[str], progress: Progress) -> dict[str, CaseResult]:
    """Run these cases once more, each in a fresh guest of its own; rows that gave an answer, by case id."""
    return _rows(measured, ids, measured.options.kernels, progress)


def on_release_before(
    measured: Measured, ids: Collection[str], kernel: Kernel, progress: Progress
) -> dict[str, CaseResult]:
    """Run these cases of a kernel on another release of it; rows that gave an answer, by case id.

    They are no part of the night: what is not as expected there is not told, and nothing is counted.
    """
    progress.fetching(kernel.name, f"asking {kernel.version}, the release before, {len(ids)} cases")
    return _rows(measured, ids, (kernel,), Silent())


def _rows(
    measured: Measured, ids: Collection[str], kernels: Sequence[Kernel], progress: Progress
) -> dict[str, CaseResult]:
    planned = tuple(entry for entry in measured.planned if entry.case.id in ids and entry.case.kernel != HOST)
    names = {entry.case.kernel for entry in planned}
    options = replace(
        measured.options,
        kernels=tuple(kernel for kernel in kernels if kernel.name in names),
        missing=(),
        guest=replace(measured.options.guest, fresh_guest=True),
    )
    made = pipeline.run(options, progress, planned) if planned else None
    broken = {kernel.name for kernel in made.kernels if kernel.problem} if made else set()
    return {row.id: row for row in made.cases if row.kernel not in broken} if made else {}


def _joined(
    made: Run,
    before: Iterable[tuple[KernelRun, Sequence[CaseResult]]],
    planned: Sequence[PlannedCase],
    start: str,
) -> Run:
    """Put what was taken over and what was measured now together, in the plan's order."""
    kept = list(before)
    if not kept:
        return made
    rows = {row.id: row for part in (made.cases, *(rows for _, rows in kept)) for row in part}
    kernels = [*made.kernels, *(kernel for kernel, _ in kept)]
    whole = pipeline.assemble(kernels, tuple(rows[e.case.id] for e in planned if e.case.id in rows), start)
    libbpf = next((kernel.libbpf for kernel in whole.kernels if kernel.libbpf), "not used")
    return replace(whole, tools={**made.tools, "libbpf": libbpf}, partial=made.partial)
