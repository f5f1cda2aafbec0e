"""Drives one kernel's guest through cases and turns what happens into rows of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Self

from harness.errors import InfrastructureError
from harness.guest.assets import Assets, prepare
from harness.guest.exchange import LoadRequest
from harness.guest.guest import Guest, start_guest
from harness.guest.options import GuestOptions
from harness.model import (
    HOST,
    BuildFailure,
    BuiltObject,
    Case,
    CaseResult,
    Expected,
    GuestFacts,
    Kernel,
    KernelRun,
    KernelVersion,
    Observation,
    Outcome,
    Verdict,
    VerdictKind,
)
from harness.record.fingerprint import source_digest
from harness.scenario import IRREVERSIBLE, Step, StepOp
from harness.verdict.behaviour import behaviour_of, kept, measure
from harness.verdict.classify import interpret, interpret_failure
from harness.verdict.expect import expected_for, judge

_NO_KERNEL = KernelVersion(0, 0)


class KernelSession:
    """One kernel, one guest at a time, any number of cases. A context manager that leaves no QEMU behind."""

    def __init__(self, kernel: Kernel, options: GuestOptions, warm: Path | None = None) -> None:
        self.kernel = kernel
        self._options = options
        self._warm = warm
        self._guest: Guest | None = None
        self._facts: GuestFacts | None = None
        self._broken: str | None = None
        self._used = False
        self._marks: tuple[str, ...] = ()  # what cannot be taken back of the guest that runs
        self._cpus = kernel.cpus  # of the guest that runs, or of the next
        self.kernel_run = describe_kernel(kernel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def facts(self) -> GuestFacts:
        """What the guest said of itself; starts it when it does not run yet."""
        if self._facts is None:
            self.start()
        assert self._facts is not None  # noqa: S101 - start() either sets it or raises
        return self._facts

    def start(self) -> KernelRun:
        """Boot or restore the guest.

        Raise InfrastructureError when it never becomes ready; the session stays broken then.
        """
        try:
            guest = self._ready_guest()
        except InfrastructureError as problem:
            self._broken = str(problem)
            self.kernel_run = replace(self.kernel_run, problem=self._broken)
            raise
        if self.kernel_run.accel is None:
            self.kernel_run = replace(
                self.kernel_run,
                release=guest.facts.release,
                accel=guest.assets.accel,
                boot_seconds=round(guest.ready_seconds, 3),
                restored=guest.restored,
                has_btf=guest.facts.has_btf,
                libbpf=guest.facts.libbpf,
            )
        return self.kernel_run

    def run(self, case: Case, built: BuiltObject | BuildFailure) -> CaseResult:
        """Run one case; whatever the guest does becomes a row.

        Without a guest the row says `not_run` and why.
        """
        try:
            facts = self.facts
            expected = expected_for(case.program, case.variant, self.kernel.version, facts, case.compiler)
            if isinstance(built, BuildFailure):
                return failed_build(case, built, expected)
            has_btf = facts.has_btf or self.kernel.external_btf is not None
            observation = replace(self._observe(case, built), kernel_has_btf=has_btf)
        except InfrastructureError as problem:
            self._broken = str(problem)
            self.kernel_run = replace(self.kernel_run, problem=self._broken)
            return not_run(case, f"the guest could not be started: {problem.what}", built)
        return judged(case, built, observation, expected, self.kernel.version)

    def abort(self) -> None:
        """End the guest from another thread; whoever uses the session is woken and still has to close it."""
        guest = self._guest
        if guest is not None:
            guest.abort()

    def close(self) -> None:
        """End the guest; safe to call twice."""
        if self._guest is not None:
            self._guest.close()
            self._guest = None

    def _observe(self, case: Case, built: BuiltObject) -> Observation:
        if self._options.fresh_guest and self._used:
            self.close()
        variant = case.variant
        marks = marks_of(variant.scenario)
        guest = self._ready_guest(variant.settings.cpus, marks)
        self._used, self._marks = True, marks
        program = variant.bpf_program or built.programs[0]
        request = LoadRequest(built.path, built.sha256, program, variant.settings, variant.scenario)
        try:
            return guest.run(request, self._options.grace_s)
        finally:
            if variant.settings.disposable and not marks:
                self.close()

    def _ready_guest(self, cpus: int | None = None, marks: tuple[str, ...] = ()) -> Guest:
        """The running guest, or another one where it died, has other processors, or other marks than these.

        A guest without marks takes a case that leaves some.
        """
        if self._broken is not None:
            raise InfrastructureError(self._broken)
        cpus = self.kernel.cpus if cpus is None else cpus
        fits = self._cpus == cpus and self._marks in ((), marks)
        if self._guest is not None and not (self._guest.alive() and fits):
            self.close()
        if self._guest is None:
            self._cpus = cpus
            self._guest = start_guest(self._assets, self._options, config_symbols(self.kernel.config))
            self._facts = self._guest.facts
            self._used, self._marks = False, ()
        return self._guest

    def _assets(self, kvm: bool) -> Assets:
        return prepare(replace(self.kernel, cpus=self._cpus), kvm=kvm, warm=self._warm)


def marks_of(scenario: tuple[Step, ...]) -> tuple[str, ...]:
    """What a scenario changes of the guest for good: only cases that do the very same may run in it later."""
    return tuple(step.name for step in scenario if step.op is StepOp.ENV and step.name in IRREVERSIBLE)


def describe_kernel(kernel: Kernel, problem: str | None = None) -> KernelRun:
    """A run's record of `kernel`, before it was booted."""
    return KernelRun(
        name=kernel.name,
        version=str(kernel.version),
        release=kernel.release,
        title=kernel.title,
        source=kernel.source,
        sha256=kernel.sha256,
        package=kernel.package,
        package_version=kernel.package_version,
        problem=problem,
    )


