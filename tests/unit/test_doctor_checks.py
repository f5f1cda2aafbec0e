"""`bpfmatrix doctor`."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from harness.cli import main
from harness.cli.doctor import advice, table
from harness.doctor import checks, packages
from harness.doctor.checks import Check, State, examine, lacking
from harness.doctor.packages import Found, Tool
from harness.guest.accel import KvmVerdict

GOOD = Tool("good", ("good",), "run", "everything")
LOST = Tool("lost", ("lost-1",), "run", "the main job")
EXTRA = Tool("extra", ("extra-1",), "test", "the page's tests")
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with `good`, without `lost` and `extra`, without KVM; returns its cache."""
    monkeypatch.setenv("BPFMATRIX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(packages, "tools", lambda: (GOOD, LOST, EXTRA))
    monkeypatch.setattr(
        packages,
        "find",
        lambda tool, **_: Found(tool, "/bin/good", "1.2") if tool is GOOD else Found(tool, problem="missing"),
    )
    monkeypatch.setattr(checks, "probe_kvm", lambda **_: KvmVerdict(False, "/dev/kvm does not exist"))
    return tmp_path / "cache"


def by_name(name: str) -> Check:
    return next(check for check in examine() if check.name == name)


@pytest.mark.usefixtures("machine")
def test_each_tool_gets_its_state_and_fix() -> None:
    assert by_name("good") == Check("good", State.OK, "1.2 /bin/good", "everything")
    lost = by_name("lost")
    assert (lost.state, lost.found, lost.fix.split()[-1]) == (State.BAD, "missing", "lost-1")
    extra = by_name("extra")
    assert (extra.state, extra.needed_for) == (State.OPTIONAL, "the page's tests (make test)")
    assert lacking(examine()) == (LOST, EXTRA)


@pytest.mark.usefixtures("machine")
def test_no_kvm_is_no_defect() -> None:
    kvm = by_name("KVM")
    assert (kvm.state, kvm.found, kvm.fix) == (State.NOTE, "not used: /dev/kvm does not exist", "")


@pytest.mark.usefixtures("machine")
def test_kvm_that_needs_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    denied = KvmVerdict(False, "/dev/kvm may not be opened by this user (group kvm)")
    monkeypatch.setattr(checks, "probe_kvm", lambda **_: denied)
    assert by_name("KVM").fix.startswith("sudo adduser")


def test_the_cache_and_its_size(machine: Path) -> None:
    machine.mkdir()
    (machine / "file").write_bytes(b"x" * (3 << 20))
    assert by_name("cache").found == f"{machine}: 3 MiB"
    assert by_name("disk").state is State.OK


def test_a_cache_that_cannot_be_written(machine: Path) -> None:
    machine.write_text("a file in its place")
    cache = by_name("cache")
    assert (cache.state, cache.fix) == (State.BAD, "BPFMATRIX_CACHE=/another/folder bpfmatrix doctor")


@pytest.mark.usefixtures("machine")
def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10 << 30, 10 << 30, 100 << 20))
    disk = by_name("disk")
    assert (disk.state, disk.found) == (State.BAD, "0.1 GiB free; 1 GiB is needed")


@pytest.mark.usefixtures("machine")
def test_the_command_tells_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 3
    out = capsys.readouterr().out
    assert "lost: " in out
    assert "all at once: bpfmatrix doctor --install" in out
    assert out.endswith("bpfmatrix cannot work yet; missing: lost\n")


@pytest.mark.usefixtures("machine")
def test_only_optional_things_missing_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "tools", lambda: (GOOD, EXTRA))
    assert main(["doctor"]) == 0


@pytest.mark.usefixtures("machine")
def test_install_installs_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed: list[Tool] = []

    def install(needed: tuple[Tool, ...]) -> None:
        installed.extend(needed)
        monkeypatch.setattr(packages, "find", lambda tool, **_: Found(tool, "/bin/it", "1"))

    monkeypatch.setattr(packages, "install", install)
    assert main(["doctor", "--install"]) == 0
    assert installed == [LOST, EXTRA]
    assert "bpfmatrix can work here" in capsys.readouterr().out


@pytest.mark.usefixtures("machine")
def test_install_that_is_impossible(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def install(_: object) -> None:
        raise RuntimeError("no apt here")

    monkeypatch.setattr(packages, "install", install)
    assert main(["doctor", "--install"]) == 3
    assert "bpfmatrix: no apt here" in capsys.readouterr().err


def test_table_and_advice() -> None:
    fine = (Check("a", State.OK, "7.0 /bin/a", "all"),)
    assert "7.0 /bin/a" in table(fine)
    assert advice(fine) == ["", "bpfmatrix can work here"]
