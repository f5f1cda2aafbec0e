"""The search between a kernel that answers as wanted and one that does not, for the first that does not.

Kernels are asked by halves, as `git bisect` does. One that cannot be had, does not boot or dies under the
case is skipped, which may leave several that could be the first. Pure: who asks boots them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.record.snapshot import Answer


@dataclass(frozen=True, slots=True)
class Probe:
    """What one kernel gave."""

    kernel: str
    answer: Answer | None  # None: skipped
    other: bool = False  # another answer than the good one's
    reason: str = ""  # why it was skipped


@dataclass(frozen=True, slots=True)
class Bisected:
    """The end of a search, in the order from the good kernel to the bad one."""

    last: str  # the last kernel known to answer as the good one does
    first: str  # the first known to answer otherwise
    between: tuple[str, ...]  # skipped ones between them: any of these may be the first
    probes: tuple[Probe, ...] = field(default=())

    @property
    def exact(self) -> bool:
        """Whether every kernel before `first` down to `last` is known."""
        return not self.between


def bisect(
    kernels: Sequence[str],
    good: Answer,
    bad: Answer,
    ask: Callable[[str], Answer | str],
    told: Callable[[Probe], None] = lambda _probe: None,
) -> Bisected:
    """Search among `kernels`, whose first answers `good` and whose last answers `bad`.

    `ask` gives a kernel's answer, or why there is none. A crash or hang is an answer only where one of the
    ends gives it as well. `told` hears of every kernel that was asked.
    """
    skipped: dict[str, Probe] = {}
    probes: list[Probe] = []
    low, high = 0, len(kernels) - 1
    while (place := _middle(kernels, low, high, skipped)) is not None:
        probe = _probe(kernels[place], ask(kernels[place]), good, bad)
        probes.append(probe)
        told(probe)
        if probe.answer is None:
            skipped[probe.kernel] = probe
        elif probe.other:
            high = place
        else:
            low = place
    between = tuple(kernels[low + 1 : high])
    return Bisected(kernels[low], kernels[high], between, tuple(probes))


def _middle(kernels: Sequence[str], low: int, high: int, skipped: dict[str, Probe]) -> int | None:
    """Return the place nearest to the middle that was not skipped; None when nothing is left to ask."""
    left = [place for place in range(low + 1, high) if kernels[place] not in skipped]
    return min(left, key=lambda place: abs(place - (low + high) / 2), default=None)


def _probe(kernel: str, given: Answer | str, good: Answer, bad: Answer) -> Probe:
    if isinstance(given, str):
        return Probe(kernel, None, reason=given)
    if not given.known:
        return Probe(kernel, None, reason="the case was not run")
    if given.abnormal is not None and given.abnormal not in (good.abnormal, bad.abnormal):
        return Probe(kernel, None, reason=f"{given.abnormal.value} under the case")
    return Probe(kernel, given, other=given != good)
