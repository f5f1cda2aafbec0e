"""Programs of the catalogue and programs people hand in: finding and naming them.

A program is a Jinja template (with a manifest beside it, or without), a plain C source, or a compiled
object. Only a manifest gives variants and expectations; the others are expanded once they are built,
one variant per BPF program in the object.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.catalog.manifest import read_manifest
from harness.catalog.templates import TEMPLATE_SUFFIX
from harness.errors import UserError
from harness.model import BuiltObject, LoadSettings, Origin, Program, ProgramKind, Variant
from harness.paths import project_root

_ACCEPTED = "a folder, a template (.bpf.c.j2), a C source (.bpf.c) or a compiled object (.bpf.o, .o)"
_SUFFIXES = (
    (TEMPLATE_SUFFIX, ProgramKind.TEMPLATE),
    (".bpf.c", ProgramKind.SOURCE),
    (".o", ProgramKind.OBJECT),
)
_MAX_FILES = 10_000


def load_programs(paths: Sequence[Path]) -> tuple[Program, ...]:
    """Return the programs in `paths` (folders recursively), each once, in the order given.

    Raises UserError: nothing at a path, a suffix nobody knows, a folder without programs, a manifest
    without its template, a broken manifest (every check of `harness.catalog.manifest`), two programs
    of the same name. Objects and sources are not read here.
    """
    files: dict[Path, ProgramKind] = {}
    for path in paths:
        for file, kind in _files(path):
            files.setdefault(file.resolve(), kind)
    return _distinct([_program(file, kind) for file, kind in files.items()])


def expand(program: Program, built: BuiltObject) -> tuple[Variant, ...]:
    """Return the variants of a program: the manifest's, else one per BPF program in the object."""
    if program.variants:
        return program.variants
    return tuple(Variant(name=name, settings=LoadSettings(), bpf_program=name) for name in built.programs)


def _files(path: Path) -> Iterator[tuple[Path, ProgramKind]]:
    if path.is_dir():
        yield from _in_folder(path)
        return
    if not path.exists():
        raise UserError("there is nothing at this path", where=str(path), hint=f"give {_ACCEPTED}")
    kind = _kind(path)
    if kind is None or not path.is_file():
        raise UserError(f"not a program: {_what(path)}", where=str(path), hint=f"give {_ACCEPTED}")
    yield path, kind


def _what(path: Path) -> str:
    if not path.is_file():
        return "it is no regular file"
    if path.suffix in (".yaml", ".yml"):
        return "a manifest; name its template instead"
    return f"the suffix {path.suffix!r} is not one of .bpf.c.j2, .bpf.c, .bpf.o, .o"


def _kind(path: Path) -> ProgramKind | None:
    return next((kind for suffix, kind in _SUFFIXES if path.name.endswith(suffix)), None)


def _in_folder(folder: Path) -> Iterator[tuple[Path, ProgramKind]]:
    found = 0
    for file in _walk(folder):
        kind = _kind(file)
        if kind is None:
            if file.suffix in (".yaml", ".yml"):
                _refuse_lone_manifest(file)
            continue
        found += 1
        if found > _MAX_FILES:
            raise UserError(
                f"more than {_MAX_FILES} programs", where=str(folder), hint="name a smaller folder"
            )
        yield file, kind
    if not found:
        raise UserError("no programs in this folder", where=str(folder), hint=f"give {_ACCEPTED}")


def _walk(folder: Path) -> Iterator[Path]:
    """Every regular file below, sorted; hidden folders (.git, .venv) and links to folders are left out."""
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (file for name in sorted(names) if (file := Path(here, name)).is_file())


def _refuse_lone_manifest(file: Path) -> None:
    """A manifest whose template is missing would be a silent hole in the matrix."""
    template = file.with_name(file.stem + TEMPLATE_SUFFIX)
    among_templates = any(file.parent.glob("*" + TEMPLATE_SUFFIX))
    if not template.exists() and (among_templates or _inside_catalogue(file.resolve())):
        raise UserError(
            f"a manifest without its template {template.name}",
            where=Origin(file),
            hint=f"write {template.name} beside it, or rename one of the two; programs are .bpf.c.j2 files",
        )


def _program(file: Path, kind: ProgramKind) -> Program:
    manifest = file.with_name(file.name.removesuffix(TEMPLATE_SUFFIX) + ".yaml")
    if kind is ProgramKind.TEMPLATE and manifest.exists():
        return read_manifest(_catalogue_name(file), file, manifest)
    return Program(name=_printable(file.name, file), path=file, kind=kind, variants=())


def _inside_catalogue(file: Path) -> bool:
    return file.is_relative_to(project_root() / "programs")


def _catalogue_name(file: Path) -> str:
    """`programs/<family>/<pitfall>` inside the project, else the last two parts of the path."""
    stem = file.with_name(file.name.removesuffix(TEMPLATE_SUFFIX))
    if _inside_catalogue(file):
        return _printable(stem.relative_to(project_root()).as_posix(), file)
    return _printable("/".join(stem.parts[-2:]).lstrip("/"), file)


def _printable(name: str, file: Path) -> str:
    """Refuse names that would garble case ids and reports (control characters, broken UTF-8)."""
    if not name.isprintable():
        raise UserError(f"the file's name {name!r} has unprintable characters", where=repr(str(file)))
    return name


def _distinct(programs: list[Program]) -> tuple[Program, ...]:
    """Refuse two manifests of one name; tell files of one name apart by the folders above them."""
    by_name: dict[str, list[Program]] = {}
    for program in programs:
        by_name.setdefault(program.name, []).append(program)
    renamed = {group_member.path: name for group in by_name.values() for group_member, name in _names(group)}
    return tuple(_renamed(program, renamed[program.path]) for program in programs)


def _names(group: list[Program]) -> Iterator[tuple[Program, str]]:
    if len(group) == 1:
        yield group[0], group[0].name
        return
    if any(program.has_manifest for program in group):
        raise UserError(
            f"two programs are called {group[0].name!r}: {group[0].path} and {group[1].path}",
            where=group[1].origin or str(group[1].path),
            hint="rename one of the files",
        )
    depth = 2
    while len({program.path.parts[-depth:] for program in group}) < len(group):
        depth += 1
    for program in group:
        yield program, _printable("/".join(program.path.parts[-depth:]).lstrip("/"), program.path)


def _renamed(program: Program, name: str) -> Program:
    if name == program.name:
        return program
    return Program(name=name, path=program.path, kind=program.kind, variants=())
