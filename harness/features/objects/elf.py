"""The ELF side of a BPF object: sections, symbols and relocations, read by pyelftools.

What libbpf would refuse to open is a UserError; what is missing (symbols, BTF) is for the caller to miss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

from harness.build.objects import Metered
from harness.errors import UserError

_EXECUTABLE = 0x4  # SHF_EXECINSTR
_MAX_SECTIONS = 4096
_MAX_SYMBOLS = 200_000
_HINT = "compile it with `clang -target bpf -O2 -g -c`"


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the file; `data` is empty for those that take no room in it."""

    name: str
    data: bytes
    executable: bool
    size: int


class Symbol(NamedTuple):
    """A symbol; `section` is its section's number, None where it is not defined here, -1 for none at all."""

    name: str
    section: int | None
    value: int
    size: int
    kind: str  # STT_FUNC, STT_SECTION, …
    bind: str  # STB_GLOBAL, STB_WEAK, STB_LOCAL


@dataclass(frozen=True, slots=True)
class ElfObject:
    """What an object file holds; `relocations[n]` are (byte offset, symbol number) of section n."""

    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]
    relocations: dict[int, tuple[tuple[int, int], ...]]
    big_endian: bool

    def section(self, name: str) -> Section | None:
        """The first section of that name."""
        return next((section for section in self.sections if section.name == name), None)


def read_elf_object(raw: bytes, where: str) -> ElfObject:
    """Read `raw`. UserError, naming `where`: no ELF, damaged, not for BPF, not a relocatable object.

    Never another exception: the bytes may be hostile. Work is bounded by the file's size.
    """
    try:
        return _read(ELFFile(Metered(raw)), len(raw), where)
    except UserError:
        raise
    except Exception as error:  # pyelftools lets AssertionError, ConstructError, RecursionError … through
        raise UserError(
            f"truncated or damaged ELF file ({type(error).__name__})", where=where, hint=_HINT
        ) from error


def _read(elf: Any, length: int, where: str) -> ElfObject:
    if elf["e_machine"] != "EM_BPF":
        raise UserError(
            f"an ELF file for {str(elf['e_machine'])[:40]}, not for BPF (EM_BPF)", where=where, hint=_HINT
        )
    if elf.elfclass != 64 or elf["e_type"] != "ET_REL":
        raise UserError(
            f"not a relocatable 64-bit object ({str(elf['e_type'])[:40]})", where=where, hint=_HINT
        )
    if elf.num_sections() > _MAX_SECTIONS:
        raise UserError(f"{elf.num_sections()} sections; no BPF object has so many", where=where)
    found = list(elf.iter_sections())
    table = next((section for section in found if isinstance(section, SymbolTableSection)), None)
    return ElfObject(
        tuple(_section(section, length, where) for section in found),
        tuple(_symbols(table, where)) if table is not None else (),
        {
            section["sh_info"]: tuple((entry["r_offset"], entry["r_info_sym"]) for entry in _entries(section))
            for section in found
            if isinstance(section, RelocationSection)
        },
        not elf.little_endian,
    )


def _entries(section: Any) -> Any:
    return section.iter_relocations() if section["sh_entsize"] else ()


def _section(section: Any, length: int, where: str) -> Section:
    here = section["sh_type"] not in ("SHT_NOBITS", "SHT_NULL")
    end = section["sh_offset"] + section["sh_size"]
    if here and end > length:
        raise UserError(
            f"truncated: section {section.name[:40]!r} ends at {end} of {length} bytes",
            where=where,
            hint=_HINT,
        )
    executable = bool(section["sh_flags"] & _EXECUTABLE) and section["sh_type"] == "SHT_PROGBITS"
    return Section(section.name, section.data() if here else b"", executable, section["sh_size"])


def _symbols(table: Any, where: str) -> list[Symbol]:
    if table["sh_entsize"] == 0 or table.num_symbols() > _MAX_SYMBOLS:
        raise UserError("a symbol table no BPF object has", where=where)
    symbols = []
    for symbol in table.iter_symbols():
        index = symbol["st_shndx"]
        info = symbol["st_info"]
        section = index if isinstance(index, int) else (None if index == "SHN_UNDEF" else -1)
        symbols.append(
            Symbol(symbol.name, section, symbol["st_value"], symbol["st_size"], info["type"], info["bind"])
        )
    return symbols
