"""Running small scenarios in a real guest: BPF text and steps in, step results out."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.build.builder import Builder
from harness.build.toolchain import find_compilers
from harness.execute import KernelSession
from harness.model import (
    BuiltObject,
    Case,
    CaseResult,
    LoadSettings,
    Observation,
    Program,
    ProgramKind,
    Variant,
)
from harness.scenario import Step, StepOp, StepResult, number_names

HEAD = """
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
typedef __u64 u64;
typedef __u32 u32;
"""
LICENSE = 'char LICENSE[] SEC("license") = "GPL";\n'


def u32(number: int) -> bytes:
    return number.to_bytes(4, "little")


def u64(number: int) -> bytes:
    return number.to_bytes(8, "little")


def step(op: StepOp, name: str = "", **more: object) -> Step:
    return Step(op, name, **more)


@dataclass
class Told:
    """What a scenario gave: results by their step's label, or by op and name."""

    row: CaseResult
    steps: tuple[Step, ...]
    _by_label: dict[str, StepResult] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.row.observation is not None, self.row
        for result in self.observation.steps:
            done = self.steps[result.index]
            self._by_label[done.label or done.name] = result

    @property
    def observation(self) -> Observation:
        assert self.row.observation is not None
        return self.row.observation

    def __getitem__(self, label: str) -> StepResult:
        assert label in self._by_label, self.why
        return self._by_label[label]

    def number(self, label: str, name: str) -> int:
        done = self.steps[self[label].index]
        names = number_names(done.op, done.name)
        assert len(names) == len(self[label].numbers), (names, self[label])
        return self[label].numbers[names.index(name)]

    def value(self, label: str, index: int = 0) -> int:
        return int.from_bytes(self[label].values[index], "little")

    @property
    def why(self) -> str:
        told = self.observation
        steps = "\n".join(
            f"{self.steps[r.index].op.name} {self.steps[r.index].name}: {r}" for r in told.steps
        )
        return (
            f"{told.status} {told.stage} {told.errno}\n{told.note}\n{steps}\n"
            f"{told.loader_log}\n{told.verifier_log}\n{told.kernel_messages}\n{told.console_tail[-3000:]}"
        )


class Bench:
    """One session and the objects built for it."""

    def __init__(self, session: KernelSession, folder: object) -> None:
        self.session = session
        self.folder = folder
        self.clang = find_compilers(())[0]
        self.builder = Builder()

    def build(self, text: str) -> BuiltObject:
        path = self.folder / f"case{abs(hash(text))}.bpf.c"
        path.write_text(HEAD + text + LICENSE)
        built = self.builder.build(Program(path.name, path, ProgramKind.SOURCE, ()), None, self.clang)
        assert isinstance(built, BuiltObject), built
        return built

    def run(self, text: str, *steps: Step, program: str | None = None, **settings: object) -> Told:
        variant = Variant("v", {}, LoadSettings(**settings), bpf_program=program, scenario=steps)
        case = Case(Program("test", None, ProgramKind.SOURCE, ()), variant, self.session.kernel.name)
        return Told(self.session.run(case, self.build(text)), steps)
