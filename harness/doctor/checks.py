"""What `bpfmatrix doctor` looks at: the tools, Python's packages, KVM, the cache, the disk."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness.doctor import packages
from harness.guest.accel import probe_kvm
from harness.paths import cache_dir

# The four default kernels take 60 MB each, their saved guests 95 MB each, an unpacking 250 MB for a moment.
_ROOM = 1 << 30
_GIB = 1 << 30
_MIB = 1 << 20


class State(StrEnum):
    """How a thing stands. Only `bad` keeps bpfmatrix from doing its job."""

    OK = "ok"
    BAD = "missing"
    OPTIONAL = "optional"  # lacks, and only something beside the main job needs it
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor's answer. `fix` is a command to type, or ""."""

    name: str
    state: State
    found: str
    needed_for: str
    fix: str = ""


def examine(*, refresh: bool = False) -> tuple[Check, ...]:
    """Look at everything; `refresh` tries KVM again instead of remembering."""
    with (
        ThreadPoolExecutor() as pool
    ):  # asking twenty tools for their versions one after the other takes seconds
        tools = tuple(pool.map(_tool, packages.tools()))
    return (_python(), *tools, _virtme(), _kvm(refresh), *_cache(cache_dir()))


def lacking(checks: tuple[Check, ...]) -> tuple[packages.Tool, ...]:
    """Return the tools behind those checks that are bad or optional, to install them."""
    names = {check.name for check in checks if check.state in (State.BAD, State.OPTIONAL)}
    return tuple(tool for tool in packages.tools() if tool.name in names)


def _tool(tool: packages.Tool) -> Check:
    found = packages.find(tool, ask_version=True)
    where = f"{found.version} {found.where}".strip() or "found"
    needed = tool.why if tool.purpose == "run" else f"{tool.why} (make {tool.purpose})"
    if found.problem is None:
        return Check(tool.name, State.OK, where, needed)
    state = State.BAD if tool.purpose == "run" else State.OPTIONAL
    shown = f"{where}: {found.problem}" if found.where else found.problem
    return Check(tool.name, state, shown, needed, packages.install_command([tool]))


def _python() -> Check:
    text = f"{sys.version_info[0]}.{sys.version_info[1]}.{sys.version_info[2]} {sys.executable}"
    return Check("Python", State.OK, text, "everything")


def _virtme() -> Check:
    try:
        return Check("virtme-ng", State.OK, version("virtme-ng"), "planning the guests")
    except PackageNotFoundError:
        fix = f"{sys.executable} -m pip install virtme-ng"
        return Check("virtme-ng", State.BAD, "missing", "planning the guests", fix)


def _kvm(refresh: bool) -> Check:
    verdict = probe_kvm(refresh=refresh)
    if verdict.usable:
        return Check("KVM", State.OK, verdict.reason, "faster guests")
    fix = ""
    if "group kvm" in verdict.reason:
        fix = f"sudo adduser {os.environ.get('USER', '$USER')} kvm"
    return Check("KVM", State.NOTE, f"not used: {verdict.reason}", "faster guests (emulation works too)", fix)


def _cache(folder: Path) -> Iterator[Check]:
    problem = _cannot_write(folder)
    if problem:
        fix = "BPFMATRIX_CACHE=/another/folder bpfmatrix doctor"
        yield Check("cache", State.BAD, f"{folder}: {problem}", "kernels, objects, saved guests", fix)
        return
    yield Check(
        "cache", State.OK, f"{folder}: {_size(folder) / _MIB:.0f} MiB", "kernels, objects, saved guests"
    )
    free = shutil.disk_usage(folder).free
    shown = f"{free / _GIB:.1f} GiB free"
    if free < _ROOM:
        yield Check(
            "disk",
            State.BAD,
            f"{shown}; 1 GiB is needed",
            "kernels and saved guests",
            "bpfmatrix kernels prune",
        )
    else:
        yield Check("disk", State.OK, shown, "kernels and saved guests")


def _cannot_write(folder: Path) -> str | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error.strerror or str(error)


def _size(folder: Path) -> int:
    """Sum the blocks in use below `folder`, in bytes; files that vanish meanwhile count as nothing."""
    total = 0
    for here, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(here, name).lstat().st_blocks * 512
            except OSError:
                continue
    return total
