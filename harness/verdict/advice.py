"""Whether a note's advice holds: derived from measured cells, never typed by anybody. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.advice import Answer, Clause, NoteClaim
from harness.catalog.selection import selects
from harness.model import CaseResult, KernelRun, KernelVersion, Outcome, VerdictKind, VersionRange
from harness.scenario import Behaviour


class Ruling(StrEnum):
    """What one kernel, or all of them, say of a claim; undecided where nothing decisive was measured."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class KernelRuling:
    """One kernel's answer to a claim, and the cases that decided it."""

    kernel: KernelRun
    ruling: Ruling
    cases: tuple[CaseResult, ...]


@dataclass(frozen=True, slots=True)
class ClaimRuling:
    """A claim measured on every kernel of a run, oldest first."""

    claim: NoteClaim
    kernels: tuple[KernelRuling, ...]

    def on(self, ruling: Ruling) -> tuple[KernelRuling, ...]:
        """Return the kernels that ruled so."""
        return tuple(each for each in self.kernels if each.ruling is ruling)

    @property
    def overall(self) -> Ruling | None:
        """The ruling all deciding kernels share, None where they differ."""
        rulings = {each.ruling for each in self.kernels} - {Ruling.UNDECIDED}
        if not rulings:
            return Ruling.UNDECIDED
        return rulings.pop() if len(rulings) == 1 else None

    def __str__(self) -> str:
        if self.overall is not None:
            return self.overall.value
        every = [each.kernel.name for each in self.kernels]
        parts = [
            f"{ruling.value} on {spans([each.kernel.name for each in self.on(ruling)], every)}"
            for ruling in (Ruling.CONFIRMED, Ruling.REFUTED)
        ]
        return "; ".join(parts)


def spans(names: Sequence[str], every: Sequence[str]) -> str:
    """Name some of the kernels measured, neighbours together: `5.10, 6.12 to 7.3`."""
    runs: list[list[str]] = []
    for before, name in zip(["", *every], every, strict=False):
        if name in names:
            if runs and runs[-1][-1] == before:
                runs[-1].append(name)
            else:
                runs.append([name])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(run) for run in runs)


def rule(claim: NoteClaim, kernels: Sequence[KernelRun], cases: Sequence[CaseResult]) -> ClaimRuling:
    """Judge a claim by the cases of its own program, kernel by kernel."""
    return ClaimRuling(claim, tuple(_on_kernel(claim, kernel, cases) for kernel in kernels))


def _on_kernel(claim: NoteClaim, kernel: KernelRun, cases: Sequence[CaseResult]) -> KernelRuling:
    """Rule on one kernel.

    One clause that fails refutes; a clause nothing was measured for leaves it open. The cases given back are
    those that contradict the claim, or else those that bear it out.
    """
    here = [case for case in cases if case.kernel == kernel.name]
    version = _version(kernel)
    clauses = [clause for clause in claim.clauses if version in VersionRange.parse(clause.kernels)]
    found = [
        (clause, _holds(clause, selected), selected)
        for clause in clauses
        if (selected := _selected(clause, here))
    ]
    failed = [part for part in found if part[1] is False]
    if failed:
        return KernelRuling(kernel, Ruling.REFUTED, _answering(False, failed))
    complete = len(found) == len(clauses) > 0 and all(holds for _, holds, _ in found)
    return KernelRuling(kernel, Ruling.CONFIRMED if complete else Ruling.UNDECIDED, _answering(True, found))


def _answering(
    wanted: bool, found: Sequence[tuple[Clause, bool | None, Sequence[CaseResult]]]
) -> tuple[CaseResult, ...]:
    """The cases that answer as their clause says, or not so; each once."""
    cases = {
        case.id: case
        for clause, _, selected in found
        for case in selected
        if answers_so(clause, case) is wanted
    }
    return tuple(cases.values())


def _version(kernel: KernelRun) -> KernelVersion:
    try:
        return KernelVersion.parse(kernel.version)
    except ValueError:
        return KernelVersion(0, 0)


def _selected(clause: Clause, cases: Sequence[CaseResult]) -> tuple[CaseResult, ...]:
    return tuple(case for case in cases if selects(clause.when, case.axes))


def _holds(clause: Clause, cases: Sequence[CaseResult]) -> bool | None:
    """Whether the clause's cases answer as it says; None when one that matters was not measured."""
    answers = [answers_so(clause, case) for case in cases]
    if clause.some:
        return True if any(answers) else None if None in answers else False
    return False if False in answers else None if None in answers else True


def answers_so(clause: Clause, case: CaseResult) -> bool | None:
    """Whether one case gives the clause's answer; None when it was not run or ended abnormally."""
    if case.outcome is Outcome.NOT_RUN or case.verdict.kind is VerdictKind.NONE or case.verdict.abnormal:
        return None
    verdict = case.verdict
    match clause.answer:
        case Answer.ACCEPT:
            return verdict.kind is VerdictKind.ACCEPT
        case Answer.BEHAVES | Answer.MISBEHAVES:
            return verdict.kind is VerdictKind.ACCEPT and case.behaviour is Behaviour(clause.answer.value)
        case Answer.REJECT:
            return (
                verdict.kind is VerdictKind.REJECT
                and clause.stage in ("", verdict.stage)
                and clause.errno in ("", verdict.errno)
                and clause.cause in ("", verdict.cause)
            )


def works_everywhere(cases: Sequence[CaseResult]) -> bool:
    """Whether a variant was accepted, and behaved where it was run, on every kernel it was measured on."""
    measured = [case for case in cases if case.outcome is not Outcome.NOT_RUN]
    return bool(measured) and all(
        case.verdict.kind is VerdictKind.ACCEPT
        and case.verdict.abnormal is None
        and case.behaviour is not Behaviour.MISBEHAVES
        for case in measured
    )
