"""Run 1,000 cases in a process of its own and print the memory the harness itself needed (MiB)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.ours import peak_mib
from benchmarks.select import chosen_cases
from harness.crew import warm_object
from harness.execute import KernelSession
from harness.guest.options import AccelChoice, GuestOptions
from harness.model import CaseResult, Kernel
from harness.pipeline import assemble
from harness.plan import PlannedCase
from harness.report import write_all

CASES = 1000


def run_thousand(kernel: Kernel, planned: Sequence[PlannedCase], out: Path) -> float:
    """Load 1,000 cases, keep every row, write the three reports; the peak memory of this process in MiB."""
    results: list[CaseResult] = []
    with KernelSession(kernel, GuestOptions(accel=AccelChoice.TCG), warm_object()) as session:
        session.start()
        for number in range(CASES):
            each = planned[number % len(planned)]
            result = session.run(each.case, each.built)
            results.append(replace(result, id=f"{result.id}#{number}", variant=f"{result.variant}#{number}"))
        run = assemble([session.kernel_run], results, "2026-01-01T00:00:00Z")
    write_all(run, out)
    return peak_mib(os.getpid())


if __name__ == "__main__":
    name, folder = sys.argv[1:3]
    kernel, cases = chosen_cases(name)
    print(f"{run_thousand(kernel, cases, Path(folder)):.1f}")
