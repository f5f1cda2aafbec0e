"""Threads with a guest each that run planned cases, and the object their guests are warmed up with."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from harness.build.builder import Builder
from harness.build.toolchain import find_compilers
from harness.errors import HarnessError, InfrastructureError
from harness.execute import KernelSession, describe_kernel, marks_of, on_host
from harness.model import HOST, BuiltObject, CaseResult, Kernel, KernelRun, Program, ProgramKind
from harness.plan import PlannedCase, RunOptions
from harness.schedule import Board, opening
from harness.verdict.repeat import merged
from harness.watching import Progress


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


class Crew:
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
        """Run every case; Ctrl-C ends the guests, and what was measured until then stays."""
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
