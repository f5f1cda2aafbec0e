"""Where a documented version and a measured answer contradict each other, and why. Pure.

A distribution that backports, a configuration that leaves something out and a list that is wrong all look
alike from outside, so each contradiction wants an explanation: `data/explanations.jsonl`, one record per
line, with the evidence it rests on. One without explanation is news.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.features.ask import measured_feature, predict, series_of
from harness.features.documented import Documented, Records, documented
from harness.features.measured import MeasuredKernel, measured_kernels
from harness.features.names import Feature
from harness.features.types import FeatureKind, Finding, MeasuredFeature, Support
from harness.model import Origin

FILE = Path(__file__).parent / "data" / "explanations.jsonl"


class Reason(StrEnum):
    """Why a documented version and a measured answer differ."""

    BACKPORT = "backport"  # the kernel took it from a later version
    CONFIG = "config"  # the kernel was configured or built without it
    ARCHITECTURE = "architecture"  # not on this processor, or not on the probe's virtual one
    DOCUMENTATION = "documentation"  # the documented version, program type or name is wrong
    REMOVED = "removed"  # it was there and is gone, which the documents do not say


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why some contradictions are; what is empty covers everything."""

    kind: FeatureKind
    names: tuple[str, ...]  # names, or patterns with `*`
    measured: Support
    reason: Reason
    why: str
    source: str
    kernels: tuple[str, ...] = ()
    program_types: tuple[str, ...] = ()
    evidence: str = ""  # words the kernel's evidence begins with

    def covers(self, found: Disagreement) -> bool:
        """Whether this explains the contradiction, all its program types included."""
        return (
            found.feature.kind is self.kind
            and found.finding.support is self.measured
            and (not self.kernels or found.kernel.kernel in self.kernels)
            and (not self.program_types or set(found.program_types) <= set(self.program_types))
            and found.finding.evidence.startswith(self.evidence)
            and any(fnmatchcase(found.feature.name, name) for name in self.names)
        )


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One contradiction: what the documents predict of a kernel and what it answered.

    `program_types` are those it is about; empty: it is about the feature as a whole.
    """

    feature: Feature
    kernel: MeasuredKernel
    predicted: str  # the documents' words
    finding: Finding
    program_types: tuple[str, ...] = ()

    @property
    def measured(self) -> Support:
        """What the kernel answered."""
        return self.finding.support


def disagreements(records: Records, kernels: Iterable[MeasuredKernel]) -> tuple[Disagreement, ...]:
    """Every contradiction, kernel by kernel in the order given, features in alphabetical order.

    Where a feature as a whole contradicts, its program types are not listed one by one.
    """
    found: list[Disagreement] = []
    for kernel in kernels:
        for kind, name in sorted(records):
            record = records[kind, name]
            feature = measured_feature(kernel, Feature(kind, name), record)
            if feature is not None:
                found += _of_feature(record, feature, kernel, records)
    return tuple(found)


def _of_feature(
    record: Documented, measured: MeasuredFeature, kernel: MeasuredKernel, records: Records
) -> Iterator[Disagreement]:
    feature, series = Feature(record.kind, record.name), series_of(kernel)
    whole, answer = predict(record, series, records), measured.finding()
    if answer and _contradict(whole.support, answer.support):
        yield Disagreement(feature, kernel, whole.reason, answer)
        return
    groups: dict[tuple[str, Finding], list[str]] = {}
    for finding, types in measured.findings:
        for each in types:
            predicted = predict(record, series, records, each)
            if _contradict(predicted.support, finding.support):
                words = predicted.reason.replace(f"{each} programs", "these programs")
                groups.setdefault((words, finding), []).append(each)
    for (words, finding), types_found in groups.items():
        yield Disagreement(feature, kernel, words, finding, tuple(sorted(types_found)))


def _contradict(predicted: Support, measured: Support) -> bool:
    return Support.UNKNOWN not in (predicted, measured) and predicted is not measured


@cache
def explanations(path: Path = FILE) -> tuple[Explanation, ...]:
    """The known reasons. UserError with file:line for a line that is none."""
    found: list[Explanation] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            found.append(_explanation(json.loads(line)))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"not an explanation: {error!r}", where=Origin(path, number)) from error
    return tuple(found)


def _explanation(data: dict[str, Any]) -> Explanation:
    return Explanation(
        kind=FeatureKind(data["kind"]),
        names=tuple(data["names"]),
        measured=Support(data["measured"]),
        reason=Reason(data["reason"]),
        why=data["why"],
        source=data["source"],
        kernels=tuple(data.get("kernels", ())),
        program_types=tuple(data.get("program_types", ())),
        evidence=data.get("evidence", ""),
    )


def explain(found: Disagreement, known: Sequence[Explanation] | None = None) -> Explanation | None:
    """The first explanation that covers a contradiction; None: nobody has explained it."""
    pool = explanations() if known is None else known
    return next((each for each in pool if each.covers(found)), None)


def unexplained(
    found: Iterable[Disagreement], known: Sequence[Explanation] | None = None
) -> tuple[Disagreement, ...]:
    """The contradictions nobody has explained: what the nightly run fails on."""
    return tuple(each for each in found if explain(each, known) is None)


def news() -> tuple[Disagreement, ...]:
    """What a nightly run fails on: contradictions of the package's facts that nobody has explained."""
    return unexplained(disagreements(documented(), measured_kernels()))


def unused(
    found: Sequence[Disagreement], known: Sequence[Explanation] | None = None
) -> tuple[Explanation, ...]:
    """Explanations of nothing that was measured: a kernel or a record has changed since."""
    pool = explanations() if known is None else known
    used = {explain(each, pool) for each in found}
    return tuple(each for each in pool if each not in used)
