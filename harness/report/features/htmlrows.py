"""Rows, cells and panels of the page of features, as its template takes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from harness.features.alternatives import Alternative
from harness.features.documented import Documented
from harness.features.names import Feature
from harness.features.types import FeatureKind, Finding, Support
from harness.report.features.tables import FLAG_SIGNS, SYMBOLS, Cell, Flag, Row, Section, Tables
from harness.report.features.words import asked_types, disputed, runs, types_history, types_words, why

_LETTERS: Mapping[Support | None, str] = {
    Support.YES: "y",
    Support.NO: "n",
    Support.UNKNOWN: "u",
    None: "o",
}
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
_RANK = {Support.YES: 0, Support.NO: 1, Support.UNKNOWN: 2}


class Masks:
    """Answers by program type as strings of letters, one a type; equal ones are kept once."""

    def __init__(self, types: Sequence[str]) -> None:
        self._types = types
        self._numbers: dict[str, int] = {}

    @property
    def all(self) -> list[str]:
        """Every distinct string in the order of the numbers."""
        return list(self._numbers)

    def number(self, cell: Cell) -> int:
        """The number of a cell's answers."""
        letters = {name: _LETTERS[f.support] for f, types in cell.findings for name in types}
        mask = "".join(letters.get(name, "o") for name in self._types)
        return self._numbers.setdefault(mask, len(self._numbers))


@dataclass(frozen=True, slots=True)
class CellView:
    """A cell: `css` tells the answer, `part` is the anchor of its part of the panel."""

    css: str
    part: str
    symbol: str
    number: str  # how many program types have it
    sign: str
    flag: str


@dataclass(frozen=True, slots=True)
class FindingView:
    """One answer with its evidence, and the program types it is of."""

    css: str
    symbol: str
    method: str
    evidence: str
    types: str


@dataclass(frozen=True, slots=True)
class PartView:
    """Kernels that answered alike, and their answers."""

    anchor: str
    kernels: str
    findings: tuple[FindingView, ...]
    contradictions: tuple[tuple[str, str], ...]  # sign and words
    loose: bool  # some contradiction is unexplained


@dataclass(frozen=True, slots=True)
class RowView:
    """A row of the grid and its panel."""

    anchor: str
    row: Row
    words: str  # what else it is found by
    cells: tuple[CellView, ...]
    masks: str
    facts: tuple[tuple[str, str], ...]
    parts: tuple[PartView, ...]
    disputed: str
    flags: str


@dataclass(frozen=True, slots=True)
class BodyView:
    """Rows under one heading."""

    kind: FeatureKind
    title: str
    detail: str
    rows: tuple[RowView, ...]
    documented_only: bool = field(default=False)
    first: bool = field(default=False)


def bodies(tables: Tables, masks: Masks, instead: Mapping[Feature, Alternative]) -> list[BodyView]:
    """Everything in the order it is shown: of each kind what was asked, then what is documented only."""
    maker = _Rows(tables, masks, instead)
    return [body for section in tables.sections for body in _section(section, maker)]


def _section(section: Section, maker: _Rows) -> list[BodyView]:
    found: list[BodyView] = []
    for subkind, rows in groupby(section.rows, lambda row: row.subkind):
        views = tuple(maker.row(row) for row in rows)
        language = section.kind is FeatureKind.LANGUAGE
        detail = subkind.replace("_", " ") or "measured only" if language else ""
        found.append(BodyView(section.kind, section.title, detail, views, first=not found))
    if section.documented:
        views = tuple(maker.row(row) for row in section.documented)
        found.append(
            BodyView(
                section.kind,
                section.title,
                "documented only, no kernel was asked",
                views,
                documented_only=True,
                first=not found,
            )
        )
    return found


