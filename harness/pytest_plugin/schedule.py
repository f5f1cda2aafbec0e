"""Dealing cases to xdist's workers so that each worker boots as few kernels as possible.

xdist's own `load` scatters neighbours over all workers: each would boot every kernel. Here cases come in
small batches of one kernel, and a worker takes its next batch from the kernel it has a guest of.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from harness.pytest_plugin.state import MATRIX, TARGETS
from harness.schedule import BATCH, auto_jobs, pick


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Let `-n auto` start as many workers as there is room for guests, where programs are collected."""
    return auto_jobs() if config.stash.get(TARGETS, None) else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Take over where xdist's default is asked for and programs are collected."""
    if config.stash.get(MATRIX, None) is None or config.getoption("dist") != "load":
        return None
    return _scheduler()(config, log)


def batch_of(nodeid: str, seen: Counter[str]) -> str:
    """Name the batch of the next node id; `seen` counts those of each kernel before it."""
    path, at, kernel = nodeid.rpartition("@")
    if "::" in nodeid or not at or not path:
        return nodeid.rpartition("::")[0] or nodeid
    number = seen[kernel] // BATCH
    seen[kernel] += 1
    return f"@{kernel}#{number}"


def choose(batches: list[str], last: str | None, others: set[str]) -> str:
    """Pick a worker's next batch: of its own kernel, else of one nobody serves, else of the largest rest."""
    kernels = [batch.partition("#")[0] for batch in batches]
    own = last.partition("#")[0] if last else None
    served = {other.partition("#")[0] for other in others}
    chosen = pick(Counter(kernels), own, served)
    if chosen == own or chosen not in served:
        return batches[kernels.index(chosen)]
    return batches[len(kernels) - 1 - kernels[::-1].index(chosen)]  # help from its end


def _scheduler() -> Any:
    """Make the class where xdist is sure to be there."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - xdist may be switched off (-p no:xdist)

    class KernelScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
        """Batches of one kernel, kept together per worker."""

        def __init__(self, config: pytest.Config, log: Any) -> None:
            super().__init__(config, log)
            self._batches: dict[str, str] = {}
            self._seen: Counter[str] = Counter()
            self._last: dict[Any, str] = {}

        def _split_scope(self, nodeid: str) -> str:
            if nodeid not in self._batches:
                self._batches[nodeid] = batch_of(nodeid, self._seen)
            return self._batches[nodeid]

        def _assign_work_unit(self, node: Any) -> None:
            others = {batch for other, batch in self._last.items() if other is not node}
            batch = choose(list(self.workqueue), self._last.get(node), others)
            self.workqueue.move_to_end(batch, last=False)
            self._last[node] = batch
            super()._assign_work_unit(node)

    return KernelScheduling
