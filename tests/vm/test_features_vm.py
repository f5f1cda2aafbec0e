"""`bpfmatrix features` with real kernels: what it writes, prints and survives."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import jsonschema
import pytest
from processes import Command

from harness.features.measured import FOLDER, read
from harness.features.types import FeatureKind, Support

pytestmark = pytest.mark.vm


@pytest.fixture(autouse=True)
def kernel_is_here(kernel):
    """Download before the clock of a test runs."""
    kernel("5.10")


def test_everything_is_asked_and_written(tmp_path: Path) -> None:
    command = Command("bpfmatrix", "features", "--kernel", "5.10", "--out", str(tmp_path))
    status, out = command.finish()
    command.assert_no_guest_left()
    assert status in (0, 1), out  # 1: a contradiction nobody has explained
    path = tmp_path / "5.10.json"
    measured = read(path)
    schema = json.loads((FOLDER.parent / "measured.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(json.loads(path.read_text(encoding="utf-8")), schema)
    assert {feature.kind for feature in measured.features()} == set(FeatureKind)
    loop = measured.feature(FeatureKind.HELPER, "bpf_loop")
    assert loop is not None
    assert loop.support() is Support.NO
    ringbuf = measured.feature(FeatureKind.HELPER, "bpf_ringbuf_output")
    assert ringbuf is not None
    assert ringbuf.support("kprobe") is Support.YES
    assert "measured for the first time" in out
    assert path.stat().st_size < 2 << 20


def test_what_is_as_it_was_is_not_measured_again(tmp_path: Path) -> None:
    words = ("features", "--kernel", "5.10", "--changed", "--out", str(tmp_path))
    first, _ = Command("bpfmatrix", *words).finish()
    before = (tmp_path / "5.10.json").read_bytes()
    command = Command("bpfmatrix", *words)
    status, out = command.finish()
    assert first in (0, 1)
    assert status == 0
    assert "nothing has changed since" in out
    assert (tmp_path / "5.10.json").read_bytes() == before


def test_a_guest_that_is_lost_is_replaced_and_told(tmp_path: Path) -> None:
    command = Command("bpfmatrix", "features", "--kernel", "5.10", "--jobs", "1", "--out", str(tmp_path))
    assert command.process.stdout is not None
    for line in command.process.stdout:
        if "ready in" in line:
            break
    (guest,) = command.guests()
    os.kill(guest, signal.SIGKILL)
    status, out = command.finish()
    command.assert_no_guest_left()
    assert status in (0, 1), out
    assert "a guest was lost and replaced" in out
    measured = read(tmp_path / "5.10.json")
    helper = measured.feature(FeatureKind.HELPER, "bpf_map_lookup_elem")
    assert helper is not None
    assert helper.support() is Support.YES


def test_ctrl_c_leaves_no_guest_and_no_half_file(tmp_path: Path) -> None:
    command = Command("bpfmatrix", "features", "--kernel", "5.10", "--out", str(tmp_path))
    command.wait_for_guest()
    time.sleep(1)
    command.interrupt(signal.SIGINT)
    status, _ = command.finish()
    command.assert_no_guest_left()
    assert status == 130
    assert not list(tmp_path.iterdir())


def test_a_kernel_that_cannot_be_had_is_said(tmp_path: Path) -> None:
    (tmp_path / "kernels.yaml").write_text(
        'kernels:\n  "5.9":\n    source: debian\n    suites: [bookworm]\n    package: linux-image-none\n'
    )
    command = Command(
        "bpfmatrix", "features", "--kernel", "5.9", "--out", str(tmp_path / "out"), folder=tmp_path
    )
    status, out = command.finish()
    assert status == 3
    assert "kernel 5.9 cannot be had" in out
    assert "--missing-kernel skip" in out
