"""Is it the kernel? What is worse on a new release is asked of the release before, which the cache keeps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from harness.catalog.kernels import KernelSpec
from harness.model import HOST, CaseResult
from harness.nightly.against import compare_all
from harness.nightly.before import release_before
from harness.nightly.measure import Measured, on_release_before
from harness.record.changes import Attribution, Change, ChangeKind, Changes, Thresholds
from harness.record.snapshot import Snapshot
from harness.verdict.repeat import answer
from harness.watching import Progress

_MOST = 40  # cases of a kernel: a kernel that refuses everything needs no more evidence
_WHOLE = (ChangeKind.CASE_MISSING, ChangeKind.KERNEL_MISSING)


def ask_releases_before(
    measured: Measured,
    compared: Sequence[tuple[Snapshot, Changes]],
    specs: Iterable[KernelSpec],
    thresholds: Thresholds,
    progress: Progress,
) -> dict[str, str]:
    """Say of each case that got worse under a new release what the old release answers tonight, by case id.

    Nothing is said where the old release is not in the cache any more.
    """
    by_name = {spec.name: spec for spec in specs}
    said: dict[str, str] = {}
    for old, changes in compared:
        for (name, release), ids in _suspects(old, changes, said).items():
            kernel = release_before(by_name[name], release) if name in by_name else None
            if kernel is None:
                continue
            rows = on_release_before(measured, ids[:_MOST], kernel, progress)
            version = str(kernel.version)
            said |= _verdicts(measured, rows, old, thresholds, version)
    return said


def _suspects(old: Snapshot, changes: Changes, said: Mapping[str, str]) -> dict[tuple[str, str], list[str]]:
    """Group what may be the new release's doing by kernel and the release it was measured with before."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for change in changes.regressions:
        before = old.cases.get((change.kernel, change.case))
        if before is not None and change.id not in said and _may_be_the_kernel(change):
            found[change.kernel, before.under.release].append(change.id)
    return found


def _may_be_the_kernel(change: Change) -> bool:
    asked = change.kernel != HOST and change.kind not in _WHOLE and not change.infrastructure
    return asked and Attribution.KERNEL in change.attribution


def _verdicts(
    measured: Measured,
    rows: Mapping[str, CaseResult],
    old: Snapshot,
    thresholds: Thresholds,
    version: str,
) -> dict[str, str]:
    run = measured.run
    tried = replace(run, cases=tuple(rows.get(row.id, row) for row in run.cases))
    (compared,) = compare_all(tried, [old], thresholds)
    worse = {change.id for change in compared.regressions}
    return {
        case: f"{version} tonight: {_measured(row)}; "
        + ("so the release is not the reason" if case in worse else "so the new release is the reason")
        for case, row in rows.items()
    }


def _measured(row: CaseResult) -> str:
    insns = row.observation.insns_processed if row.observation else None
    return answer(row) + (f", {insns:,} instructions" if insns is not None else "")
