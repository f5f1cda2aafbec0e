"""The tools the project calls: which are here, which package brings a missing one, installing it.

The set-up runs this before there is a virtual environment, so it imports the standard library only.
The list itself is `tools.toml` beside this file.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import struct
import subprocess
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOOLS_FILE = Path(__file__).with_name("tools.toml")
_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # not on a plain user's PATH
_VERSION = re.compile(r"\d+(?:\.\d+)+|\b\d+\b")
_PT_INTERP = 3


@dataclass(frozen=True)
class Tool:
    """One entry of `tools.toml`; the file's head explains the fields."""

    name: str
    packages: tuple[str, ...]
    purpose: str
    why: str
    commands: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    static: bool = False
    version: tuple[str, ...] | None = None
    minimum: str | None = None


@dataclass(frozen=True)
class Found:
    """What was found of a tool; `problem` is None when it will do. `where` is a path or ""."""

    tool: Tool
    where: str = ""
    version: str = ""
    problem: str | None = None


@functools.cache
def tools() -> tuple[Tool, ...]:
    """Read all entries of `tools.toml`, in its order."""
    with TOOLS_FILE.open("rb") as file:
        entries: list[dict[str, Any]] = tomllib.load(file)["tool"]
    return tuple(_tool(entry) for entry in entries)


def _tool(entry: dict[str, Any]) -> Tool:
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()
    }
    return Tool(**fields)


def find(tool: Tool, *, ask_version: bool = False) -> Found:
    """Look for `tool`; its version is asked for, which runs it, only with `ask_version`."""
    where = _locate(tool)
    if where is None:
        return Found(tool, problem="missing")
    if tool.static and not _is_static(Path(where)):
        return Found(tool, where, problem="is not statically linked")
    version = _version(where, tool.version) if ask_version and tool.version is not None else ""
    if tool.minimum and version and _numbers(version) < _numbers(tool.minimum):
        return Found(tool, where, version, f"older than {tool.minimum}")
    return Found(tool, where, version)


def missing(purposes: Iterable[str]) -> tuple[Found, ...]:
    """List the tools of these purposes that are not here, without running any of them."""
    wanted = set(purposes)
    looked = (find(tool) for tool in tools() if tool.purpose in wanted)
    return tuple(found for found in looked if found.problem)


def which(command: str) -> str | None:
    """Like `shutil.which`, also in the folders that hold a system's administration commands."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_SYSTEM_FOLDERS))
    return shutil.which(command, path=path)


def can_install() -> bool:
    """Whether this is a machine with apt and a way to become root."""
    return which("apt-get") is not None and root_prefix() is not None


def root_prefix() -> tuple[str, ...] | None:
    """Return what to put before a command that needs root: nothing, `sudo`, or None: no way."""
    if os.geteuid() == 0:
        return ()
    return ("sudo",) if which("sudo") else None


def install_command(needed: Sequence[Tool]) -> str:
    """Write the command that installs what `needed` lacks (first choice of each package)."""
    names = dict.fromkeys(tool.packages[0] for tool in needed)
    prefix = "" if os.geteuid() == 0 else "sudo "
    return f"{prefix}apt-get install -y --no-install-recommends {' '.join(names)}"


def install(needed: Sequence[Tool]) -> None:
    """Install the packages of `needed` with apt, after one `apt-get update`.

    Raises RuntimeError with the reason and the command to type when that cannot be done here.
    """
    prefix = root_prefix()
    if which("apt-get") is None:
        raise RuntimeError(f"no apt here; bring these yourself: {', '.join(tool.name for tool in needed)}")
    if prefix is None:
        raise RuntimeError(f"not root, and no sudo; as root: {install_command(needed)}")
    _apt(prefix, "update")
    names = dict.fromkeys(_choose(tool) for tool in needed)
    _apt(prefix, "install", "-y", "--no-install-recommends", *names)


def _apt(prefix: Sequence[str], *arguments: str) -> None:
    # env, because sudo drops the environment; the lock is waited for, as another apt may be at work.
    apt = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", "DPkg::Lock::Timeout=600")
    ended = subprocess.run([*prefix, *apt, *arguments], check=False)
    if ended.returncode:
        typed = " ".join((*prefix, "apt-get", *arguments))
        raise RuntimeError(f"`{typed}` ended with status {ended.returncode}; what it printed is above")


def _choose(tool: Tool) -> str:
    """Return the first package of `tool` apt has a candidate for; the last one when none has."""
    for name in tool.packages[:-1]:
        shown = subprocess.run(["apt-cache", "policy", name], capture_output=True, text=True, check=False)
        if re.search(r"^ +Candidate: (?!\(none\))", shown.stdout, re.MULTILINE):
            return name
    return tool.packages[-1]


def _locate(tool: Tool) -> str | None:
    for module in tool.modules:
        if importlib.util.find_spec(module) is None:
            return None
    if tool.files:
        return next(
            (str(hit) for pattern in tool.files for hit in sorted(Path("/").glob(pattern.lstrip("/")))), None
        )
    if tool.commands:
        return next((hit for hit in map(which, tool.commands) if hit), None)
    return ""


def _version(command: str, arguments: Sequence[str]) -> str:
    try:
        ran = subprocess.run(
            [command, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    match = _VERSION.search(ran.stdout + ran.stderr)
    return match[0] if match else ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


def _is_static(path: Path) -> bool:
    """Whether a 64-bit little-endian ELF executable names no program interpreter."""
    with path.open("rb") as file:
        head = file.read(64)
        if head[:6] != b"\x7fELF\x02\x01":
            return False
        (offset,) = struct.unpack_from("<Q", head, 32)
        size, count = struct.unpack_from("<HH", head, 54)
        file.seek(offset)
        table = file.read(size * count)
    kinds = (struct.unpack_from("<I", table, index * size)[0] for index in range(count))
    return _PT_INTERP not in kinds
