"""Step by step from two measurements to what differs: `compare_runs`. Pure.

What counts as worse: an answer is as good as it lets a program work: behaves or accepted is better than
rejected, rejected better than crashed, and a program that now loads and does the wrong thing is worse than
one that was refused. A measured answer that is lost (not run, missing) is worse than any answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.model import HOST, KernelVersion, Outcome, Run, VerdictKind
from harness.record.attribution import reasons
from harness.record.changes import Change, ChangeKind, Changes, Thresholds
from harness.record.snapshot import Answer, CaseRecord, KernelState, Snapshot, snapshot, tagged
from harness.record.times import WORTH_TELLING, drift, same_work
from harness.scenario import Behaviour

_ABNORMAL = {
    Outcome.CRASH: ChangeKind.CRASH,
    Outcome.HANG: ChangeKind.HANG,
    Outcome.SPLAT: ChangeKind.SPLAT,
}
_NOTHING = "–"
_ORDER = {kind: place for place, kind in enumerate(ChangeKind)}


def compare_runs(
    before: Run | Snapshot,
    after: Run | Snapshot,
    thresholds: Thresholds | None = None,
    *,
    kernels: Mapping[str, str] | None = None,
) -> Changes:
    """Say what is different in `after`.

    `kernels` pairs kernels (before → after) and limits the comparison to them; by default kernels of one
    name are compared, or the only one of each side where the names differ. Rows of the host are compared
    wherever both sides have any.
    """
    old, new = _alike_tagged(_taken(before), _taken(after))
    pairs = dict(kernels) if kernels is not None else pairs_of(old, new)
    found = [] if kernels is not None else list(_kernels(old, new, pairs))
    compared = 0
    notes = list(_notes(old, new))
    for kernel_before, kernel_after in [*pairs.items(), *_host(old, new)]:
        side = _Side(old, new, kernel_before, kernel_after, thresholds or Thresholds())
        found += side.changes()
        compared += side.compared
        notes += side.notes()
    found.sort(key=lambda change: (_ORDER[change.kind], not change.regression))
    return Changes(old.label, new.label, tuple(found), compared, tuple(pairs.items()), tuple(notes))


def compare_case(
    old: CaseRecord | None, new: CaseRecord, thresholds: Thresholds | None = None
) -> tuple[Change, ...]:
    """Say what is different in one case of one kernel; `old` is None for a new one."""
    kernel = new.kernel
    before = Snapshot("", {}, {} if old is None else {(kernel, old.case): old})
    after = Snapshot("", {}, {(kernel, new.case): new})
    return tuple(_Side(before, after, kernel, kernel, thresholds or Thresholds()).changes())


def pairs_of(old: Snapshot, new: Snapshot) -> dict[str, str]:
    """Pair the kernels: by name, or the only one of each side."""
    if len(old.kernels) == 1 and len(new.kernels) == 1:
        return dict(zip(old.kernels, new.kernels, strict=True))
    return {name: name for name in _by_age(old.kernels) if name in new.kernels}


def _by_age(kernels: Mapping[str, KernelState]) -> list[str]:
    return sorted(kernels, key=lambda name: (_version(kernels[name].version), name))


def _version(text: str) -> KernelVersion:
    try:
        return KernelVersion.parse(text)
    except ValueError:
        return KernelVersion(0, 0)


def _taken(measured: Run | Snapshot) -> Snapshot:
    return measured if isinstance(measured, Snapshot) else snapshot(measured)


def _alike_tagged(old: Snapshot, new: Snapshot) -> tuple[Snapshot, Snapshot]:
    """Give both sides ids with the compiler where one of them has several."""
    if old.tagged is new.tagged:
        return old, new
    return (old, tagged(new)) if old.tagged else (tagged(old), new)


def _host(old: Snapshot, new: Snapshot) -> list[tuple[str, str]]:
    both = all(any(kernel == HOST for kernel, _ in side.cases) for side in (old, new))
    return [(HOST, HOST)] if both else []


def _kernels(old: Snapshot, new: Snapshot, pairs: Mapping[str, str]) -> Iterator[Change]:
    """Yield whole kernels that are on one side only."""
    for name in _by_age(old.kernels):
        if name not in pairs:
            yield Change(ChangeKind.KERNEL_MISSING, "", name, _title(old, name), _NOTHING, regression=True)
    for name in _by_age(new.kernels):
        if name not in pairs.values() and new.kernels[name].problem is None:
            yield Change(ChangeKind.KERNEL_NEW, "", name, _NOTHING, _title(new, name), regression=False)


def _title(side: Snapshot, kernel: str) -> str:
    state = side.kernels[kernel]
    return state.version if state.release.startswith(state.version) else f"{state.version} ({state.release})"


def _notes(old: Snapshot, new: Snapshot) -> tuple[str, ...]:
    notes = [
        f"{side.label} was interrupted: not all of it was measured" for side in (old, new) if side.partial
    ]
    known = all(item.under.harness and item.source for side in (old, new) for item in _some(side))
    if not known:
        notes.append(
            "one side does not record sources and harness: attribution knows kernels and compilers only"
        )
    return tuple(notes)


def _some(side: Snapshot) -> list[CaseRecord]:
    """Return the cases that would carry a source: those that were measured."""
    return [item for item in side.cases.values() if item.answer.known]


class _Side:
    """The comparison of one kernel with its counterpart."""

    def __init__(self, old: Snapshot, new: Snapshot, before: str, after: str, thresholds: Thresholds) -> None:
        self.compared = 0
        self._before, self._after = before, after
        self._thresholds = thresholds
        self._old = {case: item for (kernel, case), item in old.cases.items() if kernel == before}
        self._new = {case: item for (kernel, case), item in new.cases.items() if kernel == after}
        self._state = new.kernels.get(after)
        self._title = _title(old, before) if before in old.kernels else before
        self._broken = self._state is not None and self._state.problem is not None
        self._partial = new.partial
        # Another kernel may well be slower altogether; one of the same name is so because the machine is.
        self.drift = drift(self._old, self._new) if before == after != HOST else 1.0

    def notes(self) -> Iterator[str]:
        """Yield what a reader must know of how this kernel was compared."""
        if self.drift >= WORTH_TELLING:
            yield (
                f"{self._after}: everything took {self.drift:.1f} times as long, so the machine was slower;"
                " times count as grown beyond that only"
            )

    def changes(self) -> Iterator[Change]:
        if self._broken and self._state is not None:
            problem = (self._state.problem or "").splitlines()[0]
            yield Change(
                ChangeKind.KERNEL_MISSING,
                "",
                self._after,
                self._title,
                problem,
                regression=False,
                infrastructure=True,
                kernel_before=self._other_name,
            )
        for case, new in self._new.items():
            old = self._old.get(case)
            yield from self._of_case(old, new)
        for case, old in self._old.items():
            if case not in self._new and old.answer.known and not (self._broken or self._partial):
                yield self._change(ChangeKind.CASE_MISSING, old, None, regression=True)

    @property
    def _other_name(self) -> str:
        return self._before if self._before != self._after else ""

    def _of_case(self, old: CaseRecord | None, new: CaseRecord) -> Iterator[Change]:
        if old is None or not old.answer.known:
            if new.answer.known:
                yield self._first_answer(old, new)
            return
        if not new.answer.known:
            # On a kernel that could not be had it is said once; on the host a compiler is not installed.
            if not self._broken:
                host = new.kernel == HOST
                yield self._change(ChangeKind.NOT_RUN, old, new, regression=not host, infrastructure=host)
            return
        self.compared += 1
        if new.flaky and not old.flaky:
            yield self._change(ChangeKind.FLAKY, old, new, regression=False)
        elif old.answer != new.answer and not new.flaky:
            kind, worse = judged(old.answer, new.answer)
            yield self._change(kind, old, new, regression=worse)
        if old.answer.verdict is new.answer.verdict and old.answer.abnormal is new.answer.abnormal:
            yield from self._numbers(old, new)

    def _first_answer(self, old: CaseRecord | None, new: CaseRecord) -> Change:
        """A case that is new; one that takes the kernel down is worse than not having it."""
        kind = _ABNORMAL.get(new.answer.abnormal, ChangeKind.CASE_NEW) if new.answer.abnormal else None
        return self._change(kind or ChangeKind.CASE_NEW, old, new, regression=kind is not None)

    def _numbers(self, old: CaseRecord, new: CaseRecord) -> Iterator[Change]:
        limits = self._thresholds
        grown = _beyond(old.insns, new.insns, limits.insns_percent, limits.insns_floor)
        if grown and old.insns is not None and new.insns is not None:
            words = (_instructions(old.insns), _instructions(new.insns, old.insns))
            yield self._change(ChangeKind.INSNS, old, new, regression=grown > 0, words=words)
        yield from self._time(old, new)

    def _time(self, old: CaseRecord, new: CaseRecord) -> Iterator[Change]:
        if old.time_us is None or new.time_us is None or old.under.accel != new.under.accel:
            return  # a time under emulation says nothing of one without
        limits = self._thresholds
        longer = new.time_us > old.time_us
        now = max(old.time_us, round(new.time_us / self.drift)) if longer else new.time_us
        if not _beyond(old.time_us, now, limits.time_percent, limits.time_floor_us):
            return
        machine = longer and same_work(old, new)
        words = (_milliseconds(old.time_us), _milliseconds(new.time_us, old.time_us))
        if machine:
            words = (words[0], f"{words[1]} for the same work: the machine")
        yield self._change(ChangeKind.TIME, old, new, regression=longer and not machine, words=words)

    def _change(
        self,
        kind: ChangeKind,
        old: CaseRecord | None,
        new: CaseRecord | None,
        *,
        regression: bool,
        infrastructure: bool = False,
        words: tuple[str, str] | None = None,
    ) -> Change:
        known = new or old
        assert known is not None  # noqa: S101 - one of them is there
        before, after = words or (_words(old), _words(new))
        return Change(
            kind,
            known.case,
            self._after,
            before,
            after,
            regression,
            reasons(old, new) if old is not None and new is not None else (),
            flaky=kind is ChangeKind.FLAKY,
            infrastructure=infrastructure,
            kernel_before=self._other_name,
        )


def judged(old: Answer, new: Answer) -> tuple[ChangeKind, bool]:
    """Return the kind of a changed answer, and whether it is worse; both answers are known."""
    if new.abnormal is not None and new.abnormal is not old.abnormal:
        return _ABNORMAL.get(new.abnormal, ChangeKind.CRASH), True
    if new.verdict is VerdictKind.ACCEPT:
        if old.verdict is VerdictKind.ACCEPT:
            return ChangeKind.BEHAVIOUR, old.behaviour is Behaviour.BEHAVES
        return ChangeKind.NEWLY_ACCEPTED, new.behaviour is Behaviour.MISBEHAVES
    if old.verdict is VerdictKind.ACCEPT:
        return ChangeKind.NEW_REJECTION, True
    return ChangeKind.OTHER_CAUSE, False


def _beyond(old: int | None, new: int | None, percent: float, floor: int) -> int:
    """Return 1 for grown beyond both thresholds, -1 for shrunk, 0 for neither or not known."""
    if old is None or new is None:
        return 0
    least, most = sorted((old, new))
    if most - least < floor or most <= least * (1 + percent / 100):
        return 0
    return 1 if new > old else -1


def _words(item: CaseRecord | None) -> str:
    if item is None:
        return _NOTHING
    if item.flaky:
        return f"flaky: {', '.join(dict.fromkeys(item.answers))}"
    if not item.answer.known and item.reason:
        return f"not run: {item.reason}"
    return str(item.answer)


def _instructions(count: int, before: int | None = None) -> str:
    return f"{count:,} instructions{_percent(count, before)}"


def _milliseconds(time_us: int, before: int | None = None) -> str:
    return f"{time_us / 1000:,.1f} ms{_percent(time_us, before)}"


def _percent(now: int, before: int | None) -> str:
    return f" ({(now - before) / before:+.0%})" if before else ""
