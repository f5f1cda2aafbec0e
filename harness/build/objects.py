"""Compiled BPF objects: refused when no loader could use them, else the programs in them.

The rules are libbpf's (src/libbpf.c, bpf_object__elf_collect and bpf_object__add_programs): a program
is a function symbol in an executable section; those in `.text` are subprograms, called by the others.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from harness.errors import UserError

MAX_BYTES = 64 << 20
_EXECUTABLE = 0x4  # SHF_EXECINSTR
_CLANG_HINT = "compile it with `clang -target bpf -O2 -g -c`"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """A BPF object that can be handed to a loader; `programs` in section order."""

    path: Path
    sha256: str
    programs: tuple[str, ...]


def read_object(path: Path) -> ObjectInfo:
    """Return what is in the object at `path`.

    Raises UserError: unreadable, above 64 MiB, not ELF or truncated, not for BPF, big-endian, not
    relocatable, with a legacy `maps` section, or without a program. Never another exception: the bytes
    may be hostile.
    """
    raw = read_elf(path)
    return ObjectInfo(path, hashlib.sha256(raw).hexdigest(), inspect(raw, str(path)))


def inspect(raw: bytes, where: str) -> tuple[str, ...]:
    """Return the names of the BPF programs in the object `raw`; UserError, naming `where`, if unusable."""
    try:
        return tuple(_programs(ELFFile(Metered(raw)), where))
    except UserError:
        raise
    except Exception as error:  # pyelftools lets AssertionError, ConstructError, RecursionError … through
        raise UserError(
            f"truncated or damaged ELF file ({type(error).__name__})", where=where, hint=_CLANG_HINT
        ) from error


def read_elf(path: Path) -> bytes:
    """Return the bytes of an ELF file; UserError: unreadable, above 64 MiB, or something else than ELF."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    if len(raw) > MAX_BYTES:
        raise UserError(
            f"larger than {MAX_BYTES >> 20} MiB; no BPF object is", where=str(path), hint="`llvm-strip -g` it"
        )
    if not raw.startswith(b"\x7fELF"):
        what = "an empty file" if not raw else f"not an ELF file (begins with {raw[:8]!r})"
        raise UserError(what, where=str(path), hint=_CLANG_HINT)
    return raw


class Metered(io.BytesIO):
    """Bounds the work on a hostile file: overlapping tables cannot be read over and over."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self._left = 4 * len(raw) + (4 << 20)

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, charging at least 64 bytes a call."""
        data = super().read(size)
        self._left -= max(len(data), 64)
        if self._left < 0:
            raise ValueError("tables overlap")
        return data


def _programs(elf: Any, where: str) -> Iterator[str]:
    _check_header(elf, where)
    sections = list(elf.iter_sections())
    if any(section.name == "maps" for section in sections):
        raise UserError(
            "has a legacy `maps` section, which libbpf 1.0 and later refuse",
            where=where,
            hint='declare the maps BTF-style: struct { __uint(type, …); … } name SEC(".maps");',
        )
    symbols = _symbols(sections, where)
    if not symbols:
        raise UserError(
            "no BPF programs: no global function outside .text",
            where=where,
            hint='give each program a section: SEC("tracepoint/…") int name(…)',
        )
    yield from (name for _, _, name in sorted(symbols))


def _check_header(elf: Any, where: str) -> None:
    if not elf.little_endian:
        raise UserError("big-endian; the guests are x86-64", where=where, hint="compile with -target bpfel")
    if elf["e_machine"] != "EM_BPF":
        raise UserError(
            f"an ELF file for {elf['e_machine']}, not for BPF (EM_BPF)", where=where, hint=_CLANG_HINT
        )
    if elf.elfclass != 64 or elf["e_type"] != "ET_REL":
        raise UserError(f"not a relocatable 64-bit object ({elf['e_type']})", where=where, hint=_CLANG_HINT)


def _symbols(sections: list[Any], where: str) -> list[tuple[int, int, str]]:
    """(section number, offset, name) of every program; names are unique C identifiers."""
    found: list[tuple[int, int, str]] = []
    for table in sections:
        if not isinstance(table, SymbolTableSection):
            continue
        for symbol in table.iter_symbols():
            index = symbol["st_shndx"]
            if _is_program(symbol) and isinstance(index, int) and _holds_programs(sections, index):
                found.append((index, symbol["st_value"], symbol.name))
    seen: set[str] = set()
    for _, _, name in found:
        if not name.isidentifier() or not name.isascii() or name in seen:
            raise UserError(f"odd or repeated program name {name[:40]!r}", where=where)
        seen.add(name)
    return found


def _is_program(symbol: Any) -> bool:
    info = symbol["st_info"]
    return info["type"] == "STT_FUNC" and info["bind"] in ("STB_GLOBAL", "STB_WEAK")


def _holds_programs(sections: list[Any], index: int) -> bool:
    if not 0 < index < len(sections):
        return False
    section = sections[index]
    executable = section["sh_flags"] & _EXECUTABLE
    return bool(section["sh_type"] == "SHT_PROGBITS" and executable and section.name != ".text")
