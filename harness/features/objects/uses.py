"""What a use is: a feature an object depends on, who in it does, and whether it can do without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from harness.features.objects.model import CoreRelocation
from harness.features.objects.sections import AttachCheck
from harness.features.types import FeatureKind


class UseKind(StrEnum):
    """Kinds of features, by the names asking knows them, and what only BTF or configuration tells."""

    HELPER = "helper"
    KFUNC = "kfunc"
    MAP_TYPE = "map_type"
    MAP_FLAG = "map_flag"
    PROGRAM_TYPE = "program_type"
    PROGRAM_FLAG = "program_flag"
    ATTACH_TYPE = "attach_type"
    LANGUAGE = "language"
    BTF_KIND = "btf_kind"
    CORE = "core"  # a CO-RE relocation that must be satisfied
    TARGET = "target"  # what the program is attached to, looked up when it is loaded
    KSYM = "ksym"
    KCONFIG = "kconfig"
    LIMIT = "limit"  # more than any kernel takes
    UNDEFINED = "undefined"  # a name nobody defines, so that libbpf refuses the object

    @property
    def feature(self) -> FeatureKind | None:
        """The kind of feature it can be asked as; None where BTF or configuration decides."""
        if self is UseKind.BTF_KIND:
            return FeatureKind.LANGUAGE
        return FeatureKind(self.value) if self.value in _ASKABLE else None


_ASKABLE = frozenset(kind.value for kind in FeatureKind)


class Necessity(StrEnum):
    """Whether an object depends on what it uses."""

    NEEDED = "needed"
    OPTIONAL = "optional"  # behind a guard, weak, or not loaded unless asked for
    ADAPTED = "adapted"  # libbpf puts something else in its place where it is missing


@dataclass(frozen=True, slots=True, order=True)
class UseKey:
    """What is used. `detail` tells targets of one name apart (`func`, `typedef`, `struct`)."""

    kind: UseKind
    name: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Use:
    """One thing an object (`program` "") or a program of it uses."""

    key: UseKey
    program: str = ""
    program_type: str = ""  # short name, for helpers and kfuncs
    necessity: Necessity = Necessity.NEEDED
    check: AttachCheck = AttachCheck.LOAD
    why: str = ""  # the guard, what libbpf does, or which map
    places: tuple[str, ...] = ()  # "function+12", instructions counted from the function's start
    relocations: tuple[tuple[CoreRelocation, bool], ...] = ()  # and whether a load or store holds it
    guarded: bool = False  # optional because of a guard, which each kernel answers


@dataclass(frozen=True, slots=True)
class ProgramSummary:
    """A program: `program_type` is "" where the section's name says none."""

    name: str
    section: str
    program_type: str  # BPF_PROG_TYPE_…
    attach_type: str
    instructions: int  # with the subprograms it calls
    autoload: bool


@dataclass(frozen=True, slots=True)
class ObjectUses:
    """Everything an object uses, where the kernel is not known."""

    name: str
    sha256: str
    isa: int  # LLVM's -mcpu level it needs at least
    programs: tuple[ProgramSummary, ...]
    uses: tuple[Use, ...]
    notes: tuple[str, ...] = ()
    counts: Mapping[str, int] | None = None  # CO-RE relocations, maps, externs
