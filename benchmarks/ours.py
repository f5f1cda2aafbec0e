"""The same objects through bpfmatrix's own guest."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.crew import warm_object
from harness.execute import KernelSession
from harness.guest.options import AccelChoice, GuestOptions
from harness.model import Case, CaseResult, Kernel, VerdictKind
from harness.plan import PlannedCase


@dataclass(frozen=True, slots=True)
class Ours:
    """One run of the cases on one kernel. Seconds and MiB; overhead in milliseconds a case."""

    ready: float
    total: float
    accepted: int
    cases: int
    overhead_ms: float
    guest_ms: float  # median time of a case inside bpf()
    guest_mib: float
    restored: bool


def measure(kernel: Kernel, planned: Sequence[PlannedCase], *, snapshots: bool) -> Ours:
    """Start a guest, run every case, end it; `snapshots=False` boots it cold."""
    options = GuestOptions(accel=AccelChoice.TCG, snapshots=snapshots)
    warm = warm_object()
    start = time.monotonic()
    with KernelSession(kernel, options, warm) as session:
        session.start()
        ready = time.monotonic() - start
        results = [session.run(on_kernel(each.case, kernel), each.built) for each in planned]
        total = time.monotonic() - start
        memory = _peak_mib(session)
        restored = bool(session.kernel_run.restored)
    return Ours(ready, total, _accepted(results), len(results), *_medians(results), memory, restored)


def on_kernel(case: Case, kernel: Kernel) -> Case:
    """The same case on another kernel."""
    return Case(case.program, case.variant, kernel.name, case.compiler)


def _accepted(results: Sequence[CaseResult]) -> int:
    return sum(result.verdict.kind is VerdictKind.ACCEPT for result in results)


def _medians(results: Sequence[CaseResult]) -> tuple[float, float]:
    seen = [result.observation for result in results if result.observation is not None]
    overhead = [(each.wall_us - (each.bpf_time_us or 0)) / 1000 for each in seen]
    inside = [(each.bpf_time_us or 0) / 1000 for each in seen]
    return statistics.median(overhead), statistics.median(inside)


def _peak_mib(session: KernelSession) -> float:
    assert session._guest is not None  # noqa: S101 - the session was started
    return peak_mib(session._guest.pid)


def peak_mib(pid: int) -> float:
    """The most memory the process ever held, from /proc (VmHWM)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
