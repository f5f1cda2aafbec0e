"""Domain types shared by every room. Imports nothing of ours but the types of a scenario and of advice.

Frozen, slotted dataclasses and string enums only: a value made here can be hashed, compared, sent to
another process and written to a run file without surprises. Dicts exist only at the YAML/JSON edge.
"""

from harness.model.kernels import GuestFacts, Kernel, KernelRun
from harness.model.programs import (
    BuildFailure,
    BuiltObject,
    Case,
    Claim,
    ClaimKind,
    Compiler,
    Expectation,
    Expected,
    HostPart,
    LoadSettings,
    Program,
    Variant,
)
from harness.model.runs import CaseResult, MapCreated, Observation, ProgramInfo, Run, Verdict
from harness.model.versions import KernelVersion, Origin, VersionRange
from harness.model.words import (
    HOST,
    HOST_COMPILERS,
    Loader,
    ObservationStatus,
    Outcome,
    ProgramKind,
    Stage,
    VerdictKind,
)

__all__ = [
    "HOST",
    "HOST_COMPILERS",
    "BuildFailure",
    "BuiltObject",
    "Case",
    "CaseResult",
    "Claim",
    "ClaimKind",
    "Compiler",
    "Expectation",
    "Expected",
    "GuestFacts",
    "HostPart",
    "Kernel",
    "KernelRun",
    "KernelVersion",
    "LoadSettings",
    "Loader",
    "MapCreated",
    "Observation",
    "ObservationStatus",
    "Origin",
    "Outcome",
    "Program",
    "ProgramInfo",
    "ProgramKind",
    "Run",
    "Stage",
    "Variant",
    "Verdict",
    "VerdictKind",
    "VersionRange",
]
