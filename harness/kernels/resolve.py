"""Several kernels at once, for the commands that need all of a run's kernels before it starts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from harness.catalog.kernels import KernelSpec
from harness.kernels.errors import KernelUnavailable
from harness.kernels.progress import Report
from harness.kernels.store import KernelStore
from harness.model import Kernel

Missing = tuple[KernelSpec, str]


def resolve_all(
    specs: Iterable[KernelSpec],
    store: KernelStore,
    missing: Literal["error", "skip"] = "error",
    report: Report | None = None,
    *,
    refresh: bool = False,
) -> tuple[tuple[Kernel, ...], tuple[Missing, ...]]:
    """Fetch what is not cached, one kernel after another; return the kernels and those not to be had.

    With `missing="error"` the first that cannot be had raises KernelUnavailable; with "skip" it is
    named with its reason. Every other error ends the work in both cases.
    """
    kernels: list[Kernel] = []
    lacking: list[Missing] = []
    for spec in specs:
        try:
            kernels.append(store.ensure(spec, refresh=refresh, report=report))
        except KernelUnavailable as error:
            if missing == "error":
                raise
            lacking.append((spec, f"{error.tried}: {error.reason}"))
    return tuple(kernels), tuple(lacking)
