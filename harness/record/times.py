"""Whether a verification takes longer than it did: a time is the machine's as much as the kernel's. Pure.

The verifier is deterministic: the same kernel image, object and number of instructions are the same work,
so what grew then is the time the machine took for it. And where everything takes longer, the machine is
slower: the growth of a case counts beyond that of its kernel's other cases. docs/compare.md has the
measurements this comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from harness.record.snapshot import CaseRecord

_LEAST_US = 20_000  # below, what a time consists of is mostly not the verifier
_LEAST_CASES = 8
WORTH_TELLING = 1.2


def drift(old: Mapping[str, CaseRecord], new: Mapping[str, CaseRecord]) -> float:
    """How many times as long everything took, at least 1; the records are those of one kernel, by case.

    The median over cases of the same answer and instruction count; 1 where too few tell.
    """
    ratios = [
        item.time_us / before.time_us
        for case, item in new.items()
        if (before := old.get(case)) is not None
        and before.time_us is not None
        and item.time_us is not None
        and min(before.time_us, item.time_us) >= _LEAST_US
        and before.answer == item.answer
        and before.insns == item.insns
        and before.under.accel == item.under.accel
    ]
    return max(1.0, median(ratios)) if len(ratios) >= _LEAST_CASES else 1.0


def same_work(old: CaseRecord, new: CaseRecord) -> bool:
    """Whether both are recorded as the same instructions of the same object in the same kernel image."""
    pairs = ((old.under.image, new.under.image), (old.object, new.object), (old.insns, new.insns))
    return all(was and was == now for was, now in pairs)
