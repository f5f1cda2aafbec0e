"""Domain types shared by every room. Imports nothing of ours but the types of a scenario and of advice.

Frozen, slotted dataclasses and string enums only: a value made here can be hashed, compared, sent to
another process and written to a run file without surprises. Dicts exist only at the YAML/JSON edge.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from harness.advice import Advice
from harness.scenario import Behaviour, Check, CheckResult, Step, StepResult

_VERSION = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")
_COMPARISON = re.compile(r"\s*(>=|<=|==|>|<|=)?\s*v?(\d+(?:\.\d+){0,2})\s*")


# In a kernel's place, for rows no kernel has a part in.
HOST = "host"
HOST_COMPILERS = ("gcc", "g++", "clang", "clang++")


class VerdictKind(StrEnum):
    """What the kernel (or a stage before it) answered; `none` when there is no answer."""

    ACCEPT = "accept"
    REJECT = "reject"
    NONE = "none"


class Stage(StrEnum):
    """Where a case ended, in the order a program passes them."""

    RENDER = "render"
    COMPILE = "compile"
    OPEN = "open"
    MAP_CREATE = "map_create"
    BTF_LOAD = "btf_load"
    LOAD = "load"
    ATTACH = "attach"
    RUN = "run"
    HOST_COMPILE = "host_compile"  # a compiler of this machine, for code in user space


class Loader(StrEnum):
    """Who turns the object into `bpf()` calls: libbpf with its fix-ups, or the calls as written."""

    LIBBPF = "libbpf"
    RAW = "raw"


class Outcome(StrEnum):
    """A case measured against its expectation.

    `unexpected`: the verdict (accept/reject) differs. `changed`: same verdict, but another stage,
    errno or message. `no_expectation`: measured, nothing to compare with. `flaky`: repeated, and not always
    the same answer. `crash`, `hang`, `splat`, `flaky` and `not_run` never count as the expected answer.
    """

    AS_EXPECTED = "as_expected"
    CHANGED = "changed"
    UNEXPECTED = "unexpected"
    NO_EXPECTATION = "no_expectation"
    CRASH = "crash"
    HANG = "hang"
    SPLAT = "splat"
    FLAKY = "flaky"
    NOT_RUN = "not_run"


class ObservationStatus(StrEnum):
    """How a case ended in the guest, before anyone interprets it."""

    LOADED = "loaded"  # the program (and its maps) exist in the kernel
    FAILED = "failed"  # a stage said no; `stage` and `errno` tell which
    CRASH = "crash"  # the kernel, the agent or QEMU died under the case
    HANG = "hang"  # the time limit passed


class ProgramKind(StrEnum):
    """What a program's file is: a Jinja template, plain C, or an object somebody compiled."""

    TEMPLATE = "template"
    SOURCE = "source"
    OBJECT = "object"


@dataclass(frozen=True, slots=True)
class Origin:
    """A place in a file a person wrote, for messages (`line` counts from 1)."""

    file: Path
    line: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, order=True)
class KernelVersion:
    """An upstream version; `patch` is 0 where a text names none."""

    major: int
    minor: int
    patch: int = 0

    @classmethod
    def parse(cls, text: str) -> KernelVersion:
        """The first `X.Y[.Z]` in `text` (`v5.4.290`, `6.12.117+deb13-amd64`); ValueError if none."""
        match = _VERSION.search(text)
        if match is None:
            raise ValueError(f"no kernel version in {text!r}")
        major, minor, patch = match.groups()
        return cls(int(major), int(minor), int(patch or 0))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True, slots=True)
class VersionRange:
    """Kernel versions between bounds, written `>=5.8,<6.1`, `5.10` (that series) or `*` (all).

    A bound compares only as many components as it names: `<=5.10` and a bare `5.10` include
    5.10.262, `>5.10` starts with 5.11.
    """

    text: str
    bounds: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @classmethod
    def parse(cls, text: str) -> VersionRange:
        """Raise ValueError with the part that is not a comparison."""
        if text.strip() == "*":
            return cls("*")
        bounds: list[tuple[str, tuple[int, ...]]] = []
        for part in text.split(","):
            match = _COMPARISON.fullmatch(part)
            if match is None:
                raise ValueError(f"{part.strip()!r} is not a comparison like '>=5.8' or '5.10'")
            operator = match[1] or "=="
            bounds.append(("==" if operator == "=" else operator, tuple(map(int, match[2].split(".")))))
        return cls(text.strip(), tuple(bounds))

    def __contains__(self, version: KernelVersion) -> bool:
        full = (version.major, version.minor, version.patch)
        return all(_holds(full[: len(bound)], operator, bound) for operator, bound in self.bounds)

    def __str__(self) -> str:
        return self.text


