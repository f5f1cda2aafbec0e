"""`pytest --kernel …` with real kernels."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from processes import ROOT, Command

pytestmark = pytest.mark.vm


@pytest.fixture(autouse=True)
def kernels_are_here(kernel: Any) -> None:
    """Download before the clock of a test runs."""
    kernel("5.10")


def run_file(out: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((out / "run.json").read_text())
    return data


def test_one_program(tmp_path: Path) -> None:
    command = Command(
        "pytest", "--kernel", "5.10", f"--out={tmp_path}", "programs/maps/ringbuf_size.bpf.c.j2", "-v"
    )
    status, out = command.finish()
    command.assert_no_guest_left()
    assert "programs/maps/ringbuf_size[4096-raw]@5.10 PASSED" in out
    cases = run_file(tmp_path)["cases"]
    good = {"as_expected", "no_expectation"}
    assert status == (0 if {case["outcome"] for case in cases} <= good else 1), out
    assert {case["program"] for case in cases} == {"programs/maps/ringbuf_size"}
    assert sorted(file.name for file in tmp_path.iterdir() if file.is_file()) == [
        "matrix.html",
        "matrix.md",
        "run.json",
    ]


def test_one_case_by_its_id(tmp_path: Path) -> None:
    case_id = "programs/maps/ringbuf_size[4096-raw]@5.10"
    status, out = Command("pytest", case_id, f"--out={tmp_path}").finish()
    assert status == 0, out
    assert "1 passed" in out
    assert [case["id"] for case in run_file(tmp_path)["cases"]] == [case_id]


def test_two_workers_make_one_report(tmp_path: Path) -> None:
    command = Command("pytest", "--kernel", "5.10", "-n", "2", "-k", "maps or limits", f"--out={tmp_path}")
    _, out = command.finish()
    command.assert_no_guest_left()
    assert "2 workers" in out
    assert "Traceback" not in out
    listed = Command("pytest", "--kernel", "5.10", "--collect-only", "-q", "-k", "maps or limits").finish()[1]
    ids = [line for line in listed.splitlines() if line.endswith("@5.10")]
    assert [case["id"] for case in run_file(tmp_path)["cases"]] == ids


def test_a_failing_case_shows_the_difference_and_keeps_the_log(tmp_path: Path) -> None:
    """A project of its own, whose one manifest is wrong on purpose."""
    (tmp_path / "kernels.yaml").symlink_to(ROOT / "kernels.yaml")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\ntestpaths = programs\naddopts = -p harness.pytest_plugin\n"
    )
    folder = tmp_path / "programs" / "family"
    folder.mkdir(parents=True)
    (folder / "wrong.bpf.c.j2").write_text(
        "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n"
        'SEC("socket") int f(void *ctx) { return *(volatile int *){{ address }}; }\n'
        'char LICENSE[] SEC("license") = "GPL";\n'
    )
    (folder / "wrong.yaml").write_text(
        "title: t\npitfall: N99\nclaim: c\naxes: {address: [16]}\nexpect: [{verdict: accept}]\n"
    )
    command = Command("pytest", "--kernel", "5.10", folder=tmp_path)
    status, out = command.finish()
    assert status == 1, out
    assert "unexpected: expected accept, got reject at load with EACCES" in out
    (log,) = (tmp_path / "reports" / "logs").iterdir()
    assert f"the whole log: {log.relative_to(tmp_path)}" in out
    assert "invalid mem access" in log.read_text()


def test_a_kernel_nobody_has_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "no-kernel").write_text("this is no kernel image")
    command = Command("pytest", f"--kernel-image=5.4={tmp_path}/no-kernel", f"--out={tmp_path}/reports")
    status, out = command.finish()
    assert status == pytest.ExitCode.USAGE_ERROR, out
    assert "no-kernel" in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])
def test_interrupted(tmp_path: Path, number: signal.Signals, workers: tuple[str, ...]) -> None:
    command = Command("pytest", "--kernel", "5.10", f"--out={tmp_path}", *workers)
    command.wait_for_guest()
    command.interrupt(number)
    status, out = command.finish(120)
    command.assert_no_guest_left()
    assert status == (2 if number is signal.SIGINT else 143), out
    assert "INTERNALERROR" not in out
    if (tmp_path / "run.json").exists():  # the first case may not have been done yet
        assert run_file(tmp_path)["run"]["partial"] is True
