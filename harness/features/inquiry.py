"""Everything there is to say about one feature: what `bpfmatrix check NAME` shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.features.alternatives import Alternative, alternatives
from harness.features.api import short
from harness.features.ask import Answer, ask, measured_feature, overall
from harness.features.disagreements import Disagreement, Explanation, explain
from harness.features.documented import Documented, Records, documented
from harness.features.kernels import Target, targets
from harness.features.measured import MeasuredKernel, measured_kernels
from harness.features.names import Feature, Names
from harness.features.types import Support


@dataclass(frozen=True, slots=True)
class Row:
    """A measured kernel's answer, with the program types that have the feature and those that have not."""

    answer: Answer
    having: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    explanation: Explanation | None = None


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One feature: what is documented, the answers asked for, what every measured kernel said."""

    feature: Feature
    record: Documented | None
    program_type: str | None
    asked: tuple[Row, ...]
    measured: tuple[Row, ...]
    alternative: Alternative | None

    @property
    def support(self) -> Support:
        """Of all kernels asked for; without any: whether some kernel is known to have it."""
        if self.asked:
            return overall(row.answer for row in self.asked)
        supports = {row.answer.support for row in self.measured}
        if self.record is not None or Support.YES in supports:
            return Support.YES
        return Support.NO if supports == {Support.NO} else Support.UNKNOWN

    @property
    def first_measured(self) -> MeasuredKernel | None:
        """The oldest kernel that was measured to have it."""
        rows = (row.answer for row in self.measured if row.answer.finding)
        return next((a.measured for a in rows if a.finding and a.finding.support is Support.YES), None)


def inquire(
    names: Sequence[str],
    kernels: Sequence[str] = (),
    program_type: str | None = None,
    entries: Sequence[str] = (),
) -> tuple[Inquiry, ...]:
    """Ask about each name on each kernel; `entries` are kernels that exist, measured or not.

    Raises UserError for a name, kernel or program type that is unknown or ambiguous, before any answer.
    """
    known = measured_kernels()
    records = documented()
    called = None if program_type is None else short(program_type)
    aims = tuple(target for text in kernels for target in targets(text, known, entries))
    index = Names(records, known)
    features = [index.find(name) for name in names]
    return tuple(_inquiry(feature, aims, known, records, called) for feature in features)


def _inquiry(
    feature: Feature,
    aims: Sequence[Target],
    known: Sequence[MeasuredKernel],
    records: Records,
    called: str | None,
) -> Inquiry:
    everything = targets("all", known)
    return Inquiry(
        feature,
        records.get((feature.kind, feature.name)),
        called,
        tuple(_row(feature, target, records, called) for target in dict.fromkeys(aims)),
        tuple(_row(feature, target, records, called) for target in everything),
        alternatives().get(feature),
    )


def _row(feature: Feature, target: Target, records: Records, called: str | None) -> Row:
    answer = ask(feature, target, records, called)
    if target.measured is None:
        return Row(answer)
    record = records.get((feature.kind, feature.name))
    found = measured_feature(target.measured, feature, record)
    having = found.program_types(Support.YES) if found else ()
    lacking = found.program_types(Support.NO) if found else ()
    return Row(answer, having, lacking, _explanation(answer, target.measured))


def _explanation(answer: Answer, kernel: MeasuredKernel) -> Explanation | None:
    if not answer.contradiction or answer.finding is None:
        return None
    types = (answer.program_type,) if answer.program_type else ()
    return explain(Disagreement(answer.feature, kernel, answer.contradiction, answer.finding, types))
