from __future__ import annotations

from pathlib import Path

import pytest

from harness.build.toolchain import find_compilers, installed
from harness.errors import UserError


def fake_clang(folder: Path, name: str, version: str, bpf: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / name
    script.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo "Debian clang version {version}" && exit 0\n'
        f"exit {0 if bpf else 1}\n"
    )
    script.chmod(0o755)
    return script


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose only programs are those put into `bin`."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr("harness.build.toolchain._LLVM_DIRS", tmp_path / "lib")
    return tmp_path


def test_this_machine_has_one() -> None:
    (compiler,) = find_compilers([])
    assert compiler == installed()[0]
    assert compiler.path.exists()
    assert compiler.version.count(".") == 2


def test_the_newest_is_the_default(machine: Path) -> None:
    fake_clang(machine / "bin", "clang", "9.0.1")
    fake_clang(machine / "bin", "clang-9", "9.0.1")
    fake_clang(machine / "lib" / "llvm-19" / "bin", "clang", "19.1.7")
    fake_clang(machine / "bin", "clang-21", "21.0.0", bpf=False)
    assert [(c.name, c.version) for c in find_compilers([])] == [("clang-19", "19.1.7")]


def test_names_and_paths(machine: Path) -> None:
    fake_clang(machine / "bin", "clang-16", "16.0.6")
    (machine / "bin" / "clang").symlink_to("clang-16")
    elsewhere = fake_clang(machine / "opt", "clang", "16.0.5")
    found = find_compilers(["clang-16", "clang", str(elsewhere)])
    assert [(c.name, c.version) for c in found] == [("clang-16", "16.0.6"), ("clang-16.0.5", "16.0.5")]


def test_a_clang_outside_path_is_found_by_its_number(machine: Path) -> None:
    fake_clang(machine / "lib" / "llvm-17" / "bin", "clang", "17.0.1")
    assert find_compilers(["clang-17"])[0].version == "17.0.1"


def test_missing_ones_list_what_is_there_and_the_fix(machine: Path) -> None:
    fake_clang(machine / "bin", "clang-16", "16.0.6")
    with pytest.raises(UserError) as caught:
        find_compilers(["clang-13"])
    assert "no compiler 'clang-13'; installed: clang-16 (16.0.6)" in str(caught.value)
    assert "apt-get install clang-13" in str(caught.value)


def test_none_at_all(machine: Path) -> None:
    with pytest.raises(UserError, match=r"no clang that compiles for BPF.*\n.*bpfmatrix doctor --install"):
        find_compilers([])


def test_other_tools_are_refused(machine: Path) -> None:
    other = machine / "gcc"
    other.write_text("#!/bin/sh\necho gcc 12\n")
    other.chmod(0o755)
    without_bpf = fake_clang(machine / "bin", "clang-18", "18.1.0", bpf=False)
    for name in (str(other), str(without_bpf)):
        with pytest.raises(UserError, match="is no clang that compiles for BPF"):
            find_compilers([name])
