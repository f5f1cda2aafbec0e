"""The counts and facts at the head of every report, as plain text pairs."""

from __future__ import annotations

from harness.model import KernelRun, Outcome
from harness.report.matrix import Mark, Matrix

_OUTCOMES = {
    Outcome.AS_EXPECTED: "as expected",
    Outcome.UNEXPECTED: "with another verdict or behaviour than expected",
    Outcome.CHANGED: "with another reason than expected",
    Outcome.CRASH: "crash",
    Outcome.HANG: "hang",
    Outcome.SPLAT: "splat",
    Outcome.FLAKY: "flaky",
    Outcome.NO_EXPECTATION: "no expectation",
    Outcome.NOT_RUN: "not run",
}
# Shown even when zero: their absence must not look like an oversight.
_ALWAYS = frozenset({Outcome.AS_EXPECTED, Outcome.UNEXPECTED, Outcome.CHANGED, Outcome.NOT_RUN})


def counts(matrix: Matrix) -> list[tuple[str, int]]:
    """Return (words, number) in reading order, the total first, `unclassified` last."""
    pairs = [("cases", matrix.total)]
    for outcome, words in _OUTCOMES.items():
        number = matrix.outcomes.get(outcome, 0)
        if number or outcome in _ALWAYS:
            pairs.append((words, number))
    misbehaving = matrix.marks.get(Mark.MISBEHAVES, 0)
    if misbehaving or matrix.marks.get(Mark.BEHAVES):
        pairs.append(("accepted but misbehaving", misbehaving))
    pairs.append(("unclassified", matrix.unclassified))
    return pairs


def sentence(matrix: Matrix) -> str:
    """Return the counts in one line."""
    return ", ".join(f"{number} {words}" for words, number in counts(matrix))


def started(kernel: KernelRun) -> str:
    """Say how a kernel's guest came up: `booted in 4.1 s (tcg)`, `restored in 0.18 s (kvm)`, or why not."""
    if kernel.problem:
        return f"not run: {kernel.problem}"
    if kernel.boot_seconds is None:
        return "not started"
    how = "restored" if kernel.restored else "booted"
    return f"{how} in {kernel.boot_seconds:.2g} s" + (f" ({kernel.accel})" if kernel.accel else "")


def package(kernel: KernelRun) -> str:
    """Return where the kernel came from: the package and its version, else the source."""
    if kernel.package:
        return f"{kernel.package} {kernel.package_version or ''}".strip()
    return kernel.source
