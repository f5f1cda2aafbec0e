"""The search for the first kernel that answers otherwise. Nobody is booted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.model import Outcome, Stage, VerdictKind
from harness.record.bisect import Probe, bisect
from harness.record.snapshot import Answer

GOOD = Answer(VerdictKind.REJECT, Stage.LOAD, "EINVAL", "kfunc-missing")
BAD = Answer(VerdictKind.ACCEPT)
CRASH = Answer(VerdictKind.NONE, abnormal=Outcome.CRASH)


@given(st.data(), st.integers(2, 30))
def test_the_boundary_is_found_with_few_questions(data: st.DataObject, count: int) -> None:
    boundary = data.draw(st.integers(1, count - 1))
    names = [str(place) for place in range(count)]
    asked: list[str] = []

    def ask(name: str) -> Answer:
        asked.append(name)
        return BAD if int(name) >= boundary else GOOD

    found = bisect(names, GOOD, BAD, ask)
    assert (found.last, found.first, found.exact) == (str(boundary - 1), str(boundary), True)
    assert len(asked) == len(set(asked)) <= count.bit_length()


@given(st.data(), st.integers(2, 15))
def test_skipped_kernels_are_named_where_they_may_be_the_first(data: st.DataObject, count: int) -> None:
    boundary = data.draw(st.integers(1, count - 1))
    skipped = data.draw(st.sets(st.integers(1, max(1, count - 2))))
    names = [str(place) for place in range(count)]

    def ask(name: str) -> Answer | str:
        return "cannot be had" if int(name) in skipped else BAD if int(name) >= boundary else GOOD

    found = bisect(names, GOOD, BAD, ask)
    known = [place for place in range(count) if place in (0, count - 1) or place not in skipped]
    assert int(found.last) == max(place for place in known if place < boundary)
    assert int(found.first) == min(place for place in known if place >= boundary)
    assert set(map(int, found.between)) <= skipped


def test_a_crash_is_skipped_unless_an_end_crashes() -> None:
    names = ["6.1", "6.12", "7.3"]
    told: list[Probe] = []
    found = bisect(names, GOOD, BAD, lambda _: CRASH, told.append)
    assert found.between == ("6.12",)
    assert told == [Probe("6.12", None, reason="crash under the case")]
    found = bisect(names, GOOD, CRASH, lambda _: CRASH)
    assert (found.first, found.between) == ("6.12", ())


def test_a_third_answer_is_another_one() -> None:
    third = Answer(VerdictKind.REJECT, Stage.LOAD, "EPERM")
    assert bisect(["a", "b", "c"], GOOD, BAD, lambda _: third).first == "b"


def test_a_case_that_was_not_run_is_skipped() -> None:
    found = bisect(["a", "b", "c"], GOOD, BAD, lambda _: Answer(VerdictKind.NONE))
    assert found.between == ("b",)
