"""What comparisons look at: a run, or a baseline, as one small record per case.

A run file is made small here; a baseline is read into the same records (`harness.record.baseline`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from harness.model import HOST, CaseResult, KernelRun, Outcome, Run, Stage, VerdictKind
from harness.record.fingerprint import short, source_of
from harness.scenario import Behaviour

Key = tuple[str, str]  # kernel, case id without the kernel


@dataclass(frozen=True, slots=True)
class Answer:
    """What a kernel answered, as far as two answers must agree to be the same."""

    verdict: VerdictKind
    stage: Stage | None = None
    errno: str | None = None
    cause: str | None = None
    behaviour: Behaviour | None = None
    abnormal: Outcome | None = None  # crash, hang or splat

    @property
    def known(self) -> bool:
        """Whether there is an answer at all; a crash is one."""
        return self.verdict is not VerdictKind.NONE or self.abnormal is not None

    def __str__(self) -> str:
        if self.abnormal is not None:
            return self.abnormal.value
        if not self.known:
            return "not run"
        if self.verdict is VerdictKind.ACCEPT:
            return f"accept, {self.behaviour.value}" if self.behaviour else "accept"
        text = self.verdict.value + (f" at {self.stage.value}" if self.stage else "")
        text += f" with {self.errno}" if self.errno else ""
        return text + (f" ({self.cause})" if self.cause else "")


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Under what a case was measured; "" where it was not recorded."""

    version: str = ""  # of the kernel, upstream: 6.12.117
    release: str = ""  # what `uname -r` prints
    image: str = ""  # SHA-256 of the kernel image, or its beginning
    accel: str = ""
    compiler: str = ""  # "clang-19 19.1.7"
    harness: str = ""  # content hash of what takes part in a verdict
    libbpf: str = ""
    qemu: str = ""


@dataclass(frozen=True, slots=True)
class CaseRecord:
    """One case of one kernel."""

    case: str  # id without the kernel
    kernel: str
    answer: Answer
    insns: int | None = None
    time_us: int | None = None  # in BPF_PROG_LOAD of the deciding attempt
    source: str = ""  # hash of what its author wrote: text, settings, scenario, checks
    object: str = ""  # hash of what the compiler made of it
    flaky: bool = False
    answers: tuple[str, ...] = ()  # of a flaky case
    under: Circumstances = Circumstances()
    reason: str = ""  # why it did not run


@dataclass(frozen=True, slots=True)
class KernelState:
    """One kernel of a measurement; `problem` when nothing, or not everything, could run on it."""

    name: str
    version: str = ""
    release: str = ""
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A measurement made small."""

    label: str
    kernels: Mapping[str, KernelState]
    cases: Mapping[Key, CaseRecord]
    partial: bool = False

    @property
    def tagged(self) -> bool:
        """Whether ids name the compiler, as those of runs with several do."""
        return any(
            case.endswith(f"+{item.under.compiler.partition(' ')[0]}]")
            for (kernel, case), item in self.cases.items()
            if kernel != HOST and item.under.compiler
        )


def snapshot(run: Run, label: str = "") -> Snapshot:
    """Make `run` small; cases keep their order."""
    kernels = {kernel.name: KernelState(kernel.name, kernel.version, kernel.release, kernel.problem)
               for kernel in run.kernels}  # fmt: skip
    by_name = {kernel.name: kernel for kernel in run.kernels}
    records = [record(case, run, by_name.get(case.kernel)) for case in run.cases]
    return Snapshot(
        label or run.id,
        MappingProxyType(kernels),
        MappingProxyType({(item.kernel, item.case): item for item in records}),
        run.partial,
    )


def record(case: CaseResult, run: Run, kernel: KernelRun | None) -> CaseRecord:
    """Make one row small."""
    seen = case.observation
    verdict = case.verdict
    return CaseRecord(
        case=case.id.rpartition("@")[0],
        kernel=case.kernel,
        answer=Answer(
            verdict.kind, verdict.stage, verdict.errno, verdict.cause, case.behaviour, verdict.abnormal
        ),
        insns=seen.insns_processed if seen else None,
        time_us=seen.kernel_time_us if seen else None,
        source=short(source_of(case)),
        object=short(case.object_sha256 or ""),
        flaky=case.flaky,
        answers=case.answers,
        under=_circumstances(case, run, kernel),
        reason=case.reason,
    )


def selected(taken: Snapshot, keep: Callable[[str], bool]) -> Snapshot:
    """Return `taken` with the cases whose id (with the kernel) `keep` wants."""
    cases = {key: item for key, item in taken.cases.items() if keep(f"{item.case}@{item.kernel}")}
    return replace(taken, cases=MappingProxyType(cases))


def tagged(taken: Snapshot) -> Snapshot:
    """Write the compiler into the ids of a measurement with one, as runs with several have it."""
    cases = {}
    for (kernel, case), item in taken.cases.items():
        name = item.under.compiler.partition(" ")[0]
        known = f"{case[:-1]}+{name}]" if case.endswith("]") and name and kernel != HOST else case
        cases[(kernel, known)] = replace(item, case=known)
    return replace(taken, cases=MappingProxyType(cases))


def _circumstances(case: CaseResult, run: Run, kernel: KernelRun | None) -> Circumstances:
    name = case.compiler or ""
    if case.kernel == HOST:
        name = str(case.axes.get("cc", name))
    version = run.tools.get(name, "")
    common = Circumstances(
        compiler=f"{name} {version}".strip(), harness=short(run.harness), qemu=run.tools.get("qemu", "")
    )
    if kernel is None:
        return common
    return replace(
        common,
        version=kernel.version,
        release=kernel.release,
        image=short(kernel.sha256),
        accel=kernel.accel or "",
        libbpf=kernel.libbpf or "",
    )
