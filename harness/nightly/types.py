"""The words of a night: what was asked, what became of the kernels, what came out. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from harness.guest.options import GuestOptions
from harness.model import Kernel, Run
from harness.record.changes import Changes, Thresholds


@dataclass(frozen=True, slots=True)
class Places:
    """Where a night reads and writes, all below the folder of the reports."""

    reports: Path
    baseline: Path

    @property
    def nights(self) -> Path:
        """The folder that holds a folder per night, and their index."""
        return self.reports / "nightly"

    @property
    def history(self) -> Path:
        """The SQLite file of all nights."""
        return self.reports / "history.sqlite"


@dataclass(frozen=True, slots=True)
class Selection:
    """What a person chose of what there is; nights of another selection are not compared."""

    keyword: str = ""
    programs: tuple[str, ...] = ()  # handed in beside the catalogue, as typed
    clang: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a night is to be made."""

    places: Places
    selection: Selection = Selection()
    guest: GuestOptions = field(default_factory=GuestOptions)
    jobs: int = 1
    thresholds: Thresholds = field(default_factory=Thresholds)
    refresh: bool = True
    keep: int | None = None  # nights whose folders stay; None = all
    features: bool = False  # ask every kernel for its features, too
    command: str = ""  # as typed


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What became of one kernel: `now` None = it cannot be had, for the reason `problem`."""

    name: str
    now: Kernel | None
    before: Kernel | None = None  # what the cache had
    problem: str = ""
    stale: str = ""  # why its source could not be asked for something newer


@dataclass(frozen=True, slots=True)
class KernelNight:
    """One kernel of a night as the report names it."""

    name: str
    version: str  # "6.12.117", "" for one that could not be had
    release: str = ""
    moved: str = ""  # "6.12.116 → 6.12.117" since the night before
    stale: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class NightRecord:
    """`night.json`: what the index page and the next night need of a night, without its run file."""

    name: str  # of its folder: the date, with -2, -3 … for further nights of a date
    number: int  # counts the nights of this folder; unlike dates it never goes back
    start: str
    end: str
    run_id: str
    status: int
    selection: Selection
    kernels: tuple[KernelNight, ...]
    cases: int
    regressions: int
    changes: int
    flaky: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Findings:
    """What a night found out: comparisons after the retry, and what the release before says."""

    comparisons: tuple[Changes, ...]  # with the baseline, with the night before; those there are
    retried: int = 0
    release_before: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # by case id
    notes: tuple[str, ...] = ()

    @property
    def regressions(self) -> int:
        """Cases (or kernels) that are worse than in any comparison."""
        return len({change.id for changes in self.comparisons for change in changes.regressions})

    @property
    def flaky(self) -> tuple[str, ...]:
        """Ids of what happened once and not again."""
        ids = (change.id for changes in self.comparisons for change in changes.changes if change.flaky)
        return tuple(dict.fromkeys(ids))


@dataclass(frozen=True, slots=True)
class Night:
    """A finished night, ready to be written."""

    record: NightRecord
    run: Run
    findings: Findings
    folder: str = ""  # where it is going to be, as the person names the reports