def _holds(left: tuple[int, ...], operator: str, right: tuple[int, ...]) -> bool:
    match operator:
        case ">=":
            return left >= right
        case "<=":
            return left <= right
        case ">":
            return left > right
        case "<":
            return left < right
        case _:
            return left == right


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel on disk, ready to boot. Made by `harness.kernels`, used by `harness.guest`."""

    name: str  # the entry's name, e.g. "5.10"
    version: KernelVersion  # upstream version, e.g. 5.10.262
    release: str  # what `uname -r` prints, e.g. "5.10.0-46-amd64"
    source: str  # "debian bullseye-security", "mainline v5.4.290", "image"
    sha256: str  # of `image`
    image: Path
    modules: tuple[Path, ...] = ()  # uncompressed .ko files in load order (virtio console)
    package: str | None = None
    package_version: str | None = None
    config: Path | None = None
    btf: Path | None = None  # the BTF the image itself carries, as a raw .BTF blob
    external_btf: Path | None = None  # handed to libbpf as btf_custom_path
    boot_args: tuple[str, ...] = ()
    memory_mib: int = 448
    cpus: int = 1

    @property
    def title(self) -> str:
        """The column header: upstream version, and the release where that says something else."""
        version = str(self.version)
        return version if self.release.startswith(version) else f"{version} ({self.release})"


@dataclass(frozen=True, slots=True)
class Compiler:
    """One clang: `name` as a person writes it (`clang-19`), `version` as it reports itself."""

    name: str
    path: Path
    version: str

    @property
    def major(self) -> int:
        """The first number of the version, 19 of "19.1.7"."""
        return int(self.version.partition(".")[0])


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """How a case is loaded; every privilege and limit is explicit."""

    loader: Loader = Loader.LIBBPF
    memlock: int | None = None  # RLIMIT_MEMLOCK in bytes, None = unlimited
    capabilities: tuple[str, ...] | None = None  # "CAP_BPF", …; None = all
    time_limit_s: float = 30.0
    log_bytes: int = 1 << 20  # bound of the full verifier log
    cpus: int | None = None  # processors of the guest, None = the kernel's entry
    disposable: bool = False  # the case leaves the guest unusable: it is thrown away afterwards


@dataclass(frozen=True, slots=True)
class Expected:
    """The answer a manifest expects of one variant on one kernel."""

    verdict: VerdictKind
    stage: Stage | None = None
    errno: str | None = None
    message: str | None = None  # regular expression, searched in verifier log and loader log
    unmeasured: bool = False  # written from documented history, nobody ran it yet
    why: str = ""
    behaviour: Behaviour | None = None  # of an accepted program with checks


@dataclass(frozen=True, slots=True)
class Expectation:
    """One entry of a manifest's `expect` list; the first whose conditions hold decides."""

    expected: Expected
    kernels: VersionRange
    when: Mapping[str, tuple[str | int | bool, ...]]  # axis -> values it covers
    needs: tuple[str, ...]  # guest facts: "btf", "map_type.ringbuf", "config.X"; "!x" = lacks x
    origin: Origin


class ClaimKind(StrEnum):
    """What a claim is matched on, and whether it must match; the values are a manifest's keys."""

    INSNS = "insns"  # the disassembly holds it
    LACKS = "lacks"  # the disassembly does not
    BTF = "btf"  # the object's types hold it
    LACKS_BTF = "lacks_btf"  # they do not


@dataclass(frozen=True, slots=True)
class Claim:
    """What a variant's object must hold (or not) for its answer to mean what the manifest says."""

    kind: ClaimKind
    pattern: str  # regular expression, `^` and `$` match at lines
    origin: Origin
    function: str | None = None  # match in this function's instructions only
    times: int | None = None  # exactly so many matches; None = one or more
    why: str = ""


