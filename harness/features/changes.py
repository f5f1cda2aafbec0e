"""What a new measurement of a kernel says differently from the one before. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.features.measured import MeasuredKernel
from harness.features.types import FeatureKind, MeasuredFeature, Support

NOT_ASKED = "not asked"


@dataclass(frozen=True, slots=True)
class FeatureChange:
    """One feature with another answer, as a whole or from some program types."""

    kind: FeatureKind
    name: str
    before: str  # yes, no, unknown, or not asked
    after: str
    program_types: tuple[str, ...] = ()
    evidence: str = ""  # of the new answer

    def __str__(self) -> str:
        types = f" in {', '.join(self.program_types)} programs" if self.program_types else ""
        why = f" ({self.evidence})" if self.evidence else ""
        return f"{self.name} ({self.kind.replace('_', ' ')}){types}: {self.before} → {self.after}{why}"


def changes(before: MeasuredKernel, after: MeasuredKernel) -> tuple[FeatureChange, ...]:
    """Every other answer, kind by kind in the order of names; other evidence for the same answer is none."""
    keys = sorted({(f.kind, f.name) for kernel in (before, after) for f in kernel.features()})
    return tuple(
        change
        for kind, name in keys
        for change in _of(before.feature(kind, name), after.feature(kind, name), kind, name)
    )


def _of(
    old: MeasuredFeature | None, new: MeasuredFeature | None, kind: FeatureKind, name: str
) -> Iterator[FeatureChange]:
    if old is None or new is None or old.support() is not new.support():
        was, now = (each.support().value if each else NOT_ASKED for each in (old, new))
        finding = new.finding() if new else None
        yield FeatureChange(kind, name, was, now, (), finding.evidence if finding else "")
        return
    groups: dict[tuple[Support, Support], list[str]] = {}
    for program_type in sorted(_types(old) & _types(new)):
        pair = (old.support(program_type), new.support(program_type))
        if pair[0] is not pair[1]:
            groups.setdefault(pair, []).append(program_type)
    for (before, after), types in groups.items():
        finding = new.finding(types[0])
        yield FeatureChange(
            kind, name, before.value, after.value, tuple(types), finding.evidence if finding else ""
        )


def _types(feature: MeasuredFeature) -> set[str]:
    return {name for _, types in feature.findings for name in types}
