"""What differs from earlier measurements, as the page shows it: a list on top, and a mark in each cell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.record.changes import Change, Changes, by_kernels, same_change
from harness.verdict.text import one_line

_MOST = 150  # lines of one section; the rest is counted
_SECTIONS = (
    ("worse", "▼", "worse"),
    ("flaky", "~", "flaky: happened once, and not again in a fresh guest"),
    ("other", "◆", "different, but not worse"),
)
SIGNS: Mapping[str, str] = {css: sign for css, sign, _ in _SECTIONS}
_RANK = {css: rank for rank, (css, _, _) in enumerate(_SECTIONS)}


@dataclass(frozen=True, slots=True)
class Line:
    """The same difference on one or several kernels; each kernel with the anchor of its cell, "" = none."""

    kind: str
    case: str
    kernels: tuple[tuple[str, str], ...]
    before: str
    after: str
    why: str


@dataclass(frozen=True, slots=True)
class Section:
    """Lines that are equally grave."""

    css: str
    sign: str
    title: str
    number: int  # of differences, not of lines
    lines: tuple[Line, ...]
    more: int  # lines left out


@dataclass(frozen=True, slots=True)
class Compared:
    """One comparison."""

    before: str
    cases: int
    sections: tuple[Section, ...]
    notes: tuple[str, ...]
    repeated: int  # differences another comparison has told of already


@dataclass(frozen=True, slots=True)
class Told:
    """What a cell says of its differences."""

    css: str
    words: tuple[str, ...]


def told(comparisons: Iterable[Changes]) -> Mapping[str, Told]:
    """Return what is different of each case, by its id; the gravest decides the mark."""
    found: dict[str, Told] = {}
    for changes in comparisons:
        for change in changes.changes:
            words = f"{change.kind.value} since {changes.before}: {change.before} → {change.after}"
            there = found.get(change.id, Told("other", ()))
            css = min(there.css, _css(change), key=_RANK.__getitem__)
            found[change.id] = Told(css, (*there.words, one_line(words + _because(change), 600)))
    return found


def compared(comparisons: Iterable[Changes], anchors: Mapping[str, str]) -> tuple[Compared, ...]:
    """Return the comparisons as lists; what one tells is not told again in the next."""
    seen: set[tuple[object, ...]] = set()
    made = []
    for changes in comparisons:
        news = [change for change in changes.changes if same_change(change) not in seen]
        repeated = len(changes.changes) - len(news)
        sections = tuple(_sections(news, anchors))
        made.append(Compared(changes.before, changes.compared, sections, changes.notes, repeated))
        seen |= {same_change(change) for change in changes.changes}
    return tuple(made)


def _sections(changes: Sequence[Change], anchors: Mapping[str, str]) -> Iterator[Section]:
    for css, sign, title in _SECTIONS:
        here = [change for change in changes if _css(change) == css]
        lines = [_line(group, anchors) for group in by_kernels(here)]
        if lines:
            yield Section(css, sign, title, len(here), tuple(lines[:_MOST]), max(0, len(lines) - _MOST))


def _line(group: Sequence[Change], anchors: Mapping[str, str]) -> Line:
    first = group[0]
    return Line(
        first.kind.value,
        first.case,
        tuple((change.kernel, anchors.get(change.id, "")) for change in group),
        first.before,
        first.after,
        "; ".join(map(str, first.reasons)),
    )


def _css(change: Change) -> str:
    return "flaky" if change.flaky else "worse" if change.regression else "other"


def _because(change: Change) -> str:
    return f" ({'; '.join(map(str, change.reasons))})" if change.reasons else ""
