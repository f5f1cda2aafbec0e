"""The strip over the nights: a column a night, the oldest on the left, as high as its differences. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.nightly.types import NightRecord

NIGHTS, HEIGHT = 60, 48  # columns, and units of height
_LEAST = 3  # units of a part that is there at all


@dataclass(frozen=True, slots=True)
class Part:
    """What of a column is of one kind."""

    css: str  # worse, flaky, other, none or broken
    top: float
    height: float


@dataclass(frozen=True, slots=True)
class Column:
    """One night; `words` say its numbers."""

    night: str
    at: int
    words: str
    parts: tuple[Part, ...]


def columns(records: Iterable[NightRecord]) -> tuple[Column, ...]:
    """Return the columns of the latest nights; `records` are the latest first, as the index has them."""
    nights = list(records)[:NIGHTS][::-1]
    most = max((sum(_counts(night).values()) for night in nights), default=0)
    return tuple(
        Column(night.name, at, _words(night), tuple(_parts(night, most))) for at, night in enumerate(nights)
    )


def _counts(night: NightRecord) -> dict[str, int]:
    other = max(0, night.changes - night.regressions - night.flaky)
    return {"worse": night.regressions, "flaky": night.flaky, "other": other}


def _parts(night: NightRecord, most: int) -> Iterator[Part]:
    counts = _counts(night)
    bottom = float(HEIGHT)
    room = HEIGHT - _LEAST * len(counts)
    for css, number in counts.items():
        if number:
            height = _LEAST + room * number / most
            bottom -= height
            yield Part(css, round(bottom, 1), round(height, 1))
    if not any(counts.values()):
        yield Part("broken" if night.status == 3 else "none", HEIGHT - _LEAST, _LEAST)


def _words(night: NightRecord) -> str:
    differences = "1 difference" if night.changes == 1 else f"{night.changes} differences"
    return f"{night.name}: {night.regressions} worse, {differences}, {night.flaky} flaky"
