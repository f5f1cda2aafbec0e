"""Programs of the catalogue, their variants, what is expected of them and what is built of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from harness.advice import Advice
from harness.model.versions import Origin, VersionRange
from harness.model.words import Loader, ProgramKind, Stage, VerdictKind
from harness.scenario import Behaviour, Check, Step


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
