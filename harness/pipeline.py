"""The one way through: plan → build → boot → load → judge → run. The only place that names the order."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from harness.build.host import host_tools
from harness.crew import Crew
from harness.execute import not_run
from harness.guest.snapshot import qemu_version
from harness.model import HOST, Case, CaseResult, Compiler, KernelRun, KernelVersion, Run
from harness.plan import PlannedCase, RunOptions, build_cases
from harness.record.fingerprint import harness_digest
from harness.verdict.repeat import merged
from harness.watching import Progress

_QEMU = "qemu-system-x86_64"


def run(options: RunOptions, progress: Progress, planned: Sequence[PlannedCase] | None = None) -> Run:
    """Build, boot, load and judge every case. Ctrl-C gives back what was measured so far, marked partial.

    `planned`: what `build_cases` gave before, or a part of it. Raise UserError for programs that cannot be
    read and missing tools.
    """
    start = timestamp()
    planned = build_cases(options, progress) if planned is None else planned
    once = sum(entry.case.kernel == HOST for entry in planned)
    progress.planned((len(planned) - once) * options.repeat + once)
    crew = Crew(options, progress, planned)
    crew.work()
    kernels = [*crew.kernels.values(), *(missing_kernel(name, why) for name, why in options.missing)]
    measured = crew.results
    results = [merged(rows) for case in planned if (rows := measured.get(case.case.id))]
    results += [not_run(case, why) for name, why in options.missing for case in _cases_on(planned, name)]
    made = assemble(kernels, results, start, compilers=options.compilers, partial=crew.stopped)
    return replace(made, repeat=options.repeat)


def assemble(
    kernels: Iterable[KernelRun],
    results: Sequence[CaseResult],
    start: str,
    *,
    compilers: Sequence[Compiler] = (),
    partial: bool = False,
) -> Run:
    """A run out of what was measured, kernels oldest first."""
    tools = tool_versions(compilers)
    if any(result.kernel == HOST for result in results):
        tools |= host_tools()
    ordered = sorted(kernels, key=lambda kernel: (_version_of(kernel), kernel.name))
    libbpf = next((kernel.libbpf for kernel in ordered if kernel.libbpf), "not used")
    return Run(
        id=f"{start.replace(':', '').replace('-', '')}-{secrets.token_hex(3)}",
        start=start,
        end=timestamp(),
        host=f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} CPUs",
        tools=tools | {"libbpf": libbpf},
        kernels=tuple(ordered),
        cases=tuple(results),
        partial=partial,
        harness=harness_digest(),
    )


def missing_kernel(name: str, reason: str) -> KernelRun:
    """The column of a kernel that could not be had."""
    try:
        version = str(KernelVersion.parse(name))
    except ValueError:
        version = "0.0.0"
    return KernelRun(name, version, release="", title=name, source="", sha256="", problem=reason)


def timestamp() -> str:
    """Now, UTC, ISO 8601 to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def tool_versions(compilers: Sequence[Compiler]) -> dict[str, str]:
    """The versions of everything that had a part in a run."""
    tools = {name: importlib.metadata.version(name) for name in ("bpfmatrix", "virtme-ng")}
    tools["python"] = platform.python_version()
    try:
        tools["qemu"] = qemu_version(_QEMU)
    except OSError:
        tools["qemu"] = "not installed"
    return tools | {compiler.name: compiler.version for compiler in compilers}


def _cases_on(planned: Iterable[PlannedCase], kernel: str) -> Iterable[Case]:
    return (entry.case for entry in planned if entry.case.kernel == kernel)


def _version_of(kernel: KernelRun) -> KernelVersion:
    try:
        return KernelVersion.parse(kernel.version)
    except ValueError:
        return KernelVersion(0, 0)
