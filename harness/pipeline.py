"""The one way through: plan → build → boot → load → judge → run. The only place that names the order."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import secrets
import threading
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
from harness.execute import KernelSession, describe_kernel, marks_of, not_run, on_host
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
from harness.schedule import Board, opening
from harness.verdict.repeat import merged

_QEMU = "qemu-system-x86_64"


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
    # Told of each kernel whose cases are all done, with its rows; called from the threads that serve guests.
    on_kernel: Callable[[KernelRun, tuple[CaseResult, ...]], None] = lambda _kernel, _rows: None


@dataclass(frozen=True, slots=True)
class PlannedCase:
    """A case and what its program was built into."""

    case: Case
    built: BuiltObject | BuildFailure


def run(options: RunOptions, progress: Progress, planned: Sequence[PlannedCase] | None = None) -> Run:
    """Build, boot, load and judge every case. Ctrl-C gives back what was measured so far, marked partial.

    `planned`: what `build_cases` gave before, or a part of it. Raise UserError for programs that cannot be
    read and missing tools.
    """
    start = timestamp()
    planned = build_cases(options, progress) if planned is None else planned
    once = sum(entry.case.kernel == HOST for entry in planned)
    progress.planned((len(planned) - once) * options.repeat + once)
    crew = _Crew(options, progress, planned)
    crew.work()
    kernels = [*crew.kernels.values(), *(missing_kernel(name, why) for name, why in options.missing)]
    measured = crew.results
    results = [merged(rows) for case in planned if (rows := measured.get(case.case.id))]
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


class _Crew:
    """Threads with a guest each, sent to the kernels by a `Board`."""

    def __init__(self, options: RunOptions, progress: Progress, planned: Sequence[PlannedCase]) -> None:
        self.kernels = {kernel.name: describe_kernel(kernel) for kernel in options.kernels}
        self._options = options
        self._progress = progress
        self._planned = planned
        self._stop = threading.Event()
        self._sessions: list[KernelSession] = []
        self._rows: dict[str, dict[int, CaseResult]] = {}  # by case id and pass
        self._up: set[tuple[str, int]] = set()  # kernels and passes a guest came up for

    @property
    def stopped(self) -> bool:
        """Whether the run was ended before everything was measured."""
        return self._stop.is_set()

    @property
    def results(self) -> dict[str, list[CaseResult]]:
        """The rows of each case, a row per pass, in their order."""
        return {case: [rows[number] for number in sorted(rows)] for case, rows in self._rows.items()}

    def work(self) -> None:
        warm = warm_object()
        cases = {kernel.name: self._cases(kernel) for kernel in self._options.kernels}
        board = Board({name: [found] * self._options.repeat for name, found in cases.items()})
        first = opening(self._options.jobs, {name: len(found) for name, found in cases.items()})
        with ThreadPoolExecutor(max(1, len(first))) as pool:
            futures = [
                pool.submit(self._serve, board, number, name, warm) for number, name in enumerate(first)
            ]
            try:
                self._judge_host()
                self._watch(futures)
            except KeyboardInterrupt:
                pass  # what was measured is the answer; the caller sees `partial`
            finally:
                self._end(futures)

    def _cases(self, kernel: Kernel) -> list[PlannedCase]:
        """What needs a guest of its own kind (other processors, a locked-down kernel) comes together."""

        def kind(planned: PlannedCase) -> tuple[int, tuple[str, ...]]:
            variant = planned.case.variant
            return variant.settings.cpus or kernel.cpus, marks_of(variant.scenario)

        return sorted((entry for entry in self._planned if entry.case.kernel == kernel.name), key=kind)

    def _judge_host(self) -> None:
        """The rows no kernel has a part in are known once they are built; once is enough."""
        for planned in self._planned:
            if planned.case.kernel == HOST:
                row = on_host(planned.case, planned.built)
                self._rows[planned.case.id] = {0: row}
                self._progress.case_done(row)

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

    def _serve(self, board: Board[PlannedCase], worker: int, first: str, warm: Path | None) -> None:
        """Go from kernel to kernel as long as there is something worth doing."""
        kernels = {kernel.name: kernel for kernel in self._options.kernels}
        wanted, failed = first, set[str]()
        while not self._stop.is_set():
            name = board.join(worker, wanted, failed)
            if name is None:
                return
            while (number := board.next_pass(name)) is not None and not self._stop.is_set():
                if not self._pass(board, worker, kernels[name], number, warm):
                    failed.add(name)
                    break
            over = board.leave(worker)
            if over is not None and not self._stop.is_set():
                self._finished(over)

    def _pass(
        self, board: Board[PlannedCase], worker: int, kernel: Kernel, number: int, warm: Path | None
    ) -> bool:
        """Take part in one pass over a kernel's cases with a fresh guest; False when it does not start."""
        if (kernel.name, number) not in self._up:
            self._progress.booting(kernel.name)
        with KernelSession(kernel, self._options.guest, warm) as session:
            self._sessions.append(session)
            try:
                ready = session.start()
            except InfrastructureError as problem:
                if board.retire(worker):
                    return False
                board.drop_later(kernel.name, number)
                self._progress.kernel_failed(kernel.name, str(problem))
            else:
                self._came_up(ready, number)
            while board.next_pass(kernel.name) == number and not self._stop.is_set():
                self._run_cases(session, board.take(kernel.name, number), number)
                if session.kernel_run.problem is not None and board.retire(worker):
                    break  # others go on with guests that work
            if session.kernel_run.problem is not None:
                self.kernels[kernel.name] = session.kernel_run
            return session.kernel_run.problem is None

    def _came_up(self, ready: KernelRun, number: int) -> None:
        """The first guest of a pass stands for it in the run's record."""
        if (ready.name, number) not in self._up:
            self._up.add((ready.name, number))
            self.kernels[ready.name] = ready
            self._progress.ready(ready)

    def _run_cases(self, session: KernelSession, cases: Iterable[PlannedCase], number: int) -> None:
        for planned in cases:
            if self._stop.is_set():
                return
            result = session.run(planned.case, planned.built)
            if self._stop.is_set():
                return  # the guest was taken away under this case: it says nothing
            self._rows.setdefault(planned.case.id, {})[number] = result
            self._progress.case_done(result)

    def _finished(self, name: str) -> None:
        results = self.results
        ids = [planned.case.id for planned in self._planned if planned.case.kernel == name]
        self._options.on_kernel(self.kernels[name], tuple(merged(results[case]) for case in ids))


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
