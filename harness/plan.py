"""What a run is going to do: its options, and every case with what its program was built into."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.build.builder import Builder, BuildRequest
from harness.catalog.programs import expand
from harness.guest.options import GuestOptions
from harness.model import (
    HOST,
    BuildFailure,
    BuiltObject,
    Case,
    CaseResult,
    Compiler,
    Kernel,
    KernelRun,
    Program,
    ProgramKind,
    Variant,
)
from harness.watching import Progress


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Everything a run depends on. `missing` names kernels that could not be had, with the reason."""

    kernels: tuple[Kernel, ...]
    programs: tuple[Program, ...]
    compilers: tuple[Compiler, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()
    keep: Callable[[Case], bool] = lambda _case: True
    guest: GuestOptions = field(default_factory=GuestOptions)
    jobs: int = 1
    time_limit_s: float | None = None  # overrides every variant's own
    repeat: int = 1  # passes over all cases, each in a fresh guest
    # Told of each kernel whose cases are all done, with its rows; called from the threads that serve guests.
    on_kernel: Callable[[KernelRun, tuple[CaseResult, ...]], None] = lambda _kernel, _rows: None


@dataclass(frozen=True, slots=True)
class PlannedCase:
    """A case and what its program was built into."""

    case: Case
    built: BuiltObject | BuildFailure


def build_cases(options: RunOptions, progress: Progress) -> tuple[PlannedCase, ...]:
    """Build every object the kept cases need, and pair each case with it; catalogue order, kernel by kernel.

    A program without variants of its own becomes one case per BPF program found in its object.
    """
    wanted = _wanted(options)
    names = [kernel.name for kernel in options.kernels] + [name for name, _ in options.missing]
    builder = Builder(vmlinux_btf=_newest_btf(options.kernels))
    results = builder.build_all(wanted, progress.building, os.cpu_count() or 2)
    planned: list[PlannedCase] = []
    for request, built in zip(wanted, results, strict=True):
        for variant in (request.variant,) if request.variant else _variants_of(request.program, built):
            planned += _pair(request.program, variant, request.compiler, built, options)
    return tuple(entry for name in [*names, HOST] for entry in planned if entry.case.kernel == name)


def _wanted(options: RunOptions) -> list[BuildRequest]:
    """Every build that at least one kept case needs."""
    several = len(options.compilers) > 1
    wanted: list[BuildRequest] = []
    for program in options.programs:
        compilers = (None,) if program.kind is ProgramKind.OBJECT else options.compilers
        for variant in program.variants or (None,):
            for clang in compilers:
                names = places(program, options.kernels, options.missing)
                cases = (Case(program, variant, name, clang, several) for name in names if variant)
                if variant is None or any(options.keep(case) for case in cases):
                    wanted.append(BuildRequest(program, variant, clang))
    return wanted


def places(
    program: Program, kernels: Iterable[Kernel], missing: Iterable[tuple[str, str]]
) -> tuple[str, ...]:
    """Where the cases of `program` take place: on every kernel, had or missing, or once on the host."""
    if program.host is not None:
        return (HOST,)
    return (*(kernel.name for kernel in kernels), *(name for name, _ in missing))


def _variants_of(program: Program, built: BuiltObject | BuildFailure) -> tuple[Variant, ...]:
    if isinstance(built, BuildFailure):
        return (Variant(Path(program.name).name.partition(".")[0] or program.name),)
    return expand(program, built)


def _pair(
    program: Program,
    variant: Variant,
    clang: Compiler | None,
    built: BuiltObject | BuildFailure,
    options: RunOptions,
) -> list[PlannedCase]:
    if options.time_limit_s is not None:
        variant = replace(variant, settings=replace(variant.settings, time_limit_s=options.time_limit_s))
    several = len(options.compilers) > 1
    names = places(program, options.kernels, options.missing)
    cases = (Case(program, variant, name, clang, several) for name in names)
    return [PlannedCase(case, built) for case in cases if options.keep(case)]


def _newest_btf(kernels: Sequence[Kernel]) -> Path | None:
    with_btf = [kernel for kernel in kernels if kernel.btf is not None]
    return max(with_btf, key=lambda kernel: kernel.version).btf if with_btf else None
