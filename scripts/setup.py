#!/usr/bin/env python3
"""Make this checkout ready: system packages, `.venv/`, the project in it. Quick when all is there.

Called by the Makefile before everything else, with the purposes (`run`, `test`, `bench`) whose tools
are needed.
Standard library only, and this first part must parse with any Python 3, to say so when it is too old.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 -- the one place that must say it in words
    sys.exit(
        "bpfmatrix needs Python 3.11 or newer; %s is %d.%d.\n"  # noqa: UP031 -- f-strings are no older than 3.6
        "  next: make PYTHON=/path/to/a/newer/python3 …" % (sys.executable, *sys.version_info[:2])
    )

import fcntl
import hashlib
import json
import os
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "bpfmatrix-setup.json"

sys.dont_write_bytecode = True  # may run as root through sudo: leave no files the owner cannot remove
sys.path.insert(0, str(ROOT))
from harness.doctor import packages  # noqa: E402 -- standard library only; the path is known from here on


def main(purposes: list[str]) -> int:
    """Set up for `purposes`; returns the exit status."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # two `make` at once: the second waits and finds all done
        install_packages(purposes)
        prepare_venv()
    except (RuntimeError, OSError) as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 3
    except subprocess.CalledProcessError as error:
        print(f"set-up: `{' '.join(map(str, error.cmd))}` failed; what it printed is above", file=sys.stderr)
        return 3
    finally:
        os.close(folder)
    return 0


def install_packages(purposes: list[str]) -> None:
    """Install the system packages whose tools are missing; RuntimeError when one still is afterwards."""
    lacking = [found.tool for found in packages.missing(purposes)]
    if not lacking:
        return
    say(f"installing what is missing: {', '.join(tool.name for tool in lacking)}")
    packages.install(lacking)
    # Modules looked up once and missing stay so within a process; creating the environment tells better.
    looked = (found for found in packages.missing(purposes) if not found.tool.modules)
    still = [f"{found.tool.name} ({found.problem})" for found in looked]
    if still:
        raise RuntimeError(f"installed, and still not usable: {', '.join(still)}")


def prepare_venv() -> None:
    """Create `.venv` when there is none that works, and install the project when its dependencies changed."""
    wanted = {"root": str(ROOT), "project": project_hash()}
    have = read_stamp()
    commands = [VENV / "bin" / name for name in ("python", "pip", "bpfmatrix", "pytest", "tox")]
    if have == wanted and all(command.exists() for command in commands):
        return
    if moved(have) or not all(command.exists() for command in commands[:2]):
        say(f"creating {VENV}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
    say("installing the project and its dependencies into .venv")
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--editable", f"{ROOT}[dev]"], check=True, cwd=ROOT)
    STAMP.write_text(json.dumps(wanted))


def project_hash() -> str:
    """Hash those parts of pyproject.toml that decide what is installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    parts = [project.get("build-system"), project.get("project"), project.get("tool", {}).get("setuptools")]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def read_stamp() -> dict[str, str]:
    """Read what the last complete set-up wrote; empty when there was none."""
    try:
        return dict(json.loads(STAMP.read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def moved(stamp: dict[str, str]) -> bool:
    """Tell whether this environment was made in another place: its scripts name the old one."""
    return bool(stamp) and stamp.get("root") != str(ROOT)


def say(text: str) -> None:
    """Print one line of progress, at once."""
    print(f"set-up: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["run"]))
