"""The clangs of this machine: found, asked for their version, and checked for the BPF target."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from harness.errors import UserError
from harness.model import Compiler

_NAME = re.compile(r"clang(-\d+)?")
_VERSION = re.compile(r"clang version (\d+)\.(\d+)\.(\d+)")
_LLVM_DIRS = Path("/usr/lib")
_PROBE_SECONDS = 20
INSTALL_HINT = "`bpfmatrix doctor --install`, or: apt-get install clang"
_LLVM_TOOLS = {  # what they are for
    "llvm-objdump": "manifests assert on the code clang made",
    "llvm-objcopy": "it takes the debugger's sections out of objects",
}


def find_compilers(names: Sequence[str]) -> tuple[Compiler, ...]:
    """Return the clangs called `names` (`clang-19`, `clang`, a path), each binary once.

    No names: the newest clang of this machine. Raises UserError when one is missing, is no clang, or
    cannot compile for BPF; the message lists the clangs there are.
    """
    if not names:
        return (_newest(),)
    found: dict[Path, Compiler] = {}
    for name in names:
        compiler = _named(name)
        found.setdefault(compiler.path.resolve(), compiler)
    return _distinct(found.values())


def installed() -> tuple[Compiler, ...]:
    """Return every clang on PATH and under /usr/lib/llvm-*/bin that compiles for BPF, newest first."""
    binaries = {path.resolve(): path for path in _candidates()}
    usable = [compiler for path in binaries.values() if (compiler := _probe(path, None)) is not None]
    return tuple(sorted(usable, key=_version_key, reverse=True))


def find_objdump(compiler: Compiler) -> Path:
    """Return the llvm-objdump for objects of `compiler`; UserError when there is none.

    What they print is brought to one form, so any will do.
    """
    return find_llvm(compiler, "llvm-objdump")


def find_llvm(compiler: Compiler, tool: str) -> Path:
    """Return LLVM's `tool` for objects of `compiler`: its own, else one of its number, else any.

    Raises UserError when there is none.
    """
    own = compiler.path.resolve().parent
    beside = own / tool
    if beside.is_file() and os.access(beside, os.X_OK):
        return beside  # what is usual; looking through all folders takes milliseconds
    number = compiler.version.split(".", 1)[0]
    named = re.compile(rf"{tool}(-\d+)?")
    folders = [own, *(Path(folder) for folder in os.get_exec_path() if folder)]
    folders += sorted(_LLVM_DIRS.glob("llvm-*/bin"), reverse=True)
    found = [
        path
        for folder in folders
        if folder.is_dir()
        for path in sorted(folder.glob(f"{tool}*"))
        if named.fullmatch(path.name) and os.access(path, os.X_OK)
    ]
    fitting = (path for path in found if path.parent == own or path.name == f"{tool}-{number}")
    chosen = next(fitting, found[0] if found else None)
    if chosen is None:
        raise UserError(
            f"{tool} is missing; {_LLVM_TOOLS[tool]}",
            hint=f"`bpfmatrix doctor --install`, or: apt-get install llvm-{number}",
        )
    return chosen


def _newest() -> Compiler:
    compilers = installed()
    if not compilers:
        raise UserError("no clang that compiles for BPF on this machine", hint=INSTALL_HINT)
    return compilers[0]


def _named(name: str) -> Compiler:
    path = shutil.which(name)
    if path is None:
        path = next((str(p) for p in _candidates() if f"clang-{_directory_number(p)}" == name), None)
    if path is None:
        there = ", ".join(f"{c.name} ({c.version})" for c in installed()) or "none"
        package = name if _NAME.fullmatch(name) else "clang"
        hint = f"`bpfmatrix doctor --install`, or: apt-get install {package}"
        raise UserError(f"no compiler {name!r}; installed: {there}", where="--clang", hint=hint)
    label = Path(name).name
    compiler = _probe(Path(path), None if name.endswith("/clang") else label)
    if compiler is None:
        raise UserError(
            f"{path} is no clang that compiles for BPF",
            where="--clang",
            hint="name a clang, such as clang-19",
        )
    return compiler


def _candidates() -> Iterable[Path]:
    folders = [Path(folder) for folder in os.get_exec_path() if folder]
    folders += sorted(_LLVM_DIRS.glob("llvm-*/bin"))
    for folder in folders:
        for path in sorted(folder.glob("clang*")) if folder.is_dir() else ():
            if _NAME.fullmatch(path.name) and os.access(path, os.X_OK):
                yield path


def _directory_number(path: Path) -> str:
    """The 19 of /usr/lib/llvm-19/bin/clang, "" elsewhere."""
    match = re.search(r"/llvm-(\d+)/bin/", str(path))
    return match[1] if match else ""


def _probe(path: Path, label: str | None) -> Compiler | None:
    version = _version(path, path.stat().st_mtime_ns)
    if version is None:
        return None
    return Compiler(name=label or f"clang-{version.split('.')[0]}", path=path, version=version)


@cache
def _version(path: Path, _changed: int) -> str | None:
    """`19.1.7`, or None when the binary is no clang or compiles no BPF; asked once per binary."""
    match = _VERSION.search(_output([str(path), "--version"]) or "")
    if match is None:
        return None
    compiles = _output([str(path), "-target", "bpf", "-x", "c", "-c", "-o", os.devnull, os.devnull])
    return None if compiles is None else ".".join(match.groups())


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PROBE_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace")


def _version_key(compiler: Compiler) -> tuple[int, ...]:
    return tuple(map(int, compiler.version.split(".")))


def _distinct(compilers: Iterable[Compiler]) -> tuple[Compiler, ...]:
    """Tell binaries of one name apart by their version, and then by number: names stand in case ids."""
    names: set[str] = set()
    result: list[Compiler] = []
    for compiler in compilers:
        name = compiler.name
        if name in names:
            name = f"clang-{compiler.version}"
        while name in names:
            name += "x"
        names.add(name)
        result.append(Compiler(name, compiler.path, compiler.version))
    return tuple(result)
