"""The lowest kernel for an object, told apart by what the answer rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.features.ask import predict
from harness.features.documented import Documented, documented
from harness.features.kernels import Series, known_series
from harness.features.objects.judge import Judgement
from harness.features.objects.uses import Necessity, ObjectUses, Use
from harness.features.types import Support


@dataclass(frozen=True, slots=True)
class Lowest:
    """One answer: a kernel, or None; `reason` is what decides it, or why there is none."""

    kernel: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Minimum:
    """The lowest kernel that documents everything, was measured to have everything, and loaded the object."""

    documented: Lowest
    measured: Lowest
    loaded: Lowest


def lowest_documented(uses: ObjectUses) -> Lowest:
    """The first upstream series whose documents have everything the object needs.

    What no document tells (relocations, what a program is attached to, symbols) is left out; a feature
    without a record makes the answer None.
    """
    needed = [use for use in uses.uses if use.necessity is Necessity.NEEDED and use.key.kind.feature]
    unknown = sorted({use.key.name for use in needed if _record(use) is None})
    if unknown:
        return Lowest(None, f"not documented: {', '.join(unknown[:4])}{' …' if len(unknown) > 4 else ''}")
    before: list[Use] = []
    for series in known_series():
        missing = [use for use in needed if _support(use, series) is not Support.YES]
        if not missing:
            return Lowest(f"{series[0]}.{series[1]}", _deciding(before))
        before = missing
    return Lowest(None, f"no series documents {before[0].key.name}")


def lowest_measured(judgements: Sequence[Judgement]) -> Lowest:
    """The first of `judgements`, oldest kernel first, that has everything by measurement."""
    if not judgements:
        return Lowest(None, "no kernel was measured")
    for at, judgement in enumerate(judgements):
        if judgement.support is Support.YES and judgement.measured:
            if at == 0:
                return Lowest(judgement.kernel, "the oldest kernel asked has everything")
            return Lowest(judgement.kernel, f"{judgements[at - 1].kernel}: {judgements[at - 1].reason}")
    last = judgements[-1]
    if last.support is Support.YES:
        return Lowest(None, "some of it is only documented; bpfmatrix features measures")
    return Lowest(None, f"{last.kernel}: {last.reason}")


def _record(use: Use) -> Documented | None:
    kind = use.key.kind.feature
    return documented().get((kind, use.key.name)) if kind else None


def _support(use: Use, series: Series) -> Support:
    return predict(_record(use), series, documented(), use.program_type or None).support


def _deciding(missing: Sequence[Use]) -> str:
    names = list(dict.fromkeys(use.key.name for use in missing))
    if not names:
        return "everything is older than that"
    return f"{', '.join(names[:3])}{' …' if len(names) > 3 else ''}"
