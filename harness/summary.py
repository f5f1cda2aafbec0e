"""A finished run in a few plain lines, for the end of a command line and of a pytest session. Pure."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from harness.model import HOST, CaseResult, KernelRun, Outcome, Program, ProgramInfo, Run, VerdictKind
from harness.paths import project_root
from harness.report.matrix import reproduce
from harness.scenario import Behaviour
from harness.verdict.causes import UNCLASSIFIED

_OUTCOMES = (
    (Outcome.UNEXPECTED, "unexpected"),
    (Outcome.CHANGED, "changed"),
    (Outcome.CRASH, "crashed"),
    (Outcome.HANG, "hung"),
    (Outcome.SPLAT, "splat"),
    (Outcome.FLAKY, "flaky"),
    (Outcome.NOT_RUN, "not run"),
    (Outcome.NO_EXPECTATION, "without expectation"),
)
_FINE = (Outcome.AS_EXPECTED, Outcome.NO_EXPECTATION)


def summary(run: Run) -> Iterator[str]:
    """Yield one line per kernel and a last one over all."""
    host = [case for case in run.cases if case.kernel == HOST]
    width = max([len(kernel.name) for kernel in run.kernels] + [len(HOST) if host else 0])
    for kernel in run.kernels:
        cases = [case for case in run.cases if case.kernel == kernel.name]
        yield f"{kernel.name:<{width}}  {_state(kernel)}: {_counts(cases)}"
    if host:
        yield f"{HOST:<{width}}  compiled: {_counts(host)}"
    partial = " (interrupted: more was planned)" if run.partial else ""
    times = f", {run.repeat} times each" if run.repeat > 1 else ""
    where = [number(run.kernels, "kernel")] if run.kernels or not host else []
    where += ["the host"] if host else []
    head = f"{number(run.cases, 'case')} on {' and '.join(where)}{times}"
    yield f"{head}: {_counts(run.cases)}{partial}"


def next_command(run: Run, pytest: Sequence[str] | None = None) -> str | None:
    """Return the command that shows the first difference alone; None when all is as expected.

    `pytest`: make it a pytest command with these options.
    """
    first = next((case for case in run.cases if case.outcome not in (*_FINE, Outcome.NOT_RUN)), None)
    if first is None:
        broken = next((kernel for kernel in run.kernels if kernel.problem and kernel.release), None)
        return f"bpfmatrix shell {shlex.quote(broken.name)}" if broken else None
    if pytest is not None:
        return shlex.join(("pytest", *pytest, first.id))
    infos = {info.name: info for info in run.programs}
    return reproduce(first, infos.get(first.program, ProgramInfo(first.program)))


def described(run: Run, programs: Iterable[Program], command: Sequence[str]) -> Run:
    """Return `run` with what reports say of its programs, and the command line that made it."""
    used = {case.program for case in run.cases}
    infos = tuple(_info(program) for program in programs if program.name in used)
    return replace(run, programs=run.programs or infos, command=run.command or shlex.join(command))


def _info(program: Program) -> ProgramInfo:
    path, root = program.path.resolve(), project_root().resolve()
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    return ProgramInfo(
        program.name,
        str(shown),
        program.title,
        program.pitfall,
        program.note,
        program.claim,
        program.advice,
    )


def number(things: Sequence[object], word: str) -> str:
    """Write `1 case`, `2 cases`."""
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"


def _state(kernel: KernelRun) -> str:
    if kernel.problem:
        return "not run" if not kernel.release else "failed"
    if kernel.boot_seconds is None:
        return "not started"
    how = "restored" if kernel.restored else "booted"
    return f"{how} in {kernel.boot_seconds:.1f} s ({kernel.accel or '?'})"


def _counts(cases: Sequence[CaseResult]) -> str:
    if not cases:
        return "no cases"
    kinds = Counter(case.verdict.kind for case in cases)
    outcomes = Counter(case.outcome for case in cases)
    misbehaving = sum(case.behaviour is Behaviour.MISBEHAVES for case in cases)
    accepted = f"{kinds[VerdictKind.ACCEPT]} accepted" + (
        f" ({misbehaving} misbehaving)" if misbehaving else ""
    )
    unknown = sum(case.verdict.cause == UNCLASSIFIED for case in cases)
    rejected = f"{kinds[VerdictKind.REJECT]} rejected" + (f" ({unknown} unclassified)" if unknown else "")
    parts = [accepted, rejected]
    different = [f"{outcomes[outcome]} {word}" for outcome, word in _OUTCOMES if outcomes[outcome]]
    return f"{', '.join(parts)}; {', '.join(different) or 'all as expected'}"
