"""The one way through: plan → build → boot → load → judge → run. The only place that names the order."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from harness.build.builder import Builder, BuildRequest
from harness.build.host import host_tools
from harness.build.toolchain import find_compilers
from harness.catalog.programs import expand
from harness.errors import HarnessError, InfrastructureError
from harness.execute import KernelSession, describe_kernel, not_run, on_host
from harness.guest.options import GuestOptions
from harness.guest.snapshot import qemu_version
from harness.model import (
    HOST,
    BuildFailure,
    BuiltObject,
    Case,
    CaseResult,
    Compiler,
    Kernel,
    KernelRun,
    KernelVersion,
    Program,
    ProgramKind,
    Run,
    Variant,
)
from harness.record.fingerprint import harness_digest
from harness.verdict.repeat import merged

_QEMU = "qemu-system-x86_64"
_BATCH = 8  # cases a guest takes at a time, where several serve one kernel
_MOST_BESIDE = 3  # of 540 MiB each


class Progress(Protocol):
    """What a run tells whoever watches it. Called from several threads."""

    def fetching(self, kernel: str, text: str) -> None:
        """A kernel is being looked up or downloaded; `text` is what goes on."""

    def building(self, done: int, total: int) -> None:
        """`done` of `total` objects are built."""

    def planned(self, total: int) -> None:
        """This many cases will be run."""

    def booting(self, kernel: str) -> None:
        """A guest of `kernel` is being started."""

    def ready(self, kernel: KernelRun) -> None:
        """The guest answers."""

    def kernel_failed(self, kernel: str, reason: str) -> None:
        """No guest of `kernel` could be started; its cases are not run."""

    def case_done(self, result: CaseResult) -> None:
        """One case is judged."""


class Silent:
    """A progress nobody watches."""

    def fetching(self, kernel: str, text: str) -> None:
        """Ignore it."""

    def building(self, done: int, total: int) -> None:
        """Ignore it."""

    def planned(self, total: int) -> None:
        """Ignore it."""

    def booting(self, kernel: str) -> None:
        """Ignore it."""

    def ready(self, kernel: KernelRun) -> None:
        """Ignore it."""

    def kernel_failed(self, kernel: str, reason: str) -> None:
        """Ignore it."""

    def case_done(self, result: CaseResult) -> None:
        """Ignore it."""


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


@dataclass(frozen=True, slots=True)
class PlannedCase:
    """A case and what its program was built into."""

    case: Case
    built: BuiltObject | BuildFailure


def run(options: RunOptions, progress: Progress) -> Run:
    """Build, boot, load and judge every case. Ctrl-C gives back what was measured so far, marked partial.

    Raise UserError for programs that cannot be read and missing tools.
    """
    start = timestamp()
    planned = build_cases(options, progress)
    once = sum(entry.case.kernel == HOST for entry in planned)
    progress.planned((len(planned) - once) * options.repeat + once)
    crew = _Crew(options, progress, planned)
    crew.work()
    kernels = [*crew.kernels.values(), *(missing_kernel(name, why) for name, why in options.missing)]
    results = [merged(rows) for case in planned if (rows := crew.results.get(case.case.id))]
    results += [not_run(case, why) for name, why in options.missing for case in _cases_on(planned, name)]
    made = assemble(kernels, results, start, compilers=options.compilers, partial=crew.stopped)
    return replace(made, repeat=options.repeat)


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


def warm_object() -> Path | None:
    """The object that fills libbpf's cache of kernel features in a new guest.

    None where it cannot be compiled: then every case asks the kernel for itself, which is only slower.
    """
    source = Path(__file__).parent / "guest" / "warm.bpf.c"
    try:
        compiler = find_compilers(())[0]
        built = Builder().build(Program("warm", source, ProgramKind.SOURCE, ()), None, compiler)
    except HarnessError:
        return None
    return built.path if isinstance(built, BuiltObject) else None


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


def guests_beside(jobs: int, kernels: int, cases: int) -> int:
    """How many more guests than one a kernel gets where jobs are left: one for a hundred cases, at most 3."""
    return max(0, min(jobs // max(1, kernels) - 1, cases // 100, _MOST_BESIDE))


class _Crew:
    """Threads that each serve one kernel at a time."""

    def __init__(self, options: RunOptions, progress: Progress, planned: Sequence[PlannedCase]) -> None:
        self.kernels: dict[str, KernelRun] = {}
        self.results: dict[str, list[CaseResult]] = {}  # by case id, a row per pass
        self._options = options
        self._progress = progress
        self._planned = planned
        self._stop = threading.Event()
        self._sessions: list[KernelSession] = []

    @property
    def stopped(self) -> bool:
        """Whether the run was ended before everything was measured."""
        return self._stop.is_set()

    def work(self) -> None:
        warm = warm_object()
        with ThreadPoolExecutor(max(1, self._options.jobs)) as pool:
            futures = [pool.submit(self._serve, kernel, warm) for kernel in self._options.kernels]
            try:
                self._judge_host()
                self._watch(futures)
            except KeyboardInterrupt:
                pass  # what was measured is the answer; the caller sees `partial`
            finally:
                self._end(futures)

    def _judge_host(self) -> None:
        """The rows no kernel has a part in are known once they are built; once is enough."""
        for planned in self._planned:
            if planned.case.kernel == HOST:
                self.results[planned.case.id] = [on_host(planned.case, planned.built)]
                self._progress.case_done(self.results[planned.case.id][0])

    def _watch(self, futures: Sequence[Future[None]]) -> None:
        pending = set(futures)
        while pending:  # in slices, so that a signal is handled soon
            done, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()

    def _end(self, futures: Sequence[Future[None]]) -> None:
        if all(future.done() for future in futures) and not any(future.cancelled() for future in futures):
            return
        self._stop.set()
        for future in futures:
            future.cancel()
        for session in self._sessions:
            session.abort()  # which wakes the thread that waits for its guest

    def _serve(self, kernel: Kernel, warm: Path | None) -> None:
        cases = [planned for planned in self._planned if planned.case.kernel == kernel.name]
        # A guest of other processors takes the place of the one that runs: few changes of it.
        cases.sort(key=lambda planned: planned.case.variant.settings.cpus or kernel.cpus)
        self.kernels[kernel.name] = describe_kernel(kernel)
        if not cases:
            return
        for _ in range(self._options.repeat):
            if not self._stop.is_set() and self.kernels[kernel.name].problem is None:
                self.kernels[kernel.name] = self._pass(kernel, warm, cases)

    def _pass(self, kernel: Kernel, warm: Path | None, cases: Sequence[PlannedCase]) -> KernelRun:
        """Run all cases of a kernel once, beginning with a fresh guest."""
        self._progress.booting(kernel.name)
        with KernelSession(kernel, self._options.guest, warm) as session:
            self._sessions.append(session)
            work = deque(cases[start : start + _BATCH] for start in range(0, len(cases), _BATCH))
            beside = 0
            try:
                self._progress.ready(session.start())
                beside = guests_beside(self._options.jobs, len(self._options.kernels), len(cases))
            except InfrastructureError as problem:
                self._progress.kernel_failed(kernel.name, str(problem))
            with ThreadPoolExecutor(max(1, beside)) as pool:
                helpers = [pool.submit(self._help, kernel, warm, work) for _ in range(beside)]
                self._run_batches(session, work)
            for helper in helpers:
                helper.result()
            return session.kernel_run

    def _help(self, kernel: Kernel, warm: Path | None, work: deque[Sequence[PlannedCase]]) -> None:
        """Serve the same kernel with another guest; one that does not start leaves the work to the first."""
        with KernelSession(kernel, self._options.guest, warm) as session:
            self._sessions.append(session)
            try:
                session.start()
            except InfrastructureError:
                return
            self._run_batches(session, work)

    def _run_batches(self, session: KernelSession, work: deque[Sequence[PlannedCase]]) -> None:
        while not self._stop.is_set():
            try:
                batch = work.popleft()
            except IndexError:
                return
            self._run_cases(session, batch)

    def _run_cases(self, session: KernelSession, cases: Iterable[PlannedCase]) -> None:
        for planned in cases:
            if self._stop.is_set():
                return
            result = session.run(planned.case, planned.built)
            if self._stop.is_set():
                return  # the guest was taken away under this case: it says nothing
            self.results.setdefault(planned.case.id, []).append(result)
            self._progress.case_done(result)


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


def _cases_on(planned: Iterable[PlannedCase], kernel: str) -> Iterable[Case]:
    return (entry.case for entry in planned if entry.case.kernel == kernel)


def _newest_btf(kernels: Sequence[Kernel]) -> Path | None:
    with_btf = [kernel for kernel in kernels if kernel.btf is not None]
    return max(with_btf, key=lambda kernel: kernel.version).btf if with_btf else None


def _version_of(kernel: KernelRun) -> KernelVersion:
    try:
        return KernelVersion.parse(kernel.version)
    except ValueError:
        return KernelVersion(0, 0)
