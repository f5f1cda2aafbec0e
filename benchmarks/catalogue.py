"""The whole catalogue on one kernel from a restored guest, and where the time goes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.build.toolchain import find_compilers
from harness.catalog.kernels import KernelSpec
from harness.catalog.programs import load_programs
from harness.guest.options import AccelChoice, GuestOptions
from harness.kernels.store import KernelStore
from harness.model import Case, CaseResult, Kernel
from harness.paths import project_root
from harness.pipeline import RunOptions, Silent, run
from harness.report import write_all


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One run of the catalogue on one kernel; seconds.

    `total`: building from the cache, restoring, running, judging and writing the three reports. `guest`: of
    that, what kernel and programs took: the time in `bpf()`, and of a case with a scenario all of its time in
    the guest, as its steps run programs. `slow`: what the variants that exhaust a limit on purpose take, in a
    run of their own.
    """

    kernel: str
    cases: int
    scenarios: int
    total: float
    guest: float
    slow_cases: int
    slow: float

    @property
    def outside(self) -> float:
        """Seconds spent neither in the kernel nor in a program."""
        return self.total - self.guest


def measure_catalogue(spec: KernelSpec) -> Catalogue:
    """Run it once to fill the caches, then measure a run without and one with only the slow variants."""
    kernel = KernelStore().ensure(spec)
    _timed(kernel, lambda case: not case.variant.slow)
    total, results = _timed(kernel, lambda case: not case.variant.slow)
    slow, slow_results = _timed(kernel, lambda case: case.variant.slow)
    scenarios = sum(bool(result.scenario) for result in results)
    return Catalogue(
        spec.name, len(results), scenarios, total, guest_seconds(results), len(slow_results), slow
    )


def guest_seconds(results: Sequence[CaseResult]) -> float:
    """Return the seconds kernel and programs took."""
    micros = 0
    for result in results:
        seen = result.observation
        if seen is not None:
            micros += (seen.guest_us if result.scenario else seen.bpf_time_us) or 0
    return micros / 1e6


def _timed(kernel: Kernel, keep: Callable[[Case], bool]) -> tuple[float, tuple[CaseResult, ...]]:
    start = time.monotonic()
    options = RunOptions(
        (kernel,),
        load_programs([project_root() / "programs"]),
        find_compilers(()),
        keep=keep,
        guest=GuestOptions(accel=AccelChoice.TCG),
    )
    done = run(options, Silent())
    with tempfile.TemporaryDirectory(prefix="bpfmatrix-bench-") as folder:
        write_all(done, Path(folder))
    return time.monotonic() - start, done.cases
