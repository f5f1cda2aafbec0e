"""Whether an object holds what a scenario's steps name, so that a slip is found before any guest boots.

Names are those of the ELF symbol table: maps are the objects of section `.maps`, global variables those of
`.data`, `.rodata` and `.bss` (libbpf's src/libbpf.c, bpf_object__init_user_btf_maps and
bpf_object__init_global_data_maps), static ones included.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from harness.build.objectcache import cache_error, write_atomic
from harness.catalog.schemacheck import suggest
from harness.errors import UserError
from harness.model import BuiltObject, Origin, Program, Variant
from harness.scenario import Step, StepOp

_OF_PROGRAM = frozenset({StepOp.ATTACH, StepOp.DETACH, StepOp.TEST_RUN})
_OF_GLOBAL = frozenset({StepOp.SET, StepOp.READ})
_OF_MAP = frozenset(
    {
        StepOp.UPDATE,
        StepOp.LOOKUP,
        StepOp.DELETE,
        StepOp.FILL,
        StepOp.COUNT,
        StepOp.RING,
        StepOp.PERF_OPEN,
        StepOp.PERF,
    }
)
_VARIABLES = (".data", ".rodata", ".bss")


@dataclass(frozen=True, slots=True)
class _Names:
    """What an object defines, in the order of its symbol table."""

    programs: tuple[str, ...]
    maps: tuple[str, ...]
    variables: tuple[str, ...]


def check_steps(program: Program, variant: Variant, built: BuiltObject, folder: Path) -> None:
    """Raise UserError at the first step that names a program, map or variable the object lacks.

    `folder` keeps what an object defines; UserError, too, when it cannot be written.
    """
    if not variant.scenario:
        return
    names = _kept_names(built, folder)
    for step in variant.scenario:
        for name, kind, known in _named(step, names):
            if name not in known:
                raise UserError(
                    f"the object of {variant.name} has no {kind} {name!r}; "
                    f"{suggest(name, known, f'{kind}s')}",
                    where=_where(program, step),
                    hint="a name the compiler dropped is there when it is used, or not static",
                )


def _named(step: Step, names: _Names) -> Iterator[tuple[str, str, Iterable[str]]]:
    """What the step names: the name, the kind of thing, and all of that kind the object has."""
    if step.op in _OF_PROGRAM:
        yield step.name, "BPF program", names.programs
    elif step.op in _OF_MAP:
        yield step.name, "map", names.maps
    elif step.op in _OF_GLOBAL:
        yield step.name, "global variable", names.variables
    elif step.op is StepOp.TRIGGER and step.name == "concurrent":
        yield step.args[0], "map", names.maps
        if len(step.args) > 2:
            yield step.args[2], "BPF program", names.programs


def _kept_names(built: BuiltObject, folder: Path) -> _Names:
    """The names as kept beside the objects (reading a symbol table takes 5 ms), else read and kept."""
    kept = folder / f"{built.sha256}.names"
    try:
        maps, variables = json.loads(kept.read_bytes())
        return _Names(built.programs, tuple(map(str, maps)), tuple(map(str, variables)))
    except (OSError, ValueError, TypeError):
        names = _names(built)
    try:
        write_atomic(kept, json.dumps([names.maps, names.variables]).encode())
    except OSError as error:
        raise cache_error(error, folder) from error
    return names


def _names(built: BuiltObject) -> _Names:
    maps: list[str] = []
    variables: list[str] = []
    with built.path.open("rb") as file:
        for section, name in _objects(ELFFile(file)):
            if section == ".maps":
                maps.append(name)
            elif section.startswith(_VARIABLES):
                variables.append(name)
    return _Names(built.programs, tuple(maps), tuple(variables))


def _objects(elf: Any) -> Iterator[tuple[str, str]]:
    """Section and name of every data symbol; the object was compiled here, so its tables are sound."""
    sections = list(elf.iter_sections())
    for table in sections:
        if isinstance(table, SymbolTableSection):
            for symbol in table.iter_symbols():
                index = symbol["st_shndx"]
                if symbol["st_info"]["type"] == "STT_OBJECT" and isinstance(index, int):
                    yield sections[index].name, symbol.name


def _where(program: Program, step: Step) -> Origin | None:
    if program.origin is None:
        return None
    return Origin(program.origin.file, step.line)
