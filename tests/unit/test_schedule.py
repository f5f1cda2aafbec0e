"""Who serves which kernel, and how many guests a machine has room for."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import schedule
from harness.pytest_plugin.schedule import choose
from harness.schedule import BATCH, Board, auto_jobs, opening, pick


def test_one_goes_on_with_ones_own_then_the_unserved_then_the_longest() -> None:
    left = {"5.10": 3, "6.1": 9, "7.3": 20}
    assert pick(left, "6.1", {"6.1", "7.3"}) == "6.1"
    assert pick(left, "6.12", {"5.10"}) == "6.1"
    assert pick(left, None, set(left)) == "7.3"


@pytest.mark.parametrize(
    ("jobs", "cases", "first"),
    [
        (1, {"5.10": 500, "6.1": 500}, ["5.10"]),
        (2, {"5.10": 500, "6.1": 500, "7.3": 1}, ["5.10", "6.1"]),
        (4, {"5.10": 500, "6.1": 500}, ["5.10", "6.1", "5.10", "6.1"]),
        (4, {"5.10": 0, "6.1": 20}, ["6.1"]),
        (2, {}, []),
    ],
)
def test_where_the_guests_begin(jobs: int, cases: dict[str, int], first: list[str]) -> None:
    assert opening(jobs, cases) == first


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(["5.10", "6.1", "7.3"]), st.integers(0, 60), min_size=1),
    st.integers(1, 4),
    st.data(),
)
def test_every_case_is_handed_out_once_whoever_is_quicker(
    cases: dict[str, int], workers: int, data: st.DataObject
) -> None:
    board = Board({kernel: [[(kernel, n) for n in range(number)]] for kernel, number in cases.items()})
    at: dict[int, str] = {}
    given_out: list[tuple[str, int]] = []
    ended: list[str] = []
    idle: set[int] = set()
    while len(idle) < workers:
        worker = data.draw(st.sampled_from([w for w in range(workers) if w not in idle]))
        if worker not in at:
            kernel = board.join(worker)
            if kernel is None:
                idle.add(worker)
                continue
            at[worker] = kernel
        batch = board.take(at[worker], 0)
        assert len(batch) <= BATCH
        given_out += batch
        if not batch:
            del at[worker]
            ended += [name for name in [board.leave(worker)] if name]
    assert sorted(given_out) == sorted((kernel, n) for kernel, number in cases.items() for n in range(number))
    assert sorted(ended) == sorted(kernel for kernel, number in cases.items() if number)


def test_the_last_with_a_broken_guest_must_stay() -> None:
    board = Board({"6.1": [list(range(40))]})
    board.join(0)
    assert not board.retire(0)
    board.join(1, "6.1")
    assert board.retire(0)
    board.leave(0)
    assert not board.retire(1)


def test_later_passes_can_be_dropped() -> None:
    board = Board({"6.1": [[1], [2], [3]]})
    board.drop_later("6.1", 0)
    assert (board.take("6.1", 0), board.next_pass("6.1")) == ([1], None)


@settings(deadline=None)
@given(st.data(), st.integers(1, 4))
def test_a_night_and_xdist_send_workers_to_the_same_kernels(data: st.DataObject, workers: int) -> None:
    """The board of `run` and `nightly`, and what xdist's scheduler chooses, under the same events.

    Only whether a last small rest is worth a guest of its own differs: an xdist worker is there anyway.
    """
    sizes = data.draw(
        st.dictionaries(st.sampled_from(["5.10", "6.1", "7.3"]), st.integers(30, 60), min_size=1)
    )
    board = Board({kernel: [range(number * BATCH)] for kernel, number in sizes.items()})
    queue = [f"@{kernel}#{number}" for kernel, most in sizes.items() for number in range(most)]
    at: dict[int, str] = {}
    last: dict[int, str] = {}
    for _ in range(30):
        worker = data.draw(st.integers(0, workers - 1))
        if worker not in at:
            wanted = board.join(worker)
            assert wanted is not None
            at[worker] = wanted
        assert len(board.take(at[worker], 0)) == BATCH
        batch = choose(queue, last.get(worker), {name for other, name in last.items() if other != worker})
        queue.remove(batch)
        last[worker] = batch
        assert batch.partition("#")[0] == f"@{at[worker]}"


def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, available_mib: int, **cgroup: str) -> None:
    (tmp_path / "meminfo").write_text(f"MemTotal: 99 kB\nMemAvailable: {available_mib << 10} kB\n")
    for name, text in cgroup.items():
        (tmp_path / name.replace("_", ".")).write_text(text + "\n")
    monkeypatch.setattr(schedule, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(schedule, "_CGROUP", tmp_path)
    monkeypatch.setattr(schedule.os, "sched_getaffinity", lambda _pid: set(range(8)))


@pytest.mark.parametrize(
    ("available", "cgroup", "jobs"),
    [
        (64_000, {}, 8),
        (2_200, {}, 3),
        (300, {}, 1),
        (64_000, {"cpu_max": "250000 100000"}, 2),
        (64_000, {"cpu_max": "max 100000", "memory_max": "max"}, 8),
        (64_000, {"memory_max": str(3000 << 20), "memory_current": str(1000 << 20)}, 2),
    ],
)
def test_guests_as_far_as_processors_and_memory_allow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, available: int, cgroup: dict[str, str], jobs: int
) -> None:
    machine(tmp_path, monkeypatch, available, **cgroup)
    assert auto_jobs() == jobs
