"""The tools the project calls: found, judged, and installed on request."""

from __future__ import annotations

import os
import shutil
import stat
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.doctor import packages
from harness.doctor.packages import Found, Tool, find, install, install_command, missing, tools

PURPOSES = {"run", "test", "bench"}


def tool(**changes: object) -> Tool:
    plain = Tool(name="thing", packages=("thing",), purpose="run", why="this test", commands=("thing",))
    return replace(plain, **changes)  # type: ignore[arg-type]


def command(folder: Path, name: str, text: str = "#!/bin/sh\necho thing 12.3.4 built by gcc 9.9\n") -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(packages, "_SYSTEM_FOLDERS", ())
    return folder


def test_the_list_is_whole() -> None:
    assert len({entry.name for entry in tools()}) == len(tools()) > 10
    for entry in tools():
        assert entry.purpose in PURPOSES
        assert entry.packages
        assert entry.why
        assert entry.commands or entry.files or entry.modules
        assert not (entry.minimum and entry.version is None), "a minimum nobody could check"


def test_every_tool_is_known_to_this_machine() -> None:
    """The set-up ran before these tests, so what it installs must satisfy its own list."""
    assert [found.tool.name for found in missing({"run", "test"})] == []


def test_found_with_its_version(empty_path: Path) -> None:
    path = command(empty_path, "thing")
    asking = tool(version=("--version",))
    assert find(asking, ask_version=True) == Found(asking, str(path), "12.3.4")
    assert find(asking) == Found(asking, str(path), ""), "not run unless asked"


def test_the_first_of_several_commands_counts(empty_path: Path) -> None:
    command(empty_path, "thing")
    better = command(empty_path, "thing-19")
    assert find(tool(commands=("thing-20", "thing-19", "thing"))).where == str(better)


@pytest.mark.usefixtures("empty_path")
def test_missing() -> None:
    assert find(tool()).problem == "missing"
    assert find(tool(commands=(), files=("/no/such/*/file",))).problem == "missing"
    assert find(tool(modules=("no_such_module",))).problem == "missing"


def test_too_old(empty_path: Path) -> None:
    command(empty_path, "thing")
    assert find(tool(version=("-v",), minimum="12.4"), ask_version=True).problem == "older than 12.4"
    assert find(tool(version=("-v",), minimum="9"), ask_version=True).problem is None, "numbers, not text"


@pytest.mark.parametrize("text", ["#!/bin/sh\nexit 3\n", "#!/no/such/interpreter\n"])
def test_a_command_that_tells_no_version(empty_path: Path, text: str) -> None:
    command(empty_path, "thing", text)
    assert find(tool(version=("-v",), minimum="7"), ask_version=True).version == ""


def elf(*kinds: int) -> str:
    """A 64-bit ELF header and program headers of these types, as text of bytes."""
    head = b"\x7fELF\x02\x01\x01".ljust(32, b"\0") + struct.pack(
        "<QQIHHHHHH", 64, 0, 0, 64, 56, len(kinds), 0, 0, 0
    )
    table = b"".join(struct.pack("<I", kind).ljust(56, b"\0") for kind in kinds)
    return (head + table).decode("latin-1")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (elf(1, 1), None),
        (elf(6, 3, 1), "is not statically linked"),
        ("#!/bin/sh\n", "is not statically linked"),
        ("", "is not statically linked"),
    ],
)
def test_statically_linked(empty_path: Path, content: str, problem: str | None) -> None:
    path = command(empty_path, "thing", "")
    path.write_bytes(content.encode("latin-1"))
    assert find(tool(static=True)).problem == problem


def test_the_command_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    wanted = [tool(), tool(packages=("thing-19", "thing")), tool()]
    assert install_command(wanted) == "sudo apt-get install -y --no-install-recommends thing thing-19"


@pytest.mark.usefixtures("empty_path")
def test_no_apt_no_install() -> None:
    with pytest.raises(RuntimeError, match="no apt here"):
        install([tool()])


def test_neither_root_nor_sudo(empty_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command(empty_path, "apt-get")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(RuntimeError, match="not root, and no sudo; as root: sudo apt-get install"):
        install([tool()])


@pytest.fixture
def fake_apt(empty_path: Path, tmp_path: Path) -> Path:
    """An apt that notes how it was called and offers `thing-19` and `thing`; returns its notes."""
    notes = tmp_path / "notes"
    for name in ("sh", "env", "echo"):
        (empty_path / name).symlink_to(shutil.which(name, path="/usr/bin:/bin") or "")
    command(empty_path, "apt-get", f'#!/bin/sh\necho "apt-get $*" >> {notes}\n')
    command(empty_path, "sudo", f'#!/bin/sh\necho sudo >> {notes}\nexec "$@"\n')
    offers = 'case $2 in thing-1*) echo "  Candidate: 1.0";; *) echo "  Candidate: (none)";; esac'
    command(empty_path, "apt-cache", f"#!/bin/sh\n{offers}\n")
    return notes


def test_installs_after_one_update(fake_apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    install([tool(packages=("other-7", "thing-19", "thing")), tool(packages=("nowhere-1", "thing")), tool()])
    lines = [line.replace("-q -o DPkg::Lock::Timeout=600 ", "") for line in fake_apt.read_text().splitlines()]
    assert lines == ["apt-get update", "apt-get install -y --no-install-recommends thing-19 thing"]


def test_installs_through_sudo(fake_apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    install([tool()])
    assert [line.split()[0] for line in fake_apt.read_text().splitlines()] == ["sudo", "apt-get"] * 2


@pytest.mark.usefixtures("fake_apt")
def test_an_apt_that_fails(empty_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    command(empty_path, "apt-get", "#!/bin/sh\nexit 100\n")
    with pytest.raises(RuntimeError, match="`apt-get update` ended with status 100"):
        install([tool()])


def test_the_setup_needs_the_standard_library_only() -> None:
    """It runs before there is a virtual environment: -I -S leave nothing else to import."""
    root = Path(packages.__file__).parents[2]
    code = f"import sys; sys.path.insert(0, {str(root)!r})\n"
    code += "import harness.doctor.packages as p; print(len(p.tools()))"
    ran = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert int(ran.stdout) == len(tools())
