"""What a night is compared with, and the second look at what is worse."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from harness.model import HOST, CaseResult, Outcome, Run
from harness.nightly.measure import Measured, again
from harness.record.changes import Change, ChangeKind, Changes, Thresholds
from harness.record.compare import compare_runs
from harness.record.snapshot import Snapshot
from harness.verdict.repeat import answer
from harness.verdict.text import one_line
from harness.watching import Progress

# A hang or a crash is never retried away; what is not there cannot be retried.
_FINAL = frozenset(
    {
        *(ChangeKind.CRASH, ChangeKind.HANG, ChangeKind.SPLAT),
        *(ChangeKind.CASE_MISSING, ChangeKind.KERNEL_MISSING),
    }
)
_DEADLY = (Outcome.CRASH, Outcome.HANG, Outcome.SPLAT)


def narrowed(old: Snapshot, wanted: Callable[[str, str], bool], known: Collection[str]) -> Snapshot:
    """Leave of an older measurement what tonight was to be measured, too.

    `wanted(kernel, case)` says whether a case was asked for; `known` are the kernels that exist and were not
    asked for, which are no loss.
    """
    kernels = {name: state for name, state in old.kernels.items() if name not in known}
    cases = {
        (kernel, case): item
        for (kernel, case), item in old.cases.items()
        if (kernel in kernels or kernel == HOST) and wanted(kernel, case)
    }
    return replace(old, kernels=MappingProxyType(kernels), cases=MappingProxyType(cases))


def compare_all(run: Run, olds: Iterable[Snapshot], thresholds: Thresholds) -> tuple[Changes, ...]:
    """Compare a run with each older measurement; kernels of one name with each other."""
    names = [kernel.name for kernel in run.kernels]
    return tuple(_compare(old, run, thresholds, names) for old in olds)


def _compare(old: Snapshot, run: Run, thresholds: Thresholds, names: Sequence[str]) -> Changes:
    if len(old.kernels) == 1 == len(names) and not set(old.kernels) & set(names):
        return compare_runs(old, run, thresholds, kernels={})  # alone on their sides, and not the same
    return compare_runs(old, run, thresholds)


def to_retry(comparisons: Iterable[Changes]) -> frozenset[str]:
    """Ids of the cases that just got worse in a way a second try may tell more of."""
    return frozenset(
        change.id
        for changes in comparisons
        for change in changes.regressions
        if change.kind not in _FINAL and not change.infrastructure and change.kernel != HOST
    )


def retried(
    measured: Measured, olds: Sequence[Snapshot], thresholds: Thresholds, progress: Progress
) -> tuple[Measured, tuple[Changes, ...], int]:
    """Compare, run what just got worse once more in a fresh guest, and compare again.

    What then is as it was is flaky: marked in the run where the answers differ, and in the comparisons.
    Returns how many cases were tried again, too.
    """
    first = compare_all(measured.run, olds, thresholds)
    ids = to_retry(first)
    if not ids:
        return measured, first, 0
    rows = again(measured, ids, progress)
    tried = replace(measured.run, cases=tuple(rows.get(row.id, row) for row in measured.run.cases))
    worse = {change.id for changes in compare_all(tried, olds, thresholds) for change in changes.regressions}
    kept = tuple(_kept(row, rows.get(row.id), row.id in worse) for row in measured.run.cases)
    run = replace(measured.run, cases=kept)
    second = compare_all(run, olds, thresholds)
    both = tuple(_with_flaky(*pair) for pair in zip(first, second, strict=True))
    return replace(measured, run=run), both, len(ids)


def _kept(first: CaseResult, second: CaseResult | None, worse: bool) -> CaseResult:
    """Choose the row that stands for a case that was tried again."""
    if second is None or (worse and second.outcome not in _DEADLY):
        return first
    if worse or answer(first) == answer(second):
        return second
    answers = (answer(first), answer(second))
    reason = one_line(f"{answers[0]} at first, {answers[1]} in a fresh guest", 400)
    return replace(second, outcome=Outcome.FLAKY, answers=answers, reason=reason)


def _with_flaky(first: Changes, second: Changes) -> Changes:
    """Add what was worse at first and is not any more."""
    now = {(change.kind, change.id) for change in second.changes}
    told = {change.id for change in second.changes if change.kind is ChangeKind.FLAKY}
    gone = [change for change in first.regressions if (change.kind, change.id) not in now]
    flaky = tuple(replace(c, flaky=True) for c in gone if c.id not in told and not _still_worse(c, second))
    return replace(second, changes=(*second.changes, *flaky))


def _still_worse(change: Change, second: Changes) -> bool:
    """Whether the case is worse in another way now (a rejection that became a crash)."""
    return any(change.id == other.id for other in second.regressions)


def cases_of(changes: Iterable[Changes]) -> Mapping[str, tuple[Change, ...]]:
    """Group all changes by the id of their case or kernel."""
    found: dict[str, tuple[Change, ...]] = {}
    for change in (change for every in changes for change in every.changes):
        found[change.id] = (*found.get(change.id, ()), change)
    return found
