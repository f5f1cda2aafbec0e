"""Nights with real kernels: a regression of a program, of a kernel, and nights that are killed."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from processes import ROOT, Command

from harness.model import KernelVersion
from harness.nightly import folders
from harness.nightly.publish import FILES
from harness.record.runfile import read

pytestmark = pytest.mark.vm

KILLS = 8  # twenty, with stand-in guests, are killed in tests/unit/test_nightly_faults.py
PROGRAM = """\
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int numbers[16];

SEC("socket")
int pick(void *ctx)
{
	unsigned long i = bpf_get_prandom_u32();

	if (i >= {{ bound }})
		return 0;
	barrier_var(i);
	return numbers[i];
}

char LICENSE[] SEC("license") = "GPL";
"""
MANIFEST = """\
title: A bound
pitfall: N99
claim: An index is checked.
axes: {bound: [8, 12, 15, 16]}
expect: []
"""
CASE = "programs/family/pick[{}]@{}"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one program with four variants, on the kernels of this one."""
    shutil.copy(ROOT / "kernels.yaml", tmp_path)
    folder = tmp_path / "programs" / "family"
    folder.mkdir(parents=True)
    (folder / "pick.bpf.c.j2").write_text(PROGRAM)
    (folder / "pick.yaml").write_text(MANIFEST)
    return tmp_path


def night(project: Path, *more: str, expected: int, refresh: bool = False) -> folders.NightRecord:
    """Make a night and check how it ended; what `night.json` says of it."""
    asked = "--refresh" if refresh else "--no-refresh"
    command = Command("bpfmatrix", "nightly", asked, "--no-features", *more, folder=project)
    status, out = command.finish()
    command.assert_no_guest_left()
    assert status == expected, out
    return folders.finished(project / "reports" / "nightly")[0]


def changes(project: Path, record: folders.NightRecord) -> str:
    return (project / "reports" / "nightly" / record.name / "changes.md").read_text()


def test_an_edited_program_is_reported_exactly(project: Path, kernel: Any) -> None:
    for name in ("6.1", "6.12"):
        kernel(name)
    arguments = ("--kernel", "6.1", "--kernel", "6.12")
    first = night(project, *arguments, expected=0)
    assert (first.cases, first.changes) == (8, 0)
    program = project / "programs" / "family" / "pick.bpf.c.j2"
    program.write_text(PROGRAM.replace("i >= {{ bound }}", "i > {{ bound }}"))
    second = night(project, *arguments, expected=1)
    assert (second.regressions, second.changes, second.flaky) == (2, 2, 0)
    text = changes(project, second)
    (row,) = [line for line in text.splitlines() if "`programs/family/pick[16]`" in line and "|" in line]
    assert "new rejection" in row
    assert "6.1, 6.12" in row
    assert "accept" in row
    assert "reject at load with EACCES" in row
    assert "program source changed" in row
    assert "2 cases that got worse were tried again in a fresh guest" in text
    assert not any(word in text for word in ("kernel release changed", "compiler changed", "harness changed"))
    night(project, *arguments, expected=0)


KERNEL = """\
kernels:
  "5.10":
    source: debian
    suites: [%s]
    package: linux-image-5\\.10\\.0-%s-{flavour}
    default: true
"""


def test_another_point_release_is_fetched_named_and_found_to_be_the_reason(project: Path) -> None:
    """Debian 11 still serves 5.10.218 beside its security updates.

    Between them lies a change of the verifier: a program that may read kernel memory (CAP_PERFMON) may read
    stack it has not written, too. So what gap_leak stores in a map holds whatever lay there.
    """
    for path in (ROOT / "programs" / "structs").glob("gap_leak.*"):
        shutil.copy(path, project / "programs" / "family")
    shutil.copytree(ROOT / "programs" / "include", project / "programs" / "include")
    arguments = ("-k", "gap_leak and one_field and (packed or tail_padding)")
    (project / "kernels.yaml").write_text(KERNEL % ("bullseye", "30"))
    first = night(project, *arguments, expected=0)
    (project / "kernels.yaml").write_text(KERNEL % ("bullseye, bullseye-security", "[0-9]+"))
    second = night(project, *arguments, refresh=True, expected=1)
    (old,), (new,) = first.kernels, second.kernels
    assert KernelVersion.parse(old.version) < KernelVersion.parse(new.version)
    assert new.moved == f"{old.version} → {new.version}"
    text = changes(project, second)
    worse = [line for line in text.splitlines() if line.startswith("| newly accepted")]
    assert len(worse) == second.regressions == 2, text
    for row in worse:
        assert "reject at load with EACCES (stack-uninitialised)" in row
        assert "accept, misbehaves" in row
        assert f"kernel release changed: {new.moved}" in row
        assert f"{old.version} tonight: reject at load with EACCES" in row
        assert "so the new release is the reason" in row
        assert "source changed" not in row
    assert (second.cases, second.changes, second.flaky) == (first.cases, 2, 0)


def hashes(nights: Path) -> dict[str, str]:
    """Every file of every finished night."""
    found = {}
    for record in folders.finished(nights):
        for path in (nights / record.name).iterdir():
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def assert_whole(reports: Path) -> None:
    """Every folder with a date is complete; the history is sound and has each night at most once."""
    dated = [path for path in (reports / "nightly").iterdir() if path.name.startswith("2")]
    for folder in dated:
        assert {path.name for path in folder.iterdir()} == {*FILES, "night.json"}
        assert len(read(folder / "run.json").cases) == 4
    with closing(sqlite3.connect(reports / "history.sqlite")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        runs = [run for (run,) in connection.execute("SELECT id FROM runs")]
    assert len(set(runs)) == len(runs)


def test_killed_at_any_moment_with_a_real_guest(project: Path, kernel: Any) -> None:
    """No moment of the night loses an earlier one, leaves a half one, or a guest."""
    kernel("6.12")
    arguments = ("nightly", "--no-refresh", "--no-features", "--kernel", "6.12")
    night(project, *arguments[1:], expected=0)
    began = time.monotonic()
    night(project, *arguments[1:], expected=0)
    whole = time.monotonic() - began
    nights = project / "reports" / "nightly"
    chance = random.Random(5)  # noqa: S311 - the moments need not be secret
    guests = 0
    for number in range(KILLS):
        before = hashes(nights)
        command = Command("bpfmatrix", *arguments, folder=project)
        time.sleep(whole * (number + chance.random()) / KILLS)
        guests += len(command.guests())
        command.interrupt(signal.SIGKILL)
        command.finish()
        command.assert_no_guest_left()
        after = hashes(nights)
        assert {name: after.get(name) for name in before} == before
        assert_whole(project / "reports")
    assert guests, "none of the moments was one with a guest"
    last = night(project, *arguments[1:], expected=0)
    assert (last.cases, last.changes) == (4, 0)
    assert_whole(project / "reports")
    assert [path.name for path in nights.iterdir() if path.name.startswith(".")] == [".lock"]
    json.loads((nights / last.name / "night.json").read_text())
