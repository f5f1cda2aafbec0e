"""The order of a run, with guests that are not real."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from plugin_support import REJECT, kernel

from harness import pipeline
from harness.errors import InfrastructureError
from harness.execute import describe_kernel
from harness.model import (
    HOST,
    BuiltObject,
    Case,
    CaseResult,
    HostPart,
    Kernel,
    KernelRun,
    Outcome,
    Program,
    ProgramKind,
    Variant,
    Verdict,
    VerdictKind,
)
from harness.plan import RunOptions
from harness.schedule import guests_beside
from harness.watching import Silent

BUILT = BuiltObject(Path("x.o"), "00", "int x;", None, ("f",))


class Guests:
    """Every session ever made; a variant's answers come from its name, a letter per guest."""

    def __init__(self) -> None:
        self.sessions: list[FakeSession] = []
        self.broken: set[int] = set()  # sessions, by number, that never become ready
        self.together: threading.Barrier | None = None  # so many must have been made before one is ready
        self.helped: threading.Event | None = None  # set by a third session; 6.1 answers nothing before

    def __call__(self, kernel: Kernel, _options: Any, _warm: Any = None) -> FakeSession:
        self.sessions.append(FakeSession(kernel, len(self.sessions), self))
        return self.sessions[-1]


class FakeSession:
    def __init__(self, kernel: Kernel, number: int, guests: Guests) -> None:
        self.kernel_run = describe_kernel(kernel)
        self.number = number
        self.guests = guests
        self.ran: list[str] = []
        self.closed = False

    def __enter__(self) -> FakeSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> KernelRun:
        if self.guests.together is not None and self.number < self.guests.together.parties:
            self.guests.together.wait(20)
        if self.guests.helped is not None and self.number == 2:
            self.guests.helped.set()
        if self.number in self.guests.broken:
            self.kernel_run = replace(self.kernel_run, problem="never ready")
            raise InfrastructureError("never ready")
        self.kernel_run = replace(self.kernel_run, accel="tcg")
        return self.kernel_run

    def run(self, case: Case, _built: object) -> CaseResult:
        if self.guests.helped is not None and self.kernel_run.name == "6.1":
            assert self.guests.helped.wait(20), "nobody helped"
        self.ran.append(case.variant.name)
        letter = case.variant.name[self.number % len(case.variant.name)]
        if self.number in self.guests.broken:
            verdict, outcome = Verdict(VerdictKind.NONE), Outcome.NOT_RUN
        elif letter == "a":
            verdict, outcome = Verdict(VerdictKind.ACCEPT), Outcome.NO_EXPECTATION
        else:
            verdict, outcome = REJECT, Outcome.NO_EXPECTATION
        return CaseResult(
            case.id, case.program.name, case.variant.name, case.kernel, None, "raw", verdict, outcome
        )

    def abort(self) -> None:
        """Nothing runs."""

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def guests(monkeypatch: pytest.MonkeyPatch) -> Guests:
    made = Guests()
    monkeypatch.setattr("harness.crew.KernelSession", made)
    monkeypatch.setattr("harness.crew.warm_object", lambda: None)
    monkeypatch.setattr("harness.plan.Builder.build_all", lambda _self, wanted, *_: [BUILT] * len(wanted))
    return made


def options(*variants: str, repeat: int = 1) -> RunOptions:
    program = Program("p", Path("p.o"), ProgramKind.OBJECT, tuple(Variant(name) for name in variants))
    return RunOptions(kernels=(kernel(),), programs=(program,), repeat=repeat)


def test_each_pass_has_a_guest_of_its_own(guests: Guests) -> None:
    made = pipeline.run(options("aaa", "rrr", repeat=3), Silent())
    assert [session.ran for session in guests.sessions] == [["aaa", "rrr"]] * 3
    assert all(session.closed for session in guests.sessions)
    assert made.repeat == 3
    assert [case.outcome for case in made.cases] == [Outcome.NO_EXPECTATION] * 2


def test_a_case_that_answers_differently_is_flaky(guests: Guests) -> None:
    made = pipeline.run(options("aar", "aaa", "raa", repeat=3), Silent())
    assert [case.flaky for case in made.cases] == [True, False, True]
    assert made.cases[0].answers == ("accept", "accept", "reject at load with EACCES")
    assert made.cases[2].verdict == REJECT


def test_once_is_never_flaky(guests: Guests) -> None:
    made = pipeline.run(options("ar"), Silent())
    assert (made.repeat, made.cases[0].flaky, len(guests.sessions)) == (1, False, 1)


def test_a_guest_that_breaks_later_keeps_what_was_measured(guests: Guests) -> None:
    guests.broken = {1}
    made = pipeline.run(options("aaa", repeat=3), Silent())
    assert made.kernels[0].problem == "never ready"
    assert made.cases[0].verdict.kind is VerdictKind.ACCEPT
    assert len(guests.sessions) == 2  # a third would tell nothing new


