"""Builds the guest's agent: C sources in `agent/`, linked statically with libbpf, cached by content.

The agent is `/init` of the guest and brings everything it needs: nothing of the host is mounted there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from filelock import FileLock

from harness.errors import InfrastructureError, UserError
from harness.paths import cache_dir

_DIGEST_HEX = 64
_INSTALL = "bpfmatrix doctor --install, or: apt-get install gcc libc6-dev libbpf-dev libelf-dev zlib1g-dev"
_COMPILE = (
    *("-std=gnu11", "-O2", "-D_GNU_SOURCE", "-pthread", "-Wall", "-Wextra", "-Werror"),
    # Static and at a fixed address: nothing to relocate at start, few pages to copy at each case's fork.
    *("-static", "-no-pie", "-fno-pie", "-ffunction-sections", "-fdata-sections"),
)
_LINK = (
    *("-Wl,--gc-sections", "-Wl,--build-id=none", "-s"),
    # Text and constants in one segment with 2 MiB of addresses to itself: one huge page (hugetext.c).
    *("-Wl,-z,noseparate-code", "-Wl,-z,max-page-size=0x200000"),
    # ksyms.c picks from /proc/kallsyms what is needed.
    *("-Wl,--wrap=fopen", "-Wl,--wrap=fopen64"),
    # bpfcalls.c sees every bpf() call, libbpf's too; btfcache.c keeps the kernel's BTF between cases.
    *(
        "-Wl,--wrap=syscall",
        "-Wl,--wrap=btf__load_vmlinux_btf",
        "-Wl,--wrap=btf__parse",
        "-Wl,--wrap=btf__free",
        "-Wl,--wrap=realloc",
    ),
)
_LIBRARIES = ("bpf", "elf", "z")
_OPTIONAL_LIBRARIES = ("zstd",)  # what libelf needs where it was built with it (Debian 13)
_PROBE = "#include <bpf/bpf.h>\n#include <bpf/libbpf.h>\n#include <gelf.h>\n#include <zlib.h>\n"


@dataclass(frozen=True, slots=True)
class AgentBinary:
    """The agent as a file; `digest` is what it reports of itself in HELLO."""

    path: Path
    digest: str


def build_agent(cache: Path | None = None) -> AgentBinary:
    """The agent built from the sources of this package, from the cache when they did not change.

    `cache` stands in for `cache_dir()`. Safe to call from several processes at once. Raise UserError when gcc
    or a static library is missing, or the cache cannot be written; InfrastructureError with the compiler's
    words when the sources do not compile.
    """
    compiler = _gcc()
    digest = agent_digest(compiler)
    folder = (cache or cache_dir()) / "agent" / digest
    binary = folder / "init"
    if not binary.is_file():
        _build_locked(compiler, digest, binary)
    return AgentBinary(binary, digest)


def agent_digest(compiler: Path | None = None) -> str:
    """SHA-256 over everything the binary is made of: sources, flags, compiler, libraries. 64 hex digits."""
    compiler = compiler or _gcc()
    hasher = hashlib.sha256()
    libraries = _libraries(compiler)
    hasher.update("\0".join((*_COMPILE, *_LINK, *libraries, _version(compiler))).encode())
    for name, text in _sources():
        hasher.update(f"\0{name}\0{len(text)}\0".encode() + text)
    for library in libraries:
        hasher.update(hashlib.sha256(_static_library(compiler, library).read_bytes()).digest())
    return hasher.hexdigest()


def _sources() -> tuple[tuple[str, bytes], ...]:
    """Name and text of every source file, by name."""
    folder = resources.files("harness.guest") / "agent"
    files = sorted(
        (entry for entry in folder.iterdir() if entry.name.endswith((".c", ".h"))), key=lambda e: e.name
    )
    return tuple((entry.name, entry.read_bytes()) for entry in files)


def _gcc() -> Path:
    found = shutil.which("gcc")
    if found is None:
        raise UserError("gcc is missing; the guest's agent is built with it", hint=_INSTALL)
    return Path(found)


@cache
def _version(compiler: Path) -> str:
    return _run([str(compiler), "--version"]).splitlines()[0]


def _libraries(compiler: Path) -> tuple[str, ...]:
    """What to link with here, in the linker's order."""
    return _LIBRARIES + tuple(name for name in _OPTIONAL_LIBRARIES if _find_library(compiler, name))


@cache
def _static_library(compiler: Path, name: str) -> Path:
    """Where gcc finds `lib<name>.a`."""
    path = _find_library(compiler, name)
    if path is None:
        raise UserError(
            f"lib{name}.a is missing; the guest's agent is linked with it statically", hint=_INSTALL
        )
    return path


@cache
def _find_library(compiler: Path, name: str) -> Path | None:
    """Where gcc finds `lib<name>.a`, else None: it prints the bare name back."""
    path = Path(_run([str(compiler), f"-print-file-name=lib{name}.a"]).strip())
    return path if path.is_absolute() and path.is_file() else None


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise InfrastructureError(f"{command[0]} does not run: {error}", hint=_INSTALL) from error
    return done.stdout


def _build_locked(compiler: Path, digest: str, binary: Path) -> None:
    try:
        binary.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(binary.parent / "lock"):
            if not binary.is_file():
                _build(compiler, digest, binary)
    except OSError as error:
        raise UserError(
            f"the agent cannot be stored: {error.strerror or error}",
            where=str(binary.parent),
            hint="free space or permissions there, or set BPFMATRIX_CACHE to another directory",
        ) from error


def _build(compiler: Path, digest: str, binary: Path) -> None:
    """Compile beside the target and rename, so that a binary in the cache is always whole."""
    with tempfile.TemporaryDirectory(dir=binary.parent, prefix="build-") as name:
        work = Path(name)
        for source, text in _sources():
            (work / source).write_bytes(text)
        _compile(compiler, digest, work)
        (work / "init").replace(binary)


def _compile(compiler: Path, digest: str, work: Path) -> None:
    units = sorted(path.name for path in work.glob("*.c"))
    command = [str(compiler), *_COMPILE, f"-ffile-prefix-map={work}=.", f'-DAGENT_DIGEST="{digest}"']
    command += [*units, "-o", "init", *_LINK, *(f"-l{library}" for library in _libraries(compiler))]
    environment = {**os.environ, "LC_ALL": "C", "SOURCE_DATE_EPOCH": "0"}
    done = subprocess.run(
        command, cwd=work, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode != 0:
        missing = _missing_headers(compiler, work)
        if missing:
            raise UserError(f"headers the agent needs are missing: {missing}", hint=_INSTALL)
        raise InfrastructureError(f"the guest's agent does not compile:\n{done.stderr.strip()}")


def _missing_headers(compiler: Path, work: Path) -> str:
    """What gcc says when even the libraries' headers are not there, else nothing."""
    (work / "probe.i.c").write_text(_PROBE)
    command = [str(compiler), "-E", "-o", os.devnull, "probe.i.c"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, errors="replace", check=False)
    return "" if done.returncode == 0 else done.stderr.strip().splitlines()[0]
