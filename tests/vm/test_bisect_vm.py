"""`bpfmatrix bisect` with real kernels: a verdict that really differs."""

from __future__ import annotations

from typing import Any

import pytest
from processes import Command

pytestmark = pytest.mark.vm


def bisected(case: str, good: str, bad: str) -> tuple[int, str]:
    command = Command("bpfmatrix", "bisect", case, "--good", good, "--bad", bad)
    status, out = command.finish()
    command.assert_no_guest_left()
    return status, out


def test_kernels_that_answer_alike(kernel: Any) -> None:
    for name in ("5.10", "6.1"):
        kernel(name)
    status, out = bisected("programs/maps/ringbuf_size[4096-raw]", "5.10", "6.1")
    assert status == 2, out
    assert "5.10 and 6.1 answer alike: accept" in out


def test_the_first_kernel_that_answers_otherwise(kernel: Any) -> None:
    """6.1 has not the kfunc, 6.12 has; 6.6 in between may not be obtainable, and is then named."""
    for name in ("6.1", "6.12"):
        kernel(name)
    status, out = bisected("programs/helpers/licence[GPL-kfunc]", "6.1", "6.12")
    assert status == 0, out
    assert "reject at load with EINVAL (kfunc-missing)" in out
    last = out.strip().splitlines()[-1]
    if "skipped 6.6: " in out:
        assert last == "the first with the other answer is one of: 6.6, 6.12"
    else:
        assert last.endswith(" is the first with the other answer")
        assert last.startswith(("6.6 (6.6.", "6.12 (6.12."))
