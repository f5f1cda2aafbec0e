"""A BPF object as it is read: functions, relocations, maps, externs. Nothing interpreted yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import NamedTuple

from harness.build.btftypes import Btf


class Instruction(NamedTuple):
    """One slot of 8 bytes; `wide` is the whole constant of a 16-byte load, whose second slot follows."""

    code: int
    dst: int
    src: int
    off: int
    imm: int
    wide: int | None = None


class TargetKind(StrEnum):
    """What a relocation of the object points at."""

    MAP = "map"
    DATA = "data"  # a variable of .data, .rodata, .bss
    FUNCTION = "function"
    EXTERN = "extern"
    OTHER = "other"


class Target(NamedTuple):
    """What an instruction refers to: a map, a variable's section, a function, an extern."""

    kind: TargetKind
    name: str
    section: str = ""
    offset: int = 0  # bytes from the section's start, for functions and data


class RelocationKind(IntEnum):
    """enum bpf_core_relo_kind of the kernel's UAPI, with libbpf's words for them in `words`."""

    FIELD_BYTE_OFFSET = 0
    FIELD_BYTE_SIZE = 1
    FIELD_EXISTS = 2
    FIELD_SIGNED = 3
    FIELD_LSHIFT_U64 = 4
    FIELD_RSHIFT_U64 = 5
    TYPE_ID_LOCAL = 6
    TYPE_ID_TARGET = 7
    TYPE_EXISTS = 8
    TYPE_SIZE = 9
    ENUMVAL_EXISTS = 10
    ENUMVAL_VALUE = 11
    TYPE_MATCHES = 12

    @property
    def is_field(self) -> bool:
        """Whether it concerns a member of a struct or union."""
        return self <= RelocationKind.FIELD_RSHIFT_U64

    @property
    def is_enumerator(self) -> bool:
        """Whether it concerns one name of an enum."""
        return self in (RelocationKind.ENUMVAL_EXISTS, RelocationKind.ENUMVAL_VALUE)

    @property
    def asks(self) -> bool:
        """Whether its value says if something is there: what a guard is made of."""
        return self in _ASKING

    @property
    def must_fit(self) -> bool:
        """Whether the instruction becomes an invalid one where the kernel has nothing that fits."""
        return not self.asks and self is not RelocationKind.TYPE_ID_LOCAL


_ASKING = frozenset(
    {
        RelocationKind.FIELD_EXISTS,
        RelocationKind.TYPE_EXISTS,
        RelocationKind.ENUMVAL_EXISTS,
        RelocationKind.TYPE_MATCHES,
        RelocationKind.TYPE_SIZE,  # 0 where there is no such type
        RelocationKind.TYPE_ID_TARGET,
    }
)


class CoreRelocation(NamedTuple):
    """A CO-RE relocation of .BTF.ext: `type` in the object's own BTF, `access` like "0:1:2"."""

    kind: RelocationKind
    type: int
    access: str


@dataclass(frozen=True, slots=True)
class Function:
    """A function: a program (`is_program`) or a subprogram. Instruction numbers count from its start."""

    name: str
    section: str
    offset: int  # bytes from the section's start
    instructions: tuple[Instruction, ...]
    is_program: bool
    is_global: bool
    targets: Mapping[int, Target] = field(default_factory=dict)  # by instruction
    core: Mapping[int, CoreRelocation] = field(default_factory=dict)  # by instruction


@dataclass(frozen=True, slots=True)
class MapDefinition:
    """A map as declared; `type` and `flags` are UAPI numbers, 0 where the declaration leaves them out."""

    name: str
    type: int | None
    flags: int = 0
    value_type: int = 0  # in the object's BTF
    inner: bool = False  # the declared inner map of a map of maps
    max_entries: int = 0
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Extern:
    """Something the object expects from outside; `section` is `.ksyms` or `.kconfig`, "" where unknown."""

    name: str
    section: str
    weak: bool
    is_function: bool
    type: int = 0  # in the object's BTF
    typed: bool = False  # a variable with a type, looked up in the kernel's BTF


class Constant(NamedTuple):
    """A number in `.rodata`: what it is unless the object's loader sets it before loading."""

    name: str
    size: int
    value: int


@dataclass(frozen=True, slots=True)
class BpfObject:
    """Everything read of one file. `notes` says, in sentences, what could not be."""

    name: str
    sha256: str
    functions: tuple[Function, ...]
    maps: tuple[MapDefinition, ...] = ()
    externs: Mapping[str, Extern] = field(default_factory=dict)
    data_sections: tuple[str, ...] = ()
    constants: Mapping[tuple[str, int], Constant] = field(default_factory=dict)  # by section and offset
    btf: Btf | None = None
    license: str = ""
    big_endian: bool = False
    notes: tuple[str, ...] = ()
    relocated: int = 0  # CO-RE relocations in all

    @property
    def programs(self) -> tuple[Function, ...]:
        """The functions a loader loads, in section order."""
        return tuple(function for function in self.functions if function.is_program)