def config_symbols(config: Path | None) -> frozenset[str]:
    """The names (without `CONFIG_`) a kernel's configuration sets to y or m; empty when there is none."""
    if config is None or not config.is_file():
        return frozenset()
    lines = config.read_text(errors="replace").splitlines()
    return frozenset(
        line.split("=", 1)[0].removeprefix("CONFIG_") for line in lines if line.endswith(("=y", "=m"))
    )


def judged(
    case: Case,
    built: BuiltObject,
    observation: Observation,
    expected: Expected | None,
    version: KernelVersion | None = None,
) -> CaseResult:
    """The row of a case that reached the guest; checks are judged on everything the steps gave."""
    variant = case.variant
    verdict = interpret(observation, variant.settings, variant.scenario)
    accepted = verdict.kind is VerdictKind.ACCEPT
    checks = measure(variant.scenario, observation.steps, variant.checks, version) if accepted else ()
    outcome, reason = judge(verdict, observation, expected, checks)
    return replace(
        _row(case, verdict, outcome),
        expected=expected,
        observation=replace(observation, steps=tuple(kept(step) for step in observation.steps)),
        behaviour=behaviour_of(checks),
        checks=checks,
        source=built.source,
        object_sha256=built.sha256,
        source_sha256=source_digest(case, built.source, built.sha256),
        reason=reason,
    )


def failed_build(case: Case, failure: BuildFailure, expected: Expected | None) -> CaseResult:
    """The row of a case that did not get past render, compile or open."""
    verdict = interpret_failure(failure)
    outcome, reason = judge(verdict, failure, expected)
    return replace(
        _row(case, verdict, outcome),
        expected=expected,
        source=failure.source,
        source_sha256=source_digest(case, failure.source),
        build_log=failure.message,
        reason=reason,
    )


def on_host(case: Case, built: BuiltObject | BuildFailure) -> CaseResult:
    """The row of a case no kernel has a part in: building it was all."""
    expected = expected_for(case.program, case.variant, _NO_KERNEL, None)
    if isinstance(built, BuildFailure):
        return failed_build(case, built, expected)
    verdict = Verdict(VerdictKind.ACCEPT)
    outcome, reason = judge(verdict, None, expected)
    return replace(
        _row(case, verdict, outcome),
        expected=expected,
        source=built.source,
        object_sha256=built.sha256,
        source_sha256=source_digest(case, built.source, built.sha256),
        reason=reason,
    )


def not_run(case: Case, reason: str, built: BuiltObject | BuildFailure | None = None) -> CaseResult:
    """The row of a case nothing was learnt about, and why."""
    source = built.source if built is not None else ""
    return replace(_row(case, Verdict(VerdictKind.NONE), Outcome.NOT_RUN), source=source, reason=reason)


def _row(case: Case, verdict: Verdict, outcome: Outcome) -> CaseResult:
    return CaseResult(
        id=case.id,
        program=case.program.name,
        variant=case.variant.name,
        kernel=case.kernel,
        compiler=case.compiler.name if case.compiler else None,
        loader=case.variant.settings.loader.value if case.kernel != HOST else "none",
        verdict=verdict,
        outcome=outcome,
        pitfall=case.program.pitfall,
        title=case.program.title,
        axes=case.variant.values,
        slow=case.variant.slow,
        scenario=case.variant.scenario,
    )
