"""What is asked about features of the language, the configuration and the JIT: `data/probe/*.yaml`, typed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.catalog.yamlfile import load
from harness.features.probe.attempts import DATA
from harness.features.probe.entries import Entry


@dataclass(frozen=True, slots=True)
class EnumGroup:
    """Constants of one enum; `beside` and `owner` are what lets an absence say no."""

    names: tuple[str, ...]
    beside: str = ""
    owner: Entry | None = None


@dataclass(frozen=True, slots=True)
class EntryQuestion:
    """A feature that an entry of the kernel's BTF shows; `alternative` is what it is called on other kernels.

    `proves`: being there says yes; else only being absent says something.
    """

    entry: Entry
    alternative: Entry | None = None
    beside: Entry | None = None
    module: str = ""
    proves: bool = True


@dataclass(frozen=True, slots=True)
class Symbol:
    """A symbol of the configuration; `proves`: y or m shows the feature."""

    symbol: str
    proves: bool


@dataclass(frozen=True, slots=True)
class FileQuestion:
    """A feature that a file of the guest shows."""

    path: str
    beside: str = ""
    least: int | None = None


@dataclass(frozen=True, slots=True)
class Language:
    """All of `language.yaml`."""

    enums: tuple[EnumGroup, ...]
    entries: Mapping[str, EntryQuestion]
    enumerators: Mapping[str, str]
    config: Mapping[str, Symbol]
    files: Mapping[str, FileQuestion]
    kfuncs: Mapping[str, tuple[str, ...]]
    helpers: Mapping[str, str]
    suffixes: Mapping[str, str]
    architectures: Mapping[str, str]
    nobody: Mapping[str, str]
    needs: Mapping[str, tuple[str, ...]]


def checked(name: str) -> Mapping[str, Any]:
    """The contents of a data file of the probes; UserError where it is against its schema."""
    path = DATA / name
    schema = json.loads(Path(path).with_suffix(".schema.json").read_text(encoding="utf-8"))
    found: Mapping[str, Any] = load(path, schema).data
    return found


@cache
def language() -> Language:
    """What is asked about features of the language, beside the programs."""
    data = checked("language.yaml")
    return Language(
        enums=tuple(
            EnumGroup(tuple(row["names"]), row.get("beside", ""), _entry(row.get("with")))
            for row in data["enums"]
        ),
        entries={name: _question(row) for name, row in data["entries"].items()},
        enumerators=data["enumerators"],
        config={name: Symbol(**row) for name, row in data["config"].items()},
        files={name: FileQuestion(**row) for name, row in data["files"].items()},
        kfuncs={name: tuple(row) for name, row in data["kfuncs"].items()},
        helpers=data["helpers"],
        suffixes=data["suffixes"],
        architectures=data["architectures"],
        nobody=data["nobody"],
        needs={name: tuple(row) for name, row in data["needs"].items()},
    )


def _question(row: Mapping[str, Any]) -> EntryQuestion:
    entry = _entry(row["entry"])
    assert entry is not None  # noqa: S101 - the schema's own
    return EntryQuestion(
        entry,
        _entry(row.get("or")),
        _entry(row.get("beside")),
        row.get("module", ""),
        row.get("proves", True),
    )


def _entry(row: Mapping[str, str] | None) -> Entry | None:
    return Entry(*next(iter(row.items()))) if row else None
