"""Which guest serves which kernel: the rule `bpfmatrix run`, `bpfmatrix nightly` and pytest-xdist share.

Cases come in small batches of one kernel. Whoever is free takes the next batch of the kernel it has a guest
of, else of one nobody serves, else it helps where most is left. So a kernel's guest is used until its cases
are done, and no processor idles while another kernel has a long way to go.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

Item = TypeVar("Item")

BATCH = 8  # cases; small enough that all end together, large enough that handing out does not matter
GUEST_MIB = 540  # of a guest of 448 MiB with its QEMU, measured
_WORTH_A_GUEST = 24  # cases that must be left of a kernel before another guest of it is restored
_MOST_BESIDE = 3
_KEPT_FREE_MIB = 512  # for compilers, and the machine itself
_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")


def pick(left: Mapping[str, int], own: str | None, served: Collection[str]) -> str:
    """Name the kernel to go on with: one's own, else the first nobody serves, else that with most left.

    `left` is what waits of each kernel, in their order, not empty.
    """
    if own is not None and own in left:
        return own
    free = [kernel for kernel in left if kernel not in served]
    return free[0] if free else max(left, key=lambda kernel: left[kernel])


def opening(jobs: int, cases: Mapping[str, int]) -> list[str]:
    """Say which kernel each guest begins with: one for each kernel, more where there are fewer."""
    wanted = [kernel for kernel, number in cases.items() if number]
    first = wanted[: max(1, jobs)]
    for kernel in wanted:
        beside = guests_beside(jobs, len(wanted), cases[kernel])
        first += [kernel] * min(beside, max(0, jobs - len(first)))
    return first


def guests_beside(jobs: int, kernels: int, cases: int) -> int:
    """How many more guests than one a kernel gets where jobs are left: one for a hundred cases, at most 3."""
    return max(0, min(jobs // max(1, kernels) - 1, cases // 100, _MOST_BESIDE))


def auto_jobs(guest_mib: int = GUEST_MIB) -> int:
    """How many guests this machine runs side by side: one per processor, as far as memory allows; at least 1.

    Both as this process may use them: its affinity and its cgroup's limits count.
    """
    return max(1, min(_processors(), (_free_mib() - _KEPT_FREE_MIB) // guest_mib))


class Board(Generic[Item]):
    """The work of all kernels, and who is at which. Safe for threads.

    A kernel's work is passes, each a list of cases; a pass begins when everything of the one before is handed
    out. Whoever `join`s a kernel `take`s batches of it until there are none, and then `leave`s.
    """

    def __init__(self, passes: Mapping[str, Sequence[Sequence[Item]]]) -> None:
        self._lanes = {kernel: _batches(work) for kernel, work in passes.items()}
        self._at: dict[int, str] = {}
        self._finished: set[str] = set()
        self._lock = threading.Lock()

    def join(self, worker: int, wanted: str | None = None, avoid: Collection[str] = ()) -> str | None:
        """Put `worker` on a kernel, on `wanted` while it has work; None when there is nothing worth doing."""
        with self._lock:
            served = set(self._at.values())
            left = {kernel: self._left(kernel) for kernel in self._lanes if kernel not in avoid}
            useful = {
                kernel: cases
                for kernel, cases in left.items()
                if cases >= (_WORTH_A_GUEST if kernel in served and kernel != wanted else 1)
            }
            if not useful:
                return None
            self._at[worker] = pick(useful, wanted, served)
            return self._at[worker]

    def take(self, kernel: str, number: int) -> Sequence[Item]:
        """Hand out the next batch of a kernel's pass `number`; empty when there is no more of that pass."""
        with self._lock:
            lane = self._lanes[kernel]
            return lane.popleft()[1] if lane and lane[0][0] == number else ()

    def next_pass(self, kernel: str) -> int | None:
        """Say which pass the next batch of a kernel belongs to."""
        with self._lock:
            return self._lanes[kernel][0][0] if self._lanes[kernel] else None

    def retire(self, worker: int) -> bool:
        """Whether a worker whose guest does not work may go: others go on, or nothing is left to do.

        False when it is the last: then it is for this worker to say of every case left that it did not run.
        """
        with self._lock:
            kernel = self._at[worker]
            alone = sum(at == kernel for at in self._at.values()) == 1
            return not (alone and self._lanes[kernel])

    def drop_later(self, kernel: str, number: int) -> None:
        """Forget the passes of a kernel after pass `number`: they would tell nothing new."""
        with self._lock:
            self._lanes[kernel] = deque(batch for batch in self._lanes[kernel] if batch[0] <= number)

    def leave(self, worker: int) -> str | None:
        """Take `worker` off its kernel; names the kernel when this was the end of it, once."""
        with self._lock:
            kernel = self._at.pop(worker)
            over = not self._lanes[kernel] and kernel not in self._at.values()
            if not over or kernel in self._finished:
                return None
            self._finished.add(kernel)
            return kernel

    def _left(self, kernel: str) -> int:
        return sum(len(batch) for _, batch in self._lanes[kernel])


def _batches(passes: Sequence[Sequence[Item]]) -> deque[tuple[int, Sequence[Item]]]:
    return deque(
        (number, cases[start : start + BATCH])
        for number, cases in enumerate(passes)
        for start in range(0, len(cases), BATCH)
    )


def _processors() -> int:
    allowed = len(os.sched_getaffinity(0))
    quota, _, period = _read(_CGROUP / "cpu.max").partition(" ")
    if quota.isdigit() and period.isdigit() and int(period):
        allowed = min(allowed, max(1, int(quota) // int(period)))
    return allowed


def _free_mib() -> int:
    """MiB that can be had without swapping; without a word about it from the kernel, enough."""
    found = [_meminfo(_read(_MEMINFO).splitlines())]
    limit, used = _read(_CGROUP / "memory.max"), _read(_CGROUP / "memory.current")
    if limit.isdigit() and used.isdigit():
        found.append((int(limit) - int(used)) >> 20)
    return min((mib for mib in found if mib is not None), default=1 << 20)


def _meminfo(lines: Iterable[str]) -> int | None:
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) >> 10
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
