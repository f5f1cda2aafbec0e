"""`scripts/setup.py`: what `make` runs before anything else."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.doctor import packages
from harness.doctor.packages import Found, Tool

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "setup.py"
PROJECT = '[project]\nname = "x"\ndependencies = []\n[tool.ruff]\nline-length = 80\n'


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, for a checkout in `tmp_path`, on a machine that lacks nothing."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    spec = importlib.util.spec_from_file_location("setup_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.ROOT, module.VENV = tmp_path, tmp_path / ".venv"
    module.STAMP = module.VENV / "stamp.json"
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    monkeypatch.setattr(packages, "missing", lambda _: ())
    return module  # type: ignore[no-any-return]


@pytest.fixture
def started(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Programs the set-up starts: `venv` and `pip`, which do what the real ones leave behind."""
    names: list[str] = []

    def run(command: list[str], **_: Any) -> None:
        name = "venv" if "venv" in command else "pip"
        names.append(name)
        (setup.VENV / "bin").mkdir(parents=True, exist_ok=True)
        for tool in ("python", "pip") if name == "venv" else ("bpfmatrix", "pytest", "tox"):
            (setup.VENV / "bin" / tool).touch()

    monkeypatch.setattr(subprocess, "run", run)
    return names


def test_once_and_then_never_again(setup: ModuleType, started: list[str]) -> None:
    assert setup.main(["run"]) == 0
    assert started == ["venv", "pip"]
    assert setup.main(["run"]) == 0
    assert started == ["venv", "pip"]


def test_new_dependencies_are_installed_into_the_same_environment(
    setup: ModuleType, started: list[str]
) -> None:
    setup.main([])
    (setup.ROOT / "pyproject.toml").write_text(PROJECT.replace("[]", '["y"]'))
    setup.main([])
    assert started == ["venv", "pip", "pip"]


def test_other_changes_of_pyproject_are_not_waited_for(setup: ModuleType, started: list[str]) -> None:
    setup.main([])
    (setup.ROOT / "pyproject.toml").write_text(PROJECT.replace("80", "110"))
    setup.main([])
    assert started == ["venv", "pip"]


@pytest.mark.parametrize("lost", ["python", "pip"])
def test_a_broken_environment_is_made_anew(setup: ModuleType, started: list[str], lost: str) -> None:
    setup.main([])
    (setup.VENV / "bin" / lost).unlink()
    setup.main([])
    assert started == ["venv", "pip"] * 2


def test_a_checkout_that_moved_gets_a_new_environment(setup: ModuleType, started: list[str]) -> None:
    setup.main([])
    setup.STAMP.write_text(json.dumps({**json.loads(setup.STAMP.read_text()), "root": "/somewhere/else"}))
    setup.main([])
    assert started == ["venv", "pip"] * 2


def test_an_environment_somebody_made_is_kept(setup: ModuleType, started: list[str]) -> None:
    (setup.VENV / "bin").mkdir(parents=True)
    for tool in ("python", "pip"):
        (setup.VENV / "bin" / tool).touch()
    setup.main([])
    assert started == ["pip"]


@pytest.mark.parametrize("stamp", ["", "[1]", "{", "7"])
def test_a_damaged_stamp_means_install_again(setup: ModuleType, started: list[str], stamp: str) -> None:
    setup.main([])
    setup.STAMP.write_text(stamp)
    assert setup.main([]) == 0
    assert started == ["venv", "pip", "pip"]


@pytest.mark.usefixtures("started")
def test_missing_tools_are_installed_first(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = Tool("thing", ("thing",), "run", "this test")
    lacking = [(Found(tool, problem="missing"),), ()]
    monkeypatch.setattr(packages, "missing", lambda _: lacking.pop(0))
    installed: list[Tool] = []
    monkeypatch.setattr(packages, "install", installed.extend)
    assert setup.main(["run"]) == 0
    assert installed == [tool]


def test_a_tool_that_stays_missing_ends_the_setup(
    setup: ModuleType, started: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = Tool("thing", ("thing",), "run", "this test")
    monkeypatch.setattr(packages, "missing", lambda _: (Found(tool, problem="missing"),))
    monkeypatch.setattr(packages, "install", lambda _: None)
    assert setup.main(["run"]) == 3
    assert "still not usable: thing (missing)" in capsys.readouterr().err
    assert started == []


def test_a_pip_that_fails_leaves_no_stamp(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(command: list[str], **_: Any) -> None:
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(subprocess, "run", run)
    assert setup.main([]) == 3
    assert "failed; what it printed is above" in capsys.readouterr().err
    assert not setup.STAMP.exists()


def test_an_old_python_is_told_in_words() -> None:
    """The check comes before anything an old Python could not import."""
    code = "import sys; sys.version_info = (3, 9, 2); sys.argv = ['setup.py']; exec(open({!r}).read())"
    ran = subprocess.run(
        [sys.executable, "-c", code.format(str(SCRIPT))], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert "needs Python 3.11 or newer" in ran.stderr
    assert "is 3.9" in ran.stderr
    assert "Traceback" not in ran.stderr
