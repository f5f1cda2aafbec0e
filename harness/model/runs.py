"""What a case did, how that is judged, and everything a run measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from harness.advice import Advice
from harness.model.kernels import KernelRun
from harness.model.programs import Expected
from harness.model.words import ObservationStatus, Outcome, Stage, VerdictKind
from harness.scenario import Behaviour, CheckResult, Step, StepResult


@dataclass(frozen=True, slots=True)
class MapCreated:
    """One BPF_MAP_CREATE as the kernel saw it; `declared_entries` is what the source said."""

    name: str
    type: str  # "ringbuf", "hash", … or "type 99"
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    errno: str | None = None  # None = created
    declared_entries: int | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What one case did in the guest, uninterpreted. Times in microseconds."""

    status: ObservationStatus
    stage: Stage | None = None  # the stage that said no; None when loaded
    errno: str | None = None  # "EINVAL"; never lost, even when the log is
    verifier_log: str = ""
    log_truncated: bool = False
    log_level: int = 0  # of `verifier_log`: 0 none, 4 statistics and reason, 5 full
    loader_log: str = ""
    insns_processed: int | None = None
    total_states: int | None = None
    peak_states: int | None = None
    kernel_time_us: int | None = None  # in BPF_PROG_LOAD of the deciding (statistics-only) attempt
    bpf_time_us: int | None = None  # in all bpf() calls of the case
    maps: tuple[MapCreated, ...] = ()
    fixups: tuple[str, ...] = ()  # what the loader changed on the way
    kernel_messages: tuple[str, ...] = ()  # new lines of the kernel's log during the case
    console_tail: str = ""  # only on crash and hang
    wall_us: int = 0  # host side, from request to answer
    guest_us: int | None = None  # the same case inside the guest, fork and loader included
    note: str = ""  # who ended the case, for crash and hang
    kernel_has_btf: bool | None = None  # whether the loader had any BTF of the kernel, own or external
    steps: tuple[StepResult, ...] = ()  # of a scenario, as far as it came


@dataclass(frozen=True, slots=True)
class Verdict:
    """An observation (or build failure) interpreted."""

    kind: VerdictKind
    stage: Stage | None = None
    errno: str | None = None
    cause: str | None = None  # a cause id of harness/verdict/causes.yaml; None when accepted
    message: str = ""  # one line: the words that decide
    abnormal: Outcome | None = None  # crash, hang or splat


@dataclass(frozen=True, slots=True)
class CaseResult:
    """A row of a run file: a case, what was observed, how it is judged."""

    id: str
    program: str
    variant: str
    kernel: str
    compiler: str | None
    loader: str
    verdict: Verdict
    outcome: Outcome
    expected: Expected | None = None
    observation: Observation | None = None
    pitfall: str = ""
    title: str = ""
    axes: Mapping[str, str | int | bool] = field(default_factory=lambda: MappingProxyType({}))
    source: str = ""  # rendered C text
    build_log: str = ""  # the renderer's or compiler's words, whole, where the build said no
    object_sha256: str | None = None
    slow: bool = False
    reason: str = ""  # why it did not run, or why the outcome is not as expected
    scenario: tuple[Step, ...] = ()
    behaviour: Behaviour | None = None
    checks: tuple[CheckResult, ...] = ()
    answers: tuple[str, ...] = ()  # of a flaky case: what each run gave, in order
    source_sha256: str = ""  # of what its author wrote (harness.record.fingerprint); "" where not recorded

    @property
    def flaky(self) -> bool:
        """Whether runs of this case differed in verdict, stage, errno or behaviour."""
        return self.outcome is Outcome.FLAKY


@dataclass(frozen=True, slots=True)
class ProgramInfo:
    """What a report says of a program beyond its cases: once per run, not once per case."""

    name: str  # CaseResult.program
    path: str = ""  # of the template, source or object, relative to the project where it is inside
    title: str = ""
    pitfall: str = ""
    note: str = ""
    claim: str = ""
    advice: Advice | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """Everything one run measured. Times are UTC, ISO 8601 with seconds."""

    id: str
    start: str
    end: str
    host: str
    tools: Mapping[str, str]  # tool -> version
    kernels: tuple[KernelRun, ...]  # oldest first
    cases: tuple[CaseResult, ...]
    partial: bool = False  # interrupted: what is here is valid, more was planned
    programs: tuple[ProgramInfo, ...] = ()
    command: str = ""  # the command line that made the run
    repeat: int = 1  # how often each case was run, in a fresh guest each time
    harness: str = ""  # content hash of what takes part in a verdict; "" where not recorded
