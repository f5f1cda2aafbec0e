"""On which kernels an object was loaded: by its bytes, from runs that were kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.features.objects.minimum import Lowest
from harness.features.types import Support
from harness.model import CaseResult, KernelVersion, Run, VerdictKind
from harness.record import runfile
from harness.verdict.text import one_line


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one kernel answered when the object was loaded there: yes only if all its programs were."""

    kernel: str
    version: KernelVersion
    release: str
    support: Support
    reason: str
    when: str  # of the run, ISO


def loads_of(sha256: str, run: Run) -> tuple[Loaded, ...]:
    """The kernels of a run that were given the object, oldest first."""
    rows: dict[str, list[CaseResult]] = {}
    for case in run.cases:
        if case.object_sha256 == sha256:
            rows.setdefault(case.kernel, []).append(case)
    return tuple(
        Loaded(k.name, KernelVersion.parse(k.version), k.release, *_verdict(rows[k.name]), run.start)
        for k in run.kernels
        if k.name in rows
    )


def saved_loads(sha256: str, files: Iterable[Path]) -> tuple[Loaded, ...]:
    """What kept runs say of the object; a file that does not mention it is not parsed. UserError: damaged."""
    found: dict[str, Loaded] = {}
    for path in files:
        try:
            mentioned = sha256.encode() in path.read_bytes()
        except OSError:
            continue
        if mentioned:
            for loaded in loads_of(sha256, runfile.read(path)):
                found.setdefault(loaded.kernel, loaded)
    return tuple(sorted(found.values(), key=lambda each: each.version))


def lowest_loaded(loads: Sequence[Loaded]) -> Lowest:
    """The oldest kernel that took the object."""
    for loaded in sorted(loads, key=lambda each: each.version):
        if loaded.support is Support.YES:
            return Lowest(loaded.kernel, f"loaded on {loaded.when[:10]} ({loaded.release})")
    return Lowest(None, "none took it" if loads else "never loaded here: --live does")


def by_kernel(loads: Iterable[Loaded]) -> Mapping[str, Loaded]:
    """By the kernel's name."""
    return {loaded.kernel: loaded for loaded in loads}


def _verdict(rows: Sequence[CaseResult]) -> tuple[Support, str]:
    """One answer for all programs of the object; a crash, a hang or a row that was not run is none."""
    refused = [row for row in rows if row.verdict.kind is VerdictKind.REJECT and row.verdict.abnormal is None]
    if refused:
        row = refused[0]
        errno = f" {row.verdict.errno}" if row.verdict.errno else ""
        words = one_line(row.verdict.message, 160)
        return Support.NO, f"{row.variant}: {row.verdict.stage}{errno}" + (f", {words}" if words else "")
    if all(row.verdict.kind is VerdictKind.ACCEPT for row in rows):
        return Support.YES, f"loaded {len(rows)} program{'s' if len(rows) > 1 else ''}"
    return Support.UNKNOWN, one_line(rows[0].reason or rows[0].verdict.message or "not loaded", 160)
