"""Rows and kernels for the tests of command line, summary and plugin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.model import (
    CaseResult,
    Expected,
    Kernel,
    KernelRun,
    KernelVersion,
    Observation,
    ObservationStatus,
    Outcome,
    Run,
    Stage,
    Verdict,
    VerdictKind,
)

ACCEPT = Verdict(VerdictKind.ACCEPT)
REJECT = Verdict(
    VerdictKind.REJECT, Stage.LOAD, "EACCES", "bounds", "R1 min value is outside of the array range"
)
LOG = "\n".join(f"line {number}" for number in range(1, 31))


def row(variant: str = "1024-raw", kernel: str = "5.10", **changes: Any) -> CaseResult:
    """One accepted case as expected, with `changes`."""
    plain = CaseResult(
        id=f"programs/maps/size[{variant}]@{kernel}",
        program="programs/maps/size",
        variant=variant,
        kernel=kernel,
        compiler="clang-19",
        loader="raw",
        verdict=ACCEPT,
        outcome=Outcome.AS_EXPECTED,
        expected=Expected(VerdictKind.ACCEPT),
        observation=Observation(ObservationStatus.LOADED),
    )
    return replace(plain, **changes)


def rejected(**changes: Any) -> CaseResult:
    """One case that was to be accepted and is rejected with a log of 30 lines."""
    seen = Observation(ObservationStatus.FAILED, Stage.LOAD, "EACCES", verifier_log=LOG)
    return row(
        **{
            "verdict": REJECT,
            "outcome": Outcome.UNEXPECTED,
            "observation": seen,
            "reason": "expected accept",
            **changes,
        }
    )


def kernel_run(name: str = "5.10", **changes: Any) -> KernelRun:
    """A kernel that came up."""
    plain = KernelRun(
        name, f"{name}.1", f"{name}.1-amd64", f"{name}.1", "debian", "00", None, None, "tcg", 1.0, True, True
    )
    return replace(plain, **changes)


def run_of(
    *cases: CaseResult, kernels: tuple[KernelRun, ...] = (kernel_run(),), partial: bool = False
) -> Run:
    """A run of these rows."""
    start = "2025-01-01T00:00:00Z"
    return Run("20250101-abc", start, start, "host", {}, kernels, cases, partial)


def kernel(name: str = "5.10", image: Path = Path("vmlinuz")) -> Kernel:
    """A kernel on disk that nobody boots."""
    version = KernelVersion.parse(name)
    return Kernel(name, version, f"{version}-amd64", "debian", "00", image)
