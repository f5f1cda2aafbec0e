"""Checks the data of features as a whole: what a person corrected, and what a probe wrote.

Reading checks what answers depend on; here every field is held against the schemas, the files against
their order, and names of one file against those of another. Slow to import, so tests and commands only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.catalog.schemacheck import problems_of
from harness.errors import UserError
from harness.features import documented, measured
from harness.features.types import FeatureKind
from harness.model import Origin

_DATA = Path(__file__).parent / "data"
_SHOWN = 8


def schema(name: str) -> dict[str, Any]:
    """The schema `data/<name>.schema.json`."""
    found: dict[str, Any] = json.loads((_DATA / f"{name}.schema.json").read_text(encoding="utf-8"))
    return found


def check_documented(folder: Path = documented.FOLDER) -> None:
    """Raise UserError with file:line for each of the first eight faults of the documented facts."""
    found: list[str] = []
    for path in sorted(folder.glob("*.jsonl")):
        if path.stem not in frozenset(FeatureKind):
            found.append(f"{Origin(path)}: {path.stem!r} is no kind of feature")
        found += lines_problems(path, schema("documented"))
    if not found:
        found += _unknown_names(folder)
    _raise(found)


def check_lines(path: Path, name: str) -> None:
    """Raise UserError for the faults of a file with one record per line of the schema `name`."""
    _raise(list(lines_problems(path, schema(name))))


def check_measured(path: Path) -> None:
    """Raise UserError for the faults of one kernel's file, which is written by a probe."""
    kernel = measured.read(path)
    found = [
        f"{Origin(path)}: {problem.text}"
        for problem in problems_of(json.loads(path.read_text("utf-8")), schema("measured"), {})
    ]
    if kernel.kernel != path.stem:
        found.append(f"{Origin(path)}: the kernel is {kernel.kernel!r}, so the file is {kernel.kernel}.json")
    _raise(found)


def lines_problems(path: Path, rules: Mapping[str, Any]) -> Iterator[str]:
    """Every fault of a file with one sorted record per line, as `file:line: text`."""
    before = ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        where = Origin(path, number)
        try:
            record = json.loads(line)
        except ValueError as error:
            yield f"{where}: not JSON: {error}"
            continue
        yield from (f"{where}: {problem.text}" for problem in problems_of(record, rules, {}))
        name = str(record.get("name", "")) if isinstance(record, dict) else ""
        if name and name <= before:
            yield f"{where}: {name} comes after {before}; records are in alphabetical order, each once"
        before = name or before


def _unknown_names(folder: Path) -> Iterator[str]:
    """Program and map types a record names that no record documents."""
    records = documented.documented(folder)
    for (kind, name), record in records.items():
        for short in _named_types(record):
            if (FeatureKind.PROGRAM_TYPE, f"BPF_PROG_TYPE_{short.upper()}") not in records:
                yield f"{folder / kind}.jsonl: {name}: {short!r} is no documented program type"
        for map_type in record.map_types:
            if (FeatureKind.MAP_TYPE, map_type) not in records:
                yield f"{folder / kind}.jsonl: {name}: {map_type!r} is no documented map type"


def _named_types(record: documented.Documented) -> Iterator[str]:
    yield from record.program_types
    for versions in (
        record.program_types_since,
        record.program_types_until,
        record.program_types_measured,
    ):
        yield from versions


def _raise(found: list[str]) -> None:
    if found:
        more = [f"… and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        raise UserError("\n".join([*found[:_SHOWN], *more]))