def test_several_guests_share_the_cases_of_one_kernel(guests: Guests) -> None:
    names = [f"a{number}" for number in range(230)]
    guests.together = threading.Barrier(3)
    made = pipeline.run(replace(options(*names), jobs=4), Silent())
    assert len(guests.sessions) == 3  # one for a hundred cases beside the first
    assert sorted(name for session in guests.sessions for name in session.ran) == sorted(names)
    assert [case.variant for case in made.cases] == names, "in the catalogue's order whoever ran them"
    assert all(session.closed for session in guests.sessions)
    assert [run.name for run in made.kernels] == [kernel().name]


def test_another_guest_that_does_not_start_leaves_the_work_to_the_first(guests: Guests) -> None:
    guests.broken = {1}
    guests.together = threading.Barrier(2)
    made = pipeline.run(replace(options(*(f"a{n}" for n in range(230))), jobs=2), Silent())
    assert {case.verdict.kind for case in made.cases} == {VerdictKind.ACCEPT}
    assert (len(guests.sessions[0].ran), guests.sessions[1].ran) == (230, [])
    assert made.kernels[0].problem is None


@pytest.mark.parametrize(
    ("jobs", "kernels", "cases", "beside"),
    [
        (1, 1, 999, 0),
        (2, 1, 99, 0),
        (2, 1, 100, 1),
        (4, 4, 999, 0),
        (4, 2, 999, 1),
        (64, 1, 9999, 3),
        (2, 0, 9, 0),
    ],
)
def test_guests_beside_the_first(jobs: int, kernels: int, cases: int, beside: int) -> None:
    assert guests_beside(jobs, kernels, cases) == beside


def test_progress_counts_every_pass(guests: Guests) -> None:
    class Counting(Silent):
        total = 0
        done = 0

        def planned(self, total: int) -> None:
            self.total = total

        def case_done(self, result: CaseResult) -> None:
            self.done += 1

    counting = Counting()
    pipeline.run(options("a", "r", repeat=2), counting)
    assert (counting.total, counting.done) == (4, 4)


def test_rows_of_the_host_come_once_and_boot_nothing(guests: Guests, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "host_tools", lambda: {"gcc": "12.2.0"})
    user = Program(
        "u", Path("u.o"), ProgramKind.OBJECT, (Variant("x-gcc"),), host=HostPart(Path("u.host.c.j2"))
    )
    kernels = (kernel("5.10"), kernel("6.1"))
    alone = pipeline.run(RunOptions(kernels, (user,), repeat=3), Silent())
    assert [(case.id, case.kernel) for case in alone.cases] == [("u[x-gcc]@host", HOST)]
    assert not guests.sessions
    assert [run.name for run in alone.kernels] == ["5.10", "6.1"]
    assert alone.tools["gcc"] == "12.2.0"

    both = RunOptions(kernels, (user, *options("a").programs))
    made = pipeline.run(both, Silent())
    assert [case.id for case in made.cases] == ["p[a]@5.10", "p[a]@6.1", "u[x-gcc]@host"]
    assert len(guests.sessions) == 2


def test_whoever_is_done_helps_with_the_kernel_that_has_most_left(guests: Guests) -> None:
    """Two guests, two kernels: 8 cases on one and 230 on the other."""
    few = Program("few", Path("f.o"), ProgramKind.OBJECT, tuple(Variant(f"a{n}") for n in range(8)))
    many = Program("many", Path("m.o"), ProgramKind.OBJECT, tuple(Variant(f"a{n}") for n in range(230)))

    def keep(case: Case) -> bool:
        return (case.program.name == "few") == (case.kernel == "5.10")

    kernels = (kernel("5.10"), kernel("6.1"))
    guests.together = threading.Barrier(2)
    guests.helped = threading.Event()
    made = pipeline.run(RunOptions(kernels=kernels, programs=(few, many), keep=keep, jobs=2), Silent())
    assert len(made.cases) == 238
    assert [session.kernel_run.name for session in guests.sessions[2:]] == ["6.1"]
    assert guests.sessions[2].ran


def test_a_kernel_that_is_done_is_told_of_with_its_rows(guests: Guests) -> None:
    told: list[tuple[str, int]] = []
    kernels = (kernel("5.10"), kernel("6.1"))
    given = replace(options("a", "r", repeat=2), kernels=kernels, jobs=2)
    made = pipeline.run(
        replace(given, on_kernel=lambda run, rows: told.append((run.name, len(rows)))), Silent()
    )
    assert sorted(told) == [("5.10", 2), ("6.1", 2)]
    assert len(made.cases) == 4