class _Rows:
    """Makes rows; no two of a page have the same anchor, whatever names there are."""

    def __init__(self, tables: Tables, masks: Masks, instead: Mapping[Feature, Alternative]) -> None:
        self._tables, self._masks, self._instead = tables, masks, instead
        self._anchors: set[str] = set()

    def row(self, row: Row) -> RowView:
        """One feature."""
        anchor = self._anchor(f"{row.feature.kind}.{_UNSAFE.sub('-', row.feature.name)[:80]}")
        parts, of_cell = self._parts(row, anchor)
        by_type = any(cell.by_type for cell in row.cells)
        return RowView(
            anchor,
            row,
            _found_by(row),
            tuple(_cell(cell, of_cell[cell.kernel.kernel]) for cell in row.cells) if row.asked else (),
            " ".join(str(self._masks.number(cell)) for cell in row.cells) if by_type else "",
            tuple(self._facts(row)),
            parts,
            disputed(row.record),
            _flags(row),
        )

    def _anchor(self, wanted: str) -> str:
        anchor, number = wanted, 2
        while anchor in self._anchors:
            anchor, number = f"{wanted}-{number}", number + 1
        self._anchors.add(anchor)
        return anchor

    def _parts(self, row: Row, anchor: str) -> tuple[tuple[PartView, ...], dict[str, str]]:
        """The parts of a panel, and which of them belongs to which kernel."""
        alike: dict[tuple[object, ...], list[Cell]] = {}
        of_cell: dict[str, str] = {}
        parts: list[PartView] = []
        for cell in row.cells:
            words = tuple((FLAG_SIGNS[each.flag], why(each)) for each in cell.contradictions)
            alike.setdefault((cell.findings, words), []).append(cell)
        for cells in alike.values():
            at = f"{anchor}@{_UNSAFE.sub('-', cells[0].kernel.kernel)}"
            of_cell |= {cell.kernel.kernel: at for cell in cells}
            if cells[0].findings:
                parts.append(self._part(cells, at))
        return tuple(parts), of_cell

    def _part(self, cells: Sequence[Cell], anchor: str) -> PartView:
        against = cells[0].contradictions
        return PartView(
            anchor,
            runs([cell.kernel for cell in cells], self._tables.kernels),
            tuple(_findings(cells[0])),
            tuple((FLAG_SIGNS[each.flag], why(each)) for each in against),
            any(each.flag is Flag.UNEXPLAINED for each in against),
        )

    def _facts(self, row: Row) -> Iterable[tuple[str, str]]:
        if row.record:
            yield from _documented_facts(row.record)
        history = [] if not row.asked else types_history(row)
        if history:
            yield "program types", "; ".join(f"{kernel.kernel}: {words}" for kernel, words in history)
        alternative = self._instead.get(row.feature)
        if alternative:
            yield "where missing", f"{alternative.text} ({alternative.source})"


def _findings(cell: Cell) -> Iterable[FindingView]:
    everyone = asked_types(cell)
    pairs: list[tuple[Finding, tuple[str, ...]]] = sorted(
        cell.findings, key=lambda pair: (_RANK[pair[0].support], -len(pair[1]))
    )
    for finding, types in pairs:
        yield FindingView(
            _LETTERS[finding.support],
            SYMBOLS[finding.support],
            finding.method.value,
            finding.evidence,
            types_words(types, everyone) if types else "",
        )


def _cell(cell: Cell, part: str) -> CellView:
    count = str(len(cell.types(Support.YES))) if cell.by_type and cell.support is Support.YES else ""
    flag = cell.flag
    return CellView(
        _LETTERS[cell.support],
        part if cell.findings else "",
        SYMBOLS[cell.support],
        count,
        FLAG_SIGNS[flag] if flag else "",
        flag.value if flag else "",
    )


def _documented_facts(record: Documented) -> Iterable[tuple[str, str]]:
    yield "source", record.source
    others = [each for each in record.agree if each != record.source]
    if others:
        yield "agree", ", ".join(others)
    if record.verified_by:
        yield "verified by", ", ".join(record.verified_by)
    if record.disagreement:
        yield "disagree", ", ".join(f"{source}: {since}" for source, since in record.disagreement.items())
    if record.removed:
        yield "removed in", record.removed
    if record.absent_in:
        yield "not in", ", ".join(record.absent_in)
    if record.aliases:
        yield "also called", ", ".join(record.aliases)
    if record.note:
        yield "note", record.note
    if record.program_types:
        later = record.program_types_since
        yield (
            "documented for",
            ", ".join(f"{name} ({later[name]})" if name in later else name for name in record.program_types),
        )
    yield from _unlisted(record)
    if record.map_types:
        yield "takes maps", ", ".join(name.removeprefix("BPF_MAP_TYPE_").lower() for name in record.map_types)


def _unlisted(record: Documented) -> Iterable[tuple[str, str]]:
    measured = record.program_types_measured
    if measured:
        yield "measured, in no source", ", ".join(f"{name} ({first})" for name, first in measured.items())


def _found_by(row: Row) -> str:
    """Words that are not in the row's name."""
    if row.record is None:
        return ""
    return " ".join((*row.record.aliases, row.record.note, row.record.subkind.replace("_", " "))).strip()


def _flags(row: Row) -> str:
    flags = {each.flag.value for cell in row.cells for each in cell.contradictions}
    return " ".join(sorted(flags | ({"sources"} if disputed(row.record) else set())))
