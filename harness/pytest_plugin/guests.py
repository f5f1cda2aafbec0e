"""The guests of one pytest process: started when the first case needs them, one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.crew import warm_object
from harness.execute import KernelSession
from harness.guest.options import GuestOptions
from harness.model import BuildFailure, BuiltObject, Case, Compiler, Kernel, KernelRun, Program
from harness.plan import PlannedCase, RunOptions, build_cases, places
from harness.watching import Silent


class Guests:
    """Kernel sessions by name. Cases come grouped by kernel, so the guest of the one before is ended."""

    def __init__(self, kernels: Sequence[Kernel], options: GuestOptions) -> None:
        self._kernels = {kernel.name: kernel for kernel in kernels}
        self._options = options
        self._sessions: dict[str, KernelSession] = {}
        self._current: str | None = None
        self._warm: Path | None = None
        self._warm_known = False

    def session(self, name: str) -> KernelSession:
        """Return the ready session of kernel `name`; InfrastructureError when its guest cannot be had."""
        if self._current not in (None, name):
            self.close()
        self._current = name
        if name not in self._sessions:
            if not self._warm_known:
                self._warm, self._warm_known = warm_object(), True
            self._sessions[name] = KernelSession(self._kernels[name], self._options, self._warm)
        session = self._sessions[name]
        session.start()
        return session

    def kernel_run(self, name: str) -> KernelRun | None:
        """Return what is known of kernel `name` in this run; None before its first case."""
        session = self._sessions.get(name)
        return session.kernel_run if session else None

    def close(self) -> None:
        """End every guest; safe to call twice."""
        for session in self._sessions.values():
            session.close()


class Workshop:
    """Builds what the cases of one pytest process need, when it is needed."""

    def __init__(
        self, kernels: Sequence[Kernel], missing: Sequence[tuple[str, str]], compilers: Sequence[Compiler]
    ) -> None:
        self._kernels = tuple(kernels)
        self._missing = tuple(missing)
        self._compilers = tuple(compilers)
        self._planned: dict[str, tuple[PlannedCase, ...]] = {}

    def cases(self, program: Program) -> tuple[Case, ...]:
        """Return the cases of `program`; builds it now when only its object knows its variants."""
        if not program.variants:
            self._planned[program.name] = self._plan(program)
            return tuple(planned.case for planned in self._planned[program.name])
        several = len(self._compilers) > 1
        names = places(program, self._kernels, self._missing)
        return tuple(
            Case(program, variant, name, clang, several)
            for name in names
            for variant in program.variants
            for clang in self._compilers
        )

    def build(self, case: Case) -> BuiltObject | BuildFailure:
        """Return what `case` is built into."""
        planned = self._planned.get(case.program.name)
        if planned is None:
            program = replace(case.program, variants=(case.variant,))
            planned = self._plan(program, () if case.compiler is None else (case.compiler,))
        return next(entry.built for entry in planned if _same(entry.case, case))

    def _plan(self, program: Program, compilers: Sequence[Compiler] | None = None) -> tuple[PlannedCase, ...]:
        options = RunOptions(
            kernels=self._kernels,
            missing=self._missing,
            programs=(program,),
            compilers=tuple(self._compilers if compilers is None else compilers),
        )
        return build_cases(options, Silent())


def _same(left: Case, right: Case) -> bool:
    return (left.variant.name, left.kernel, left.compiler) == (
        right.variant.name,
        right.kernel,
        right.compiler,
    )
