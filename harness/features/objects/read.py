"""Reading a BPF object whole: the entrance of this room.

The rules for what is a program are libbpf's (bpf_object__elf_collect, bpf_object__add_programs): function
symbols in executable sections; those in `.text` are subprograms. What cannot be read is said in `notes`, and
the rest is read all the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from harness.build import btftypes as kinds
from harness.build.btftypes import Btf, BtfError
from harness.build.objects import read_elf
from harness.errors import UserError
from harness.features.objects.elf import ElfObject, Symbol, read_elf_object
from harness.features.objects.externs import read_constants, read_externs
from harness.features.objects.extinfo import ExtInfo, read_ext
from harness.features.objects.instructions import decode, target_of
from harness.features.objects.maps import LEGACY, read_legacy_maps, read_maps
from harness.features.objects.model import (
    BpfObject,
    Constant,
    Extern,
    Function,
    Instruction,
    MapDefinition,
    Target,
)

MAX_INSTRUCTIONS = 2_000_000  # of an object; a program may have a million
_DATA = (".data", ".rodata", ".bss")
_SUBPROGRAMS = ".text"
_NO_EXT = ExtInfo({}, {})


def read_bpf_object(path: Path) -> BpfObject:
    """Read the object at `path`.

    Raises UserError: unreadable, above 64 MiB, not ELF or damaged, not for BPF, or with nothing executable.
    """
    return parse_bpf_object(read_elf(path), str(path))


def parse_bpf_object(raw: bytes, where: str) -> BpfObject:
    """Read the object `raw`; `where` names it in messages. Raises UserError as `read_bpf_object`."""
    return _Reader(read_elf_object(raw, where), where).read(hashlib.sha256(raw).hexdigest())


class _Reader:
    """One object on its way; `notes` collects what it has to do without."""

    def __init__(self, elf: ElfObject, where: str) -> None:
        self._elf = elf
        self._where = where
        self._notes: list[str] = []
        self._btf: Btf | None = None
        self._ext = _NO_EXT
        self._left = 2 * MAX_INSTRUCTIONS  # functions may overlap in a hostile file

    def read(self, sha256: str) -> BpfObject:
        """Read everything; see `read_bpf_object`."""
        elf = self._elf
        code = self._code()
        self._read_btf()
        self._miss_symbols()
        maps = self._maps()
        functions = tuple(function for number in code for function in self._functions(number, maps))
        return BpfObject(
            name=Path(self._where).name,
            sha256=sha256,
            functions=functions,
            maps=tuple(definition for _, definition in maps),
            externs=self._externs(),
            data_sections=tuple(s.name for s in elf.sections if s.name.startswith(_DATA) and s.size),
            constants=self._constants(),
            btf=self._btf,
            license=self._license(),
            big_endian=elf.big_endian,
            notes=tuple(self._notes),
            relocated=sum(len(found) for found in self._ext.relocations.values()),
        )

    def _code(self) -> list[int]:
        sections = self._elf.sections
        code = [number for number, section in enumerate(sections) if section.executable and section.size]
        if not code:
            raise UserError(
                "no BPF programs: no section holds instructions",
                where=self._where,
                hint='give each program a section: SEC("tracepoint/…") int name(…)',
            )
        if sum(sections[number].size for number in code) > 8 * MAX_INSTRUCTIONS:
            raise UserError(
                f"more than {MAX_INSTRUCTIONS:,} instructions; a kernel takes a million", where=self._where
            )
        return code

    def _read_btf(self) -> None:
        section, ext = self._elf.section(".BTF"), self._elf.section(".BTF.ext")
        if section is None:
            self._notes.append(
                "no BTF: maps, kfuncs, externs and CO-RE relocations are not known; compile with `-g`"
            )
            return
        try:
            self._btf = Btf(section.data)
            if ext is not None:
                self._ext = read_ext(ext.data, self._btf)
        except BtfError as error:
            what = "CO-RE relocations are" if self._btf else "types, maps, externs and CO-RE relocations are"
            self._notes.append(f"damaged BTF ({error}): {what} not known")
        if self._ext.unknown:
            self._notes.append(
                f"CO-RE relocations of unknown kinds: {', '.join(map(str, self._ext.unknown))}"
            )

    def _miss_symbols(self) -> None:
        if not any(symbol.kind == "STT_FUNC" for symbol in self._elf.symbols):
            self._notes.append(
                "no function symbols (a stripped object): each section is taken for one function, and what "
                "its instructions refer to is known in part; libbpf refuses such an object"
            )
        if self._elf.big_endian:
            self._notes.append("big-endian: it is read, but not loaded, as the guests are x86-64")

    def _maps(self) -> list[tuple[int, MapDefinition]]:
        if any(section.name == LEGACY for section in self._elf.sections):
            self._notes.append("a legacy `maps` section, which libbpf 1.0 and later refuse")
            return list(read_legacy_maps(self._elf))
        try:
            return list(read_maps(self._btf)) if self._btf is not None else []
        except BtfError as error:
            self._notes.append(f"damaged BTF ({error}): maps are not known")
            return []

    def _externs(self) -> dict[str, Extern]:
        undefined = {s.name: s for s in self._elf.symbols if s.section is None and s.name}
        try:
            return read_externs(undefined, self._btf)
        except BtfError as error:
            self._notes.append(f"damaged BTF ({error}): externs are known by name only")
            return read_externs(undefined, None)

    def _constants(self) -> dict[tuple[str, int], Constant]:
        sections = {s.name: s.data for s in self._elf.sections if s.name.startswith(".rodata")}
        try:
            return read_constants(self._btf, sections) if self._btf is not None else {}
        except BtfError:
            return {}  # nothing is optional then

    def _license(self) -> str:
        section = self._elf.section("license")
        return section.data.partition(b"\0")[0][:64].decode(errors="replace") if section else ""

    def _functions(self, number: int, maps: list[tuple[int, MapDefinition]]) -> Iterator[Function]:
        """The functions of a section, in order."""
        section = self._elf.sections[number]
        decoded = decode(section.data, big_endian=self._elf.big_endian)
        targets = self._targets(number, decoded, dict(maps))
        core = self._ext.relocations.get(section.name, {})
        for symbol in self._symbols(number, len(section.data)):
            start, end = symbol.value // 8, min((symbol.value + symbol.size) // 8, len(decoded))
            self._left -= max(0, end - start)
            if self._left < 0:
                raise UserError("functions that overlap", where=self._where)
            if end > start:
                yield Function(
                    symbol.name,
                    section.name,
                    symbol.value,
                    tuple(decoded[start:end]),
                    section.name != _SUBPROGRAMS and symbol.bind != "STB_LOCAL",
                    self._is_global(section.name, symbol),
                    {at - start: targets[at] for at in range(start, end) if at in targets},
                    {at - start: core[8 * at] for at in range(start, end) if 8 * at in core},
                )

    def _symbols(self, number: int, size: int) -> list[Symbol]:
        found = {s.value: s for s in self._elf.symbols if s.kind == "STT_FUNC" and s.section == number}
        if not found:
            return [Symbol(self._elf.sections[number].name, number, 0, size, "STT_FUNC", "STB_GLOBAL")]
        return [found[value] for value in sorted(found)]

    def _is_global(self, section: str, symbol: Symbol) -> bool:
        """Whether the kernel verifies it on its own: the linkage in BTF decides, which libbpf takes over."""
        number = self._ext.functions.get(section, {}).get(symbol.value, 0)
        try:
            found = self._btf[number] if self._btf is not None else None
        except BtfError:
            return False
        return found is not None and found.kind == kinds.FUNC and found.vlen == 1

    def _targets(
        self, number: int, decoded: list[Instruction], maps: dict[int, MapDefinition]
    ) -> dict[int, Target]:
        """By instruction of the section: what its relocation points at."""
        found: dict[int, Target] = {}
        for offset, index in self._elf.relocations.get(number, ()):
            at = offset // 8
            if 0 <= at < len(decoded) and index < len(self._elf.symbols):
                symbol = self._elf.symbols[index]
                place = None
                if symbol.section is not None and 0 < symbol.section < len(self._elf.sections):
                    place = self._elf.sections[symbol.section]
                found[at] = target_of(symbol, place, decoded[at], maps)
        return found
