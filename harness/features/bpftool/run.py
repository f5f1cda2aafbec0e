"""Runs the machine's own bpftool in a guest: the program, its libraries and its loader are copied in.

A batch of calls writes the files, another becomes bpftool (execve), so it runs in the very guest the probe
asks, with the same privileges.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import InfrastructureError, UserError
from harness.features.probe.subject import Answering
from harness.guest.calls import Call, Patch, PatchKind, Sys, argument

_FOLDER = "/run/bpftool"  # which the agent leaves alone
_OUTPUT = f"{_FOLDER}/answer.json"
_ARGUMENTS = ("-j", "feature", "probe", "kernel", "full")
_CREATE = 0o1 | 0o100 | 0o1000  # O_WRONLY | O_CREAT | O_TRUNC
_PIECE = 1 << 20
_LIMIT_S = 300.0
_MOST_OUTPUT = 4 << 20
_LIBRARY = re.compile(r"(/\S+) \(0x")


@dataclass(frozen=True, slots=True)
class Probed:
    """What bpftool printed, how long it took in the guest, and which one it was (`v7.1.0`)."""

    text: str
    seconds: float
    version: str


def find_bpftool() -> Path:
    """The distribution's bpftool; UserError when there is none."""
    found = shutil.which("bpftool") or shutil.which("bpftool", path="/usr/sbin:/sbin")
    if found is None:
        raise UserError("bpftool is not installed", hint="bpfmatrix doctor --install (package bpftool)")
    return Path(found).resolve()


def version_of(bpftool: Path) -> str:
    """The version it reports of itself."""
    done = subprocess.run([bpftool, "version"], capture_output=True, text=True, check=True)
    return done.stdout.split()[1]


def files_of(bpftool: Path) -> tuple[Path, tuple[Path, ...]]:
    """The loader a dynamic program names, and its libraries; UserError when ldd does not tell."""
    done = subprocess.run(["ldd", bpftool], capture_output=True, text=True, check=False)
    found = [Path(path) for path in _LIBRARY.findall(done.stdout)]
    loader = next((path for path in found if path.name.startswith("ld-linux")), None)
    if done.returncode or loader is None:
        raise UserError(f"ldd does not say what {bpftool} needs: {done.stdout}{done.stderr}".strip())
    return loader, tuple(path for path in found if path != loader)


def feature_probe(guest: Answering, bpftool: Path) -> Probed:
    """Run `bpftool feature probe kernel full` in the guest, where it finds the kernel's configuration, too.

    InfrastructureError, with what it printed, when it does not come to its end.
    """
    loader, libraries = files_of(bpftool)
    config = guest.assets.kernel.config
    calls = [_folder(_FOLDER), _folder("/boot")]
    for file in (loader, *libraries, bpftool):
        calls += _copy(file, f"{_FOLDER}/{file.name}", len(calls))
    if config is not None:
        calls += _copy(config, f"/boot/config-{guest.facts.release}", len(calls))
    guest.calls(calls, _LIMIT_S)
    began = time.monotonic()
    guest.calls(_become(loader.name, bpftool.name), _LIMIT_S)
    seconds = time.monotonic() - began
    text = guest.read_file(_OUTPUT, _MOST_OUTPUT).decode("utf-8", "replace")
    if not text.rstrip().endswith("}"):
        raise InfrastructureError(f"bpftool did not come to its end in the guest; it printed {text[-500:]!r}")
    return Probed(text, seconds, version_of(bpftool))


def helpers_known_to(bpftool: Path, names: Iterable[str]) -> frozenset[str]:
    """Those of `names` that stand in the program: it asks about these, and lists only what it finds."""
    data = bpftool.read_bytes()
    return frozenset(name for name in names if b"\0" + name.encode() + b"\0" in data)


def _folder(path: str) -> Call:
    return Call(Sys.MKDIR, (0, 0o755), (f"{path}\0".encode(),), (argument(0),))


def _copy(file: Path, target: str, first: int) -> list[Call]:
    """Calls that write a file into the guest, executable. `first`: the number of the first of them."""
    calls = [Call(Sys.OPEN, (0, _CREATE, 0o755), (f"{target}\0".encode(),), (argument(0),))]
    data = file.read_bytes()
    opened = argument(0, PatchKind.RESULT, first)
    for at in range(0, len(data), _PIECE):
        piece = data[at : at + _PIECE]
        calls.append(Call(Sys.WRITE, (0, 0, len(piece)), (piece,), (opened, argument(1))))
    return [*calls, Call(Sys.CLOSE, (0,), patches=(opened,))]


def _become(loader: str, program: str) -> list[Call]:
    """Calls that turn their process into bpftool, whose output goes into a file."""
    path = f"{_FOLDER}/{loader}"
    words = (path, "--library-path", _FOLDER, f"{_FOLDER}/{program}", *_ARGUMENTS)
    opening = Call(Sys.OPEN, (0, _CREATE, 0o644), (f"{_OUTPUT}\0".encode(),), (argument(0),))
    output = argument(0, PatchKind.RESULT, 0)
    return [
        opening,
        *(Call(Sys.DUP2, (0, stream), patches=(output,)) for stream in (1, 2)),
        _execve(words),
    ]


def _execve(words: Sequence[str]) -> Call:
    """`execve` of the first word with all of them, and with an empty environment."""
    blobs = [f"{word}\0".encode() for word in words]
    pointers = bytes(8 * (len(words) + 1))
    array = len(blobs)
    patches = [Patch(array, 8 * at, PatchKind.ADDRESS, at) for at in range(len(words))]
    return Call(
        Sys.EXECVE,
        data=(*blobs, pointers, bytes(8)),
        patches=(
            *patches,
            argument(0),
            argument(1, PatchKind.ADDRESS, array),
            argument(2, PatchKind.ADDRESS, array + 1),
        ),
    )
