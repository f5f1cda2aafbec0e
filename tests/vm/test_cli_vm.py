"""`bpfmatrix` with real kernels: what it answers, writes and leaves behind."""

from __future__ import annotations

import csv
import io
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from processes import Command

from harness.build.builder import Builder
from harness.build.toolchain import find_compilers
from harness.model import BuiltObject, Program, ProgramKind

pytestmark = pytest.mark.vm

OBJECT_SOURCE = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("socket") int fine(void *ctx) { return 0; }
SEC("socket") int endless(void *ctx) { for (;;) bpf_get_prandom_u32(); }
char LICENSE[] SEC("license") = "GPL";
"""


@pytest.fixture(autouse=True)
def kernels_are_here(kernel: Any) -> None:
    """Download before the clock of a test runs."""
    kernel("5.10")


def run_file(out: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((out / "run.json").read_text())
    return data


def test_a_program_on_the_oldest_and_the_newest(tmp_path: Path, newest: Any) -> None:
    names = ["5.10", newest.name]
    kernels = [word for name in names for word in ("--kernel", name)]
    command = Command("bpfmatrix", "run", *kernels, "--out", str(tmp_path), "-k", "ringbuf_size and 4096-raw")
    status, out = command.finish()
    command.assert_no_guest_left()
    data = run_file(tmp_path)
    assert [kernel["name"] for kernel in data["kernels"]] == names
    assert {(case["kernel"], case["verdict"]) for case in data["cases"]} == {
        (name, "accept") for name in names
    }
    assert status == 0, out
    assert f"written: {tmp_path}/matrix.html" in out
    assert data["run"]["command"].startswith("bpfmatrix run --kernel 5.10")


def test_repeated_in_fresh_guests_the_answers_agree(tmp_path: Path) -> None:
    command = Command(
        "bpfmatrix", "run", "--kernel", "5.10", "--repeat", "3", "--out", str(tmp_path), "-k", "4096-raw"
    )
    status, out = command.finish()
    assert status == 0, out
    assert out.count("ready in") == 3
    assert "1 case on 1 kernel, 3 times each: " in out
    data = run_file(tmp_path)
    assert data["run"]["repeat"] == 3
    assert [(case["flaky"], case["answers"]) for case in data["cases"]] == [(False, [])]


def test_rows_of_the_host_need_a_kernels_btf_but_no_guest(tmp_path: Path) -> None:
    words = "shared_struct and uapi-vmlinux_h-g"
    command = Command("bpfmatrix", "run", "--kernel", "5.10", "--out", str(tmp_path), "-k", words)
    status, out = command.finish()
    assert status == 0, out
    assert "starting its guest" not in out
    rows = {case["id"].partition("[")[2]: case for case in run_file(tmp_path)["cases"]}
    assert {name: case["verdict"] for name, case in rows.items()} == {
        "uapi-vmlinux_h-gcc]@host": "accept",
        "uapi-vmlinux_h-gxx]@host": "reject",
    }
    assert rows["uapi-vmlinux_h-gxx]@host"]["cause"] == "host-vmlinux-h"
    assert "vmlinux.h:" in rows["uapi-vmlinux_h-gxx]@host"]["log"]


def test_a_foreign_object_gets_a_row_per_program(tmp_path: Path) -> None:
    source = tmp_path / "mine.bpf.c"
    source.write_text(OBJECT_SOURCE)
    built = Builder().build(Program("mine", source, ProgramKind.SOURCE, ()), None, find_compilers(())[0])
    assert isinstance(built, BuiltObject)
    shutil.copy(built.path, tmp_path / "theirs.bpf.o")
    command = Command(
        "bpfmatrix",
        "run",
        "--kernel",
        "5.10",
        "--programs",
        str(tmp_path / "theirs.bpf.o"),
        "--out",
        str(tmp_path),
    )
    status, out = command.finish()
    assert status == 0, out
    rows = {case["variant"]: case for case in run_file(tmp_path)["cases"]}
    assert {case["program"] for case in rows.values()} == {"theirs.bpf.o"}
    assert {name: case["verdict"] for name, case in rows.items()} == {"fine": "accept", "endless": "reject"}
    assert {case["outcome"] for case in rows.values()} == {"no_expectation"}

    status, out = Command("bpfmatrix", "report", str(tmp_path / "run.json"), "--format", "csv").finish()
    assert status == 0
    assert {row["variant"] for row in csv.DictReader(io.StringIO(out))} == {"fine", "endless"}


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted(tmp_path: Path, number: signal.Signals, status: int) -> None:
    command = Command("bpfmatrix", "run", "--kernel", "5.10", "--out", str(tmp_path))
    command.wait_for_guest()
    command.interrupt(number)
    ended, out = command.finish(60)
    command.assert_no_guest_left()
    assert ended == status, out
    assert "Traceback" not in out
    assert run_file(tmp_path)["run"]["partial"] is True


def test_shown_on_a_pipe_as_plain_lines(tmp_path: Path) -> None:
    _, out = Command(
        "bpfmatrix", "run", "--kernel", "5.10", "--out", str(tmp_path), "-k", "ringbuf_size and 4096"
    ).finish()
    assert "5.10: starting its guest\n" in out
    assert " ready in " in out
    assert "\x1b" not in out


@pytest.mark.parametrize(("words", "answer"), [("uname -r", "5.10."), ("", "reboot: Power down")])
def test_a_shell_without_a_terminal_takes_its_input_and_ends(words: str, answer: str) -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "bpfmatrix", "shell", "5.10"],
        input=words,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert answer in done.stdout
