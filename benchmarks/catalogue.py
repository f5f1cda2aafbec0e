"""The whole catalogue on one kernel from a restored guest, and where the time goes."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.usertime import user_seconds_per_case
from harness.build.toolchain import find_compilers
from harness.catalog.kernels import KernelSpec
from harness.catalog.programs import load_programs
from harness.guest.options import AccelChoice, GuestOptions
from harness.kernels.store import KernelStore
from harness.model import HOST, Case, CaseResult, Kernel
from harness.paths import project_root
from harness.pipeline import run
from harness.plan import RunOptions, build_cases
from harness.report import write_all
from harness.schedule import guests_beside
from harness.watching import Silent

JOBS = os.cpu_count() or 1  # as `bpfmatrix run` does


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One run of the catalogue on one kernel; seconds.

    `total`: building from the cache, restoring, running, judging and writing the three reports. `guest`: what
    the cases took inside the guests: kernel, program, and the agent's and libbpf's part of loading it.
    `agent`: that part alone (`benchmarks.usertime`). `slow`: what the variants that exhaust a limit on
    purpose take, in a run of their own.
    """

    kernel: str
    guests: int  # at the same time
    cases: int
    scenarios: int
    total: float
    guest: float
    agent: float
    slow_cases: int
    slow: float

    @property
    def outside(self) -> float:
        """Seconds in which no guest was busy with a case, taking the guests to be busy at the same time."""
        return self.total - self.guest / self.guests

    @property
    def ours(self) -> float:
        """Seconds outside the guest's own kernel and program time; the agent and libbpf count as ours."""
        return self.outside + self.agent / self.guests


def measure_catalogue(spec: KernelSpec) -> Catalogue:
    """Run it once to fill the caches, then measure a run without and one with only the slow variants."""
    kernel = KernelStore().ensure(spec)
    _timed(kernel, lambda case: not case.variant.slow)
    total, results = _timed(kernel, lambda case: not case.variant.slow)
    slow, slow_results = _timed(kernel, lambda case: case.variant.slow)
    scenarios = sum(bool(result.scenario) for result in results)
    plain = build_cases(_options(kernel, lambda case: not case.variant.slow), Silent())
    guests = 1 + guests_beside(JOBS, 1, len(results))
    return Catalogue(
        kernel=spec.name,
        guests=guests,
        cases=len(results),
        scenarios=scenarios,
        total=total,
        guest=guest_seconds(results),
        agent=user_seconds_per_case(kernel, plain) * sum(result.kernel != HOST for result in results),
        slow_cases=len(slow_results),
        slow=slow,
    )


def guest_seconds(results: Sequence[CaseResult]) -> float:
    """Return the seconds the cases took inside their guests."""
    return sum((result.observation.guest_us or 0) / 1e6 for result in results if result.observation)


def _timed(kernel: Kernel, keep: Callable[[Case], bool]) -> tuple[float, tuple[CaseResult, ...]]:
    start = time.monotonic()
    done = run(_options(kernel, keep), Silent())
    with tempfile.TemporaryDirectory(prefix="bpfmatrix-bench-") as folder:
        write_all(done, Path(folder))
    return time.monotonic() - start, done.cases


def _options(kernel: Kernel, keep: Callable[[Case], bool]) -> RunOptions:
    return RunOptions(
        (kernel,),
        load_programs([project_root() / "programs"]),
        find_compilers(()),
        keep=keep,
        guest=GuestOptions(accel=AccelChoice.TCG),
        jobs=JOBS,
    )
