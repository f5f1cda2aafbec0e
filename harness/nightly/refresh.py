"""Tonight's kernels: each source is asked for a newer release; what cannot be asked runs from the cache.

Earlier releases stay in the cache: nothing here removes anything, `bpfmatrix kernels prune` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.catalog.kernels import DebianSource, KernelSpec
from harness.errors import HarnessError
from harness.kernels.debversion import sort_key
from harness.kernels.errors import KernelUnavailable
from harness.kernels.progress import Progress as FetchProgress
from harness.kernels.store import KernelStore
from harness.model import Kernel, KernelVersion
from harness.nightly.types import Refreshed
from harness.verdict.text import one_line

Report = Callable[[FetchProgress], None]


def refresh_all(
    specs: Sequence[KernelSpec],
    *,
    ask: bool = True,
    report: Report | None = None,
    store: KernelStore | None = None,
) -> tuple[Refreshed, ...]:
    """Get every kernel in its newest release, oldest series first; `ask=False` takes what the cache has.

    Raises nothing a single kernel is to blame for: one that cannot be had says why.
    """
    store = store or KernelStore()
    got = [_refresh(spec, store, ask, report) for spec in specs]
    return tuple(sorted(got, key=_age))


def _refresh(spec: KernelSpec, store: KernelStore, ask: bool, report: Report | None) -> Refreshed:
    try:
        before = store.cached(spec)
        moves = isinstance(spec.source, DebianSource)  # the others name exactly one kernel
        if before is not None and not (ask and moves):
            return Refreshed(spec.name, before, before)
    except HarnessError as problem:
        return Refreshed(spec.name, None, problem=_said(problem))
    try:
        now = store.ensure(spec, refresh=ask, report=report)
    except HarnessError as problem:
        if before is None:
            return Refreshed(spec.name, None, problem=_said(problem))
        return Refreshed(spec.name, before, before, stale=_said(problem))
    if before is not None and _older(now, before):
        why = f"its source offers {now.package_version} only, part of it may not have answered"
        return Refreshed(spec.name, before, before, stale=why)
    return Refreshed(spec.name, now, before)


def _older(now: Kernel, before: Kernel) -> bool:
    """Whether the source went back: an image registered by hand is the person's own choice."""
    if now.package_version is None or before.package_version is None:
        return False
    return bool(sort_key(now.package_version) < sort_key(before.package_version))


def _said(problem: HarnessError) -> str:
    if isinstance(problem, KernelUnavailable):
        return one_line(f"{problem.tried}: {problem.reason}", 400)
    return one_line(problem.what, 400)


def _age(kernel: Refreshed) -> tuple[bool, KernelVersion, str]:
    try:
        version = kernel.now.version if kernel.now else KernelVersion.parse(kernel.name)
    except ValueError:
        return True, KernelVersion(0, 0), kernel.name
    return False, version, kernel.name
