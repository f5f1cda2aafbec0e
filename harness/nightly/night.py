"""One night from its beginning to its end: refresh → measure → compare → try again → attribute → publish."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from harness.catalog.kernels import KernelSpec
from harness.errors import HarnessError
from harness.model import Case, Compiler, Program, Run
from harness.nightly import folders
from harness.nightly.against import narrowed, retried
from harness.nightly.baselines import BaselineRead, read_for
from harness.nightly.before import moved, night_before
from harness.nightly.chronicle import catch_up
from harness.nightly.contradictions import compare_with_documents
from harness.nightly.measure import Measured, measure
from harness.nightly.publish import write_files, write_index
from harness.nightly.refresh import Report, refresh_all
from harness.nightly.releases import ask_releases_before
from harness.nightly.types import Findings, KernelNight, Night, NightRecord, Refreshed, Wishes
from harness.plan import RunOptions
from harness.record.changes import Changes
from harness.summary import described
from harness.verdict.text import one_line
from harness.watching import Progress

_Keep = Callable[[Case], bool]


@dataclass(frozen=True, slots=True)
class Material:
    """What a night is made of. `known` are all kernels there are entries of, `specs` those asked for."""

    specs: tuple[KernelSpec, ...]
    known: tuple[str, ...]
    programs: tuple[Program, ...]
    compilers: tuple[Compiler, ...]
    keep: _Keep
    wanted: Callable[[str, str], bool]  # kernel, case id without it: whether an older answer is asked for


@dataclass(frozen=True, slots=True)
class Ended:
    """How a night ended; `night` None = it was interrupted, and the next one goes on where it was."""

    night: Night | None
    folder: Path | None = None
    warnings: tuple[str, ...] = ()


def make_night(
    wishes: Wishes,
    material: Material,
    progress: Progress,
    report: Report | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Ended:
    """Make a night and publish it; nothing of earlier nights is touched before it is whole.

    Raises InfrastructureError while another night is being made or when the disk is full, UserError for what
    the person can put right.
    """
    nights = wishes.places.nights
    with folders.only_night(nights):
        records = folders.finished(nights)
        refreshed = refresh_all(material.specs, ask=wishes.refresh, report=report)
        options = _options(wishes, material, refreshed)
        measured = measure(options, progress, folders.work_folder(nights))
        if measured.run.partial:
            return Ended(None)
        night = _judged(wishes, material, refreshed, measured, records, progress)
        name = folders.free_name(nights, clock().date().isoformat())
        night = replace(night, record=replace(night.record, name=name), folder=str(nights / name))
        draft = folders.draft_folder(nights)
        write_files(night, draft, wishes.places.history)
        folder = folders.publish(draft, nights, name)
        return Ended(night, folder, _housekeeping(wishes))


def _housekeeping(wishes: Wishes) -> tuple[str, ...]:
    """Bring the history, the number of folders and the index up to date; returns what went wrong.

    The night is published already: nothing that goes wrong here changes how it ended.
    """
    nights = wishes.places.nights
    warnings = catch_up(wishes.places.history, nights, folders.finished(nights))
    try:
        if wishes.keep is not None and not warnings:  # what the history lacks is nowhere else
            folders.forget(nights, folders.finished(nights), wishes.keep)
        write_index(nights, folders.finished(nights))
    except HarnessError as problem:
        warnings += (one_line(f"{problem.where or nights}: {problem.what}; the next night tries again", 500),)
    return warnings


def _options(wishes: Wishes, material: Material, refreshed: Iterable[Refreshed]) -> RunOptions:
    there = [(kernel.now, kernel) for kernel in refreshed]
    return RunOptions(
        kernels=tuple(now for now, _ in there if now is not None),
        missing=tuple(
            (kernel.name, f"cannot be had: {kernel.problem}") for now, kernel in there if now is None
        ),
        programs=material.programs,
        compilers=material.compilers,
        keep=material.keep,
        guest=wishes.guest,
        jobs=wishes.jobs,
    )


def _judged(
    wishes: Wishes,
    material: Material,
    refreshed: Sequence[Refreshed],
    measured: Measured,
    records: Sequence[NightRecord],
    progress: Progress,
) -> Night:
    """Compare what was measured, look again at what is worse, and put the night together."""
    names = [kernel.name for kernel in refreshed]
    baseline = read_for(wishes.places.baseline, names)
    last, notes = night_before(wishes.places.nights, records, wishes.selection, names)
    unwanted = set(material.known) - set(names)
    olds = [narrowed(old, material.wanted, unwanted) for old in (baseline.snapshot, last) if old is not None]
    measured, comparisons, tried = retried(measured, olds, wishes.thresholds, progress)
    said = ask_releases_before(
        measured, list(zip(olds, comparisons, strict=True)), material.specs, wishes.thresholds, progress
    )
    if wishes.features:
        told = compare_with_documents(measured.options)
        comparisons += (told,) if told else ()
    run = described(measured.run, material.programs, (wishes.command,))
    run = replace(run, command=wishes.command)
    notes = (*_notes(baseline, records, measured), *notes)
    findings = Findings(comparisons, tried, said, notes)
    kernels = _kernels(refreshed, run, records, wishes)
    return Night(_record(wishes, run, kernels, findings, records, baseline.problems), run, findings)


def _notes(baseline: BaselineRead, records: Sequence[NightRecord], measured: Measured) -> tuple[str, ...]:
    notes = [*baseline.problems]
    if baseline.snapshot is None and not baseline.problems:
        notes.append("there is no baseline; make one of a night you trust: bpfmatrix baseline update")
    elif baseline.without:
        notes.append(f"there is no baseline of {', '.join(baseline.without)}")
    if measured.taken_over:
        notes.append(f"an interrupted night had finished {', '.join(measured.taken_over)}: taken over")
    if records and measured.run.start < records[0].start:
        notes.append(f"the clock went backwards: the night before this one began at {records[0].start}")
    return tuple(notes)


def _kernels(
    refreshed: Iterable[Refreshed], run: Run, records: Sequence[NightRecord], wishes: Wishes
) -> tuple[KernelNight, ...]:
    problems = {kernel.name: kernel.problem or "" for kernel in run.kernels}
    last = next((record for record in records if record.selection == wishes.selection), None)
    return tuple(
        KernelNight(
            kernel.name,
            str(kernel.now.version) if kernel.now else "",
            kernel.now.release if kernel.now else "",
            moved(kernel, last),
            kernel.stale,
            problems.get(kernel.name, "") or kernel.problem,
        )
        for kernel in refreshed
    )


def _record(
    wishes: Wishes,
    run: Run,
    kernels: tuple[KernelNight, ...],
    findings: Findings,
    records: Sequence[NightRecord],
    problems: Collection[str],
) -> NightRecord:
    broken = any(kernel.problem for kernel in kernels) or any(c.broken for c in findings.comparisons)
    return NightRecord(
        name="",
        number=1 + max((record.number for record in records), default=0),
        start=run.start,
        end=run.end,
        run_id=run.id,
        status=1 if findings.regressions else 3 if broken or problems else 0,
        selection=wishes.selection,
        kernels=kernels,
        cases=len(run.cases),
        regressions=findings.regressions,
        changes=_different(findings.comparisons),
        flaky=len(findings.flaky),
        notes=findings.notes,
    )


def _different(comparisons: Iterable[Changes]) -> int:
    """Count differences; the same one found in several comparisons once."""
    return len({(change.kind, change.id) for changes in comparisons for change in changes.changes})
