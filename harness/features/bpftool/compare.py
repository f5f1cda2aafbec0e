"""Where bpftool and the probe answer differently about the same kernel, and who is right. Pure.

Every difference wants a reason: `data/bpftool.jsonl`, one per line, each proven by the kernel's own words or
its source. One without a reason fails the test that runs both in one guest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.features.bpftool.answers import Answers, Point
from harness.features.types import FeatureKind, Finding, MeasuredFeature, Support
from harness.model import KernelVersion, Origin, VersionRange

FILE = Path(__file__).parents[1] / "data" / "bpftool.jsonl"
_SIDES = ("probe", "bpftool", "both")


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing the two say differently. The probe's `unknown` differs from a yes and from a no."""

    point: Point
    bpftool: bool
    finding: Finding


@dataclass(frozen=True, slots=True)
class Reason:
    """Why some differences are, and who is `right`; what is empty covers everything.

    `both`: each answers another question rightly.
    """

    kind: FeatureKind
    names: tuple[str, ...]
    bpftool: bool
    probe: Support
    right: str
    why: str
    source: str
    kernels: VersionRange
    program_types: tuple[str, ...] = ()
    evidence: str = ""  # what the probe's evidence begins with

    def covers(self, found: Difference, version: KernelVersion) -> bool:
        """Whether this explains a difference on a kernel of that version."""
        point = found.point
        return (
            point.kind is self.kind
            and found.bpftool is self.bpftool
            and found.finding.support is self.probe
            and version in self.kernels
            and (not self.program_types or point.program_type in self.program_types)
            and found.finding.evidence.startswith(self.evidence)
            and any(fnmatchcase(point.name, name) for name in self.names)
        )


@cache
def reasons(path: Path = FILE) -> tuple[Reason, ...]:
    """The known reasons. UserError with file:line for a line that is none."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            found.append(_reason(json.loads(line)))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"not a reason: {error!r}", where=Origin(path, number)) from error
    return tuple(found)


def _reason(data: dict[str, Any]) -> Reason:
    if data["right"] not in _SIDES:
        raise ValueError(f"right is one of {', '.join(_SIDES)}")
    return Reason(
        kind=FeatureKind(data["kind"]),
        names=tuple(data["names"]),
        bpftool={"yes": True, "no": False}[data["bpftool"]],
        probe=Support(data["probe"]),
        right=data["right"],
        why=data["why"],
        source=data["source"],
        kernels=VersionRange.parse(data.get("kernels", "*")),
        program_types=tuple(data.get("program_types", ())),
        evidence=data.get("evidence", ""),
    )


def differences(answers: Answers, features: Iterable[MeasuredFeature]) -> tuple[Difference, ...]:
    """Everything both were asked and answered differently, in the order of names."""
    measured = {(feature.kind, feature.name): feature for feature in features}
    found = []
    for point in sorted(answers.said):
        feature = measured.get((point.kind, point.name))
        finding = feature.finding(point.program_type or None) if feature else None
        wanted = Support.YES if answers.said[point] else Support.NO
        if finding is not None and finding.support is not wanted:
            found.append(Difference(point, answers.said[point], finding))
    return tuple(found)


def in_common(answers: Answers, features: Iterable[MeasuredFeature]) -> Mapping[FeatureKind, int]:
    """How much of each kind both were asked."""
    measured = {(feature.kind, feature.name): feature for feature in features}
    counts: dict[FeatureKind, int] = {}
    for point in answers.said:
        feature = measured.get((point.kind, point.name))
        if feature is not None and feature.finding(point.program_type or None) is not None:
            counts[point.kind] = counts.get(point.kind, 0) + 1
    return counts


def only_one(
    answers: Answers, features: Iterable[MeasuredFeature]
) -> tuple[tuple[Point, ...], tuple[tuple[FeatureKind, str], ...]]:
    """What only bpftool answers, and what of the kinds it knows only the probe answers."""
    measured = {(feature.kind, feature.name): feature for feature in features}
    names = {(point.kind, point.name) for point in answers.said}
    kinds = (FeatureKind.HELPER, FeatureKind.MAP_TYPE, FeatureKind.PROGRAM_TYPE)
    alone = sorted(point for point in answers.said if (point.kind, point.name) not in measured)
    return tuple(alone), tuple(sorted(key for key in measured if key[0] in kinds and key not in names))


def reason_of(
    found: Difference, version: KernelVersion, known: Sequence[Reason] | None = None
) -> Reason | None:
    """The first reason that covers a difference; None: nobody knows why."""
    pool = reasons() if known is None else known
    return next((each for each in pool if each.covers(found, version)), None)
