"""Features as rows and kernels as columns: what every format shows, computed once.

Kernels stand oldest first. A feature no kernel was asked about has no cells worth a table and is kept apart;
a kernel that was not asked about a feature others were asked about has an empty cell, which is no answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from harness.features.ask import measured_feature
from harness.features.disagreements import Disagreement, Explanation, Reason, disagreements, explain
from harness.features.documented import Documented, Records
from harness.features.measured import MeasuredKernel
from harness.features.names import Feature
from harness.features.types import FeatureKind, Finding, Support, overall

TITLES: Mapping[FeatureKind, str] = {
    FeatureKind.HELPER: "Helpers",
    FeatureKind.MAP_TYPE: "Map types",
    FeatureKind.PROGRAM_TYPE: "Program types",
    FeatureKind.ATTACH_TYPE: "Attach types",
    FeatureKind.LINK_TYPE: "Link types",
    FeatureKind.COMMAND: "Commands",
    FeatureKind.MAP_FLAG: "Flags of maps",
    FeatureKind.PROGRAM_FLAG: "Flags of programs",
    FeatureKind.KFUNC: "Kfuncs",
    FeatureKind.LANGUAGE: "Language and more",
    FeatureKind.JIT: "JIT",
    FeatureKind.CONFIG: "Configuration",
}
SYMBOLS: Mapping[Support | None, str] = {
    Support.YES: "✓",
    Support.NO: "✗",
    Support.UNKNOWN: "?",
    None: "·",
}
WORDS: Mapping[Support | None, str] = {
    Support.YES: "has it",
    Support.NO: "has it not",
    Support.UNKNOWN: "asked, and the answer tells neither",
    None: "not asked",
}


class Flag(StrEnum):
    """How a measured answer stands to the documented version, where they contradict each other."""

    BACKPORT = "backport"
    EXPLAINED = "explained"
    UNEXPLAINED = "unexplained"


FLAG_SIGNS: Mapping[Flag, str] = {Flag.BACKPORT: "↓", Flag.EXPLAINED: "≠", Flag.UNEXPLAINED: "≠!"}
FLAG_WORDS: Mapping[Flag, str] = {
    Flag.BACKPORT: "backported from a later version",
    Flag.EXPLAINED: "contradicts the documents, explained",
    Flag.UNEXPLAINED: "contradicts the documents, unexplained so far",
}

Findings = tuple[tuple[Finding, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A measured answer the documents do not predict, with the explanation where there is one."""

    found: Disagreement
    explanation: Explanation | None

    @property
    def flag(self) -> Flag:
        """What a cell is marked with."""
        if self.explanation is None:
            return Flag.UNEXPLAINED
        return Flag.BACKPORT if self.explanation.reason is Reason.BACKPORT else Flag.EXPLAINED


@dataclass(frozen=True, slots=True)
class Cell:
    """What one kernel answered about one feature; without findings it was not asked."""

    kernel: MeasuredKernel
    findings: Findings = ()
    contradictions: tuple[Contradiction, ...] = ()

    @property
    def support(self) -> Support | None:
        """Yes where any program type has it; None: not asked."""
        return overall(finding.support for finding, _ in self.findings) if self.findings else None

    @property
    def flag(self) -> Flag | None:
        """The gravest of its contradictions' flags."""
        flags = {each.flag for each in self.contradictions}
        return next((flag for flag in reversed(Flag) if flag in flags), None)

    @property
    def by_type(self) -> bool:
        """Whether the answer depends on the program type."""
        return any(types for _, types in self.findings)

    def types(self, support: Support) -> tuple[str, ...]:
        """The program types with this answer, in alphabetical order."""
        return tuple(
            sorted(name for finding, types in self.findings if finding.support is support for name in types)
        )


@dataclass(frozen=True, slots=True)
class Row:
    """A feature: what is documented of it and what every kernel answered."""

    feature: Feature
    record: Documented | None
    cells: tuple[Cell, ...]

    @property
    def asked(self) -> bool:
        """Whether any kernel was asked."""
        return any(cell.findings for cell in self.cells)

    @property
    def first(self) -> MeasuredKernel | None:
        """The oldest kernel measured to have it."""
        return next((cell.kernel for cell in self.cells if cell.support is Support.YES), None)

    @property
    def subkind(self) -> str:
        """What a feature of the language is about; "" elsewhere and where nothing is documented."""
        return self.record.subkind if self.record else ""


@dataclass(frozen=True, slots=True)
class Section:
    """The features of one kind: those some kernel was asked about, and those that are documented only."""

    kind: FeatureKind
    rows: tuple[Row, ...]
    documented: tuple[Row, ...]

    @property
    def title(self) -> str:
        """The heading."""
        return TITLES[self.kind]


@dataclass(frozen=True, slots=True)
class Tables:
    """Everything a report shows. `program_types` are the short names kernels were asked about."""

    kernels: tuple[MeasuredKernel, ...]
    sections: tuple[Section, ...]
    program_types: tuple[str, ...] = field(default=())

    @property
    def rows(self) -> Iterator[Row]:
        """All rows with answers."""
        return (row for section in self.sections for row in section.rows)


def build(records: Records, kernels: Sequence[MeasuredKernel], known: Sequence[Explanation] = ()) -> Tables:
    """Set documented records and measured kernels beside each other.

    `known` explains contradictions. A name some record has as an alias is that record's row.
    """
    ordered = tuple(sorted(kernels, key=lambda kernel: (kernel.version, kernel.kernel)))
    contradicting = _contradictions(records, ordered, known)
    sections = []
    for kind in FeatureKind:
        rows = [
            _row(Feature(kind, name), records, ordered, contradicting)
            for name in _names(kind, records, ordered)
        ]
        rows.sort(key=_order)
        if rows:
            asked = tuple(row for row in rows if row.asked)
            sections.append(Section(kind, asked, tuple(row for row in rows if not row.asked)))
    types = {
        name
        for section in sections
        for row in section.rows
        for cell in row.cells
        for _, each in cell.findings
        for name in each
    }
    return Tables(ordered, tuple(sections), tuple(sorted(types)))


def _names(kind: FeatureKind, records: Records, kernels: Iterable[MeasuredKernel]) -> list[str]:
    documented = {name for of, name in records if of is kind}
    aliases = {alias for name in documented for alias in records[kind, name].aliases}
    measured = {name for kernel in kernels for name in kernel.names(kind)}
    return sorted(documented | (measured - aliases))


def _order(row: Row) -> tuple[str, str]:
    """Features of the language by what they are about, the undocumented last."""
    return (row.subkind or "~" if row.feature.kind is FeatureKind.LANGUAGE else "", row.feature.name)


_Contradicting = Mapping[tuple[Feature, str], Sequence[Contradiction]]


def _contradictions(
    records: Records, kernels: Iterable[MeasuredKernel], known: Sequence[Explanation]
) -> _Contradicting:
    found: dict[tuple[Feature, str], list[Contradiction]] = {}
    for each in disagreements(records, kernels):
        key = (each.feature, each.kernel.kernel)
        found.setdefault(key, []).append(Contradiction(each, explain(each, known)))
    return found


def _row(
    feature: Feature, records: Records, kernels: Iterable[MeasuredKernel], contradicting: _Contradicting
) -> Row:
    record = records.get((feature.kind, feature.name))
    cells = []
    for kernel in kernels:
        measured = measured_feature(kernel, feature, record)
        against = contradicting.get((feature, kernel.kernel), ())
        cells.append(Cell(kernel, measured.findings if measured else (), tuple(against)))
    return Row(feature, record, tuple(cells))
