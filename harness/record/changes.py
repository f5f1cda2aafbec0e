"""What differs between two measurements: the words and types of every comparison. Pure data.

`harness.record.compare` makes them; the command line, the nightly report and the page show them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class ChangeKind(StrEnum):
    """What is different, the gravest first; the values are the words a person reads."""

    CRASH = "crash"
    HANG = "hang"
    SPLAT = "kernel warning"
    NEW_REJECTION = "new rejection"
    BEHAVIOUR = "behaviour changed"
    CONTRADICTION = "contradicts the documents"
    NOT_RUN = "not run"
    CASE_MISSING = "case missing"
    KERNEL_MISSING = "kernel missing"
    INSNS = "instruction count"
    TIME = "verification time"
    OTHER_CAUSE = "other cause or errno"
    FLAKY = "flaky"
    NEWLY_ACCEPTED = "newly accepted"
    CASE_NEW = "new case"
    KERNEL_NEW = "new kernel"


class Attribution(StrEnum):
    """What else is different and may be why."""

    KERNEL = "kernel release changed"
    COMPILER = "compiler changed"
    SOURCE = "program source changed"
    HARNESS = "harness changed"
    NOTHING_KNOWN = "nothing known changed"


@dataclass(frozen=True, slots=True)
class Reason:
    """An attribution and what it was before and after: `6.12.116 → 6.12.117`; words may be ""."""

    what: Attribution
    words: str = ""

    def __str__(self) -> str:
        return f"{self.what.value}: {self.words}" if self.words else self.what.value


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which growth on a number is a change: beyond the percentage and beyond the absolute floor, both.

    The floors are in instructions and in microseconds; docs/compare.md says how the noise of the time was
    measured.
    """

    insns_percent: float = 20.0
    insns_floor: int = 1000
    time_percent: float = 20.0
    time_floor_us: int = 2_000_000


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. Of a whole kernel when `case` is ""."""

    kind: ChangeKind
    case: str  # `programs/<family>/<pitfall>[<variant>]`, without the kernel
    kernel: str  # its name in the newer measurement (the older's for one that is missing), or `host`
    before: str  # short text: "reject at load with EACCES (bounds)", "1,024 instructions", "–" for nothing
    after: str
    regression: bool
    reasons: tuple[Reason, ...] = ()
    flaky: bool = False  # it did not happen again when the case was retried, or repeated runs differed
    infrastructure: bool = False  # something could not be had or started: no word about the programs
    kernel_before: str = ""  # where the older measurement's kernel has another name

    @property
    def id(self) -> str:
        """The case's id in the newer run file; the kernel's name for a change of a whole kernel."""
        return f"{self.case}@{self.kernel}" if self.case else self.kernel

    @property
    def attribution(self) -> tuple[Attribution, ...]:
        """The reasons without their words."""
        return tuple(reason.what for reason in self.reasons)


@dataclass(frozen=True, slots=True)
class Changes:
    """The result of a comparison, the gravest kinds first, then in the newer measurement's order."""

    before: str  # what was compared: "baseline", "reports/run.json", a date
    after: str
    changes: tuple[Change, ...]
    compared: int = 0  # cases measured on both sides
    kernels: tuple[tuple[str, str], ...] = ()  # compared with each other: (before, after)
    notes: tuple[str, ...] = ()  # what a reader must know: interrupted runs, what was not recorded

    @property
    def counts(self) -> Mapping[ChangeKind, int]:
        """How many there are of each kind that occurs, the gravest first."""
        found = Counter(change.kind for change in self.changes)
        return {kind: found[kind] for kind in ChangeKind if found[kind]}

    @property
    def regressions(self) -> tuple[Change, ...]:
        """What is worse than before and did happen again where it was retried."""
        return tuple(change for change in self.changes if change.regression and not change.flaky)

    @property
    def broken(self) -> bool:
        """Whether something could not be had or started, so that nothing worse is no proof."""
        return any(change.infrastructure for change in self.changes)

    @property
    def exit_status(self) -> int:
        """1 with regressions, 3 without them where something could not be had or started, 0 otherwise."""
        return 1 if self.regressions else 3 if self.broken else 0


def same_change(change: Change) -> tuple[object, ...]:
    """What two comparisons that found the same have in common, whatever reasons each has for it."""
    return change.kind, change.id, change.before, change.after


def by_kernels(changes: Iterable[Change]) -> list[list[Change]]:
    """Put what is the same on several kernels together, in the order of the first of each."""
    groups: dict[tuple[object, ...], list[Change]] = {}
    for change in changes:
        key = (change.kind, change.case, change.before, change.after, change.reasons)
        groups.setdefault(key if change.case else (*key, change.kernel), []).append(change)
    return list(groups.values())