@dataclass(frozen=True, slots=True)
class Variant:
    """One point of a program's axes; `name` is what stands in the brackets of a case id."""

    name: str
    values: Mapping[str, str | int | bool] = field(default_factory=lambda: MappingProxyType({}))
    settings: LoadSettings = LoadSettings()
    bpf_program: str | None = None  # the program inside the object; None = its only one
    slow: bool = False  # deliberately exhausts a limit of the verifier
    scenario: tuple[Step, ...] = ()  # what is done after opening the object; empty: it is only loaded
    checks: tuple[Check, ...] = ()
    claims: tuple[Claim, ...] = ()  # what its object must hold


@dataclass(frozen=True, slots=True)
class HostPart:
    """User-space code compiled on this machine for every value of the axis `cc`; nothing is loaded."""

    source: Path  # its Jinja template
    skeleton: bool = False  # it includes skel.h, which bpftool makes of the object


@dataclass(frozen=True, slots=True)
class Program:
    """A file of the catalogue, or one a person handed in."""

    name: str  # "programs/maps/ringbuf_size", or the file's name when there is no manifest
    path: Path
    kind: ProgramKind
    variants: tuple[Variant, ...]  # empty: one row per BPF program found in the object
    title: str = ""
    pitfall: str = ""  # "N01"
    note: str = ""  # where the claim comes from, "note N, item 1"
    claim: str = ""
    expectations: tuple[Expectation, ...] = ()
    origin: Origin | None = None  # the manifest
    advice: Advice | None = None
    host: HostPart | None = None  # its rows are the host's, not the kernels'

    @property
    def has_manifest(self) -> bool:
        """Whether somebody wrote down what to expect."""
        return self.origin is not None


@dataclass(frozen=True, slots=True)
class BuiltObject:
    """A compiled object. `source` is the rendered C text ("" for a foreign object)."""

    path: Path
    sha256: str
    source: str
    compiler: Compiler | None
    programs: tuple[str, ...]  # names of the BPF programs in it, in section order
    warnings: str = ""  # the compiler's words about a text it accepted


@dataclass(frozen=True, slots=True)
class BuildFailure:
    """Rendering, compiling or reading the object said no: a verdict of that stage."""

    stage: Stage  # render, compile or open
    message: str  # the tool's own words
    source: str = ""
    compiler: Compiler | None = None
    errno: str | None = None
    # Nobody said no: the object is not what its manifest claims, or a compiler of the host is not there.
    no_answer: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One variant on one kernel, built by one compiler."""

    program: Program
    variant: Variant
    kernel: str
    compiler: Compiler | None = None
    tag_compiler: bool = False  # several compilers in this run: the id must tell them apart

    @property
    def id(self) -> str:
        """`programs/<family>/<pitfall>[<variant>]@<kernel>`, unique within a run."""
        tag = f"+{self.compiler.name}" if self.tag_compiler and self.compiler else ""
        return f"{self.program.name}[{self.variant.name}{tag}]@{self.kernel}"


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
class GuestFacts:
    """What a guest said of itself when it became ready."""

    release: str
    version_text: str  # uname -v
    has_btf: bool
    map_types: frozenset[str]  # creatable, measured: "ringbuf", "hash", …
    libbpf: str
    agent: str  # content hash of the agent's sources
    config: frozenset[str] = frozenset()  # CONFIG_… that are y or m, as far as known

    def has(self, need: str) -> bool:
        """Whether a `needs` word of a manifest holds.

        `btf`, `map_type.X`, `config.X`, `libbpf.1.4` (that version or a newer one), or `!` of one.
        """
        if need.startswith("!"):
            return not self.has(need[1:])
        kind, _, name = need.partition(".")
        if kind == "map_type":
            return name in self.map_types
        if kind == "config":
            return name.removeprefix("CONFIG_") in self.config
        if kind == "libbpf":
            return self.libbpf_version >= tuple(int(part) for part in name.split("."))
        return kind == "btf" and self.has_btf

    @property
    def libbpf_version(self) -> tuple[int, ...]:
        """The loader's version as numbers, `(1, 1)` for "v1.1"."""
        return tuple(int(part) for part in re.findall(r"\d+", self.libbpf))


@dataclass(frozen=True, slots=True)
class KernelRun:
    """One kernel of a run: what it was and how it came up; `problem` when it did not."""

    name: str
    version: str
    release: str
    title: str
    source: str
    sha256: str
    package: str | None = None
    package_version: str | None = None
    accel: str | None = None
    boot_seconds: float | None = None
    restored: bool | None = None
    has_btf: bool | None = None
    libbpf: str | None = None  # version of the libbpf inside the agent that loaded
    problem: str | None = None  # why nothing ran on it


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
