"""User-space code beside a BPF program, with its skeleton made by bpftool, compiled for this machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.build.clang import bounded_text, run_bounded
from harness.build.hostcache import keep, key_of, recall
from harness.build.toolchain import installed
from harness.build.vmlinux import bpftool
from harness.model import HOST_COMPILERS

SKELETON = "skel"  # the skeleton's name: skel.h, struct skel, skel__open()
_SECONDS = 60
# The dialects both Debian 12's and 13's compilers have. gcc reports without end what a header breaks.
_C = ("-std=gnu17",)
_CXX = ("-std=gnu++17",)
_GCC = ("-fmax-errors=20", "-fdiagnostics-color=never")
_CLANG = ("-ferror-limit=20", "-fno-color-diagnostics")
_PACKAGES = {"gcc": "gcc", "g++": "g++", "clang": "clang-19", "clang++": "clang-19"}


@dataclass(frozen=True, slots=True)
class HostCompiler:
    """A compiler for this machine's own programs."""

    name: str  # of HOST_COMPILERS
    path: Path
    version: str

    @property
    def cxx(self) -> bool:
        """Whether it compiles C++."""
        return self.name.endswith("++")


@dataclass(frozen=True, slots=True)
class HostJob:
    """What to compile: `source` under the name `name` (`….c`), with the skeleton of `object` if any."""

    source: str
    name: str
    object: Path | None = None
    vmlinux: Path | None = None  # folder of vmlinux.h


def find_host_compiler(name: str) -> HostCompiler | None:
    """Return the compiler called `name`, None if there is none; clang and clang++ are the newest."""
    if name.startswith("clang"):
        newest = next(iter(installed()), None)
        path = newest.path.resolve().parent / name if newest else None
        return HostCompiler(name, path, newest.version) if newest and path and path.exists() else None
    found = shutil.which(name)
    return HostCompiler(name, Path(found), _gcc_version(found)) if found else None


def host_tools() -> dict[str, str]:
    """The versions of everything that has a part in host rows."""
    found = (find_host_compiler(name) for name in HOST_COMPILERS)
    tools = {compiler.name: compiler.version for compiler in found if compiler}
    version = re.search(r"v(\d[\d.]*)", bpftool()[1])
    return tools | {"bpftool": version[1] if version else "?"}


def install_hint(name: str) -> str:
    """Say how to get the compiler called `name`."""
    return f"`bpfmatrix doctor --install`, or: apt-get install {_PACKAGES[name]}"


def answer_of(job: HostJob, compiler: HostCompiler, folder: Path) -> str | None:
    """Return what `compile_on_host` does, from `folder` where it was asked before."""
    path = compiler.path.stat()
    parts = (job.source, job.name, compiler.name, compiler.version, str(path.st_mtime_ns), bpftool()[1])
    files = [job.object] if job.object else []
    files += [job.vmlinux / "vmlinux.h"] if job.vmlinux else []
    key = key_of((*parts, *_options(compiler)), files)
    kept, words = recall(folder, key)
    if not kept:
        words = compile_on_host(job, compiler)
        keep(folder, key, words)
    return words


def _options(compiler: HostCompiler) -> tuple[str, ...]:
    dialect = _CXX if compiler.cxx else _C
    return (*dialect, "-Wall", "-O2", "-I.", *(_CLANG if compiler.name.startswith("clang") else _GCC))


def compile_on_host(job: HostJob, compiler: HostCompiler) -> str | None:
    """Compile; return the words of the tool that refused, None when none did.

    Bounded as clang's runs are: 60 s, 4 GiB, 64 KiB of messages. UserError when bpftool is missing.
    """
    with tempfile.TemporaryDirectory(prefix="bpfmatrix-host-") as folder:
        work = Path(folder)
        if job.object is not None and (refused := _make_skeleton(job.object, work)):
            return refused
        name = job.name.removesuffix(".c") + (".cpp" if compiler.cxx else ".c")
        (work / name).write_text(job.source)
        command = [str(compiler.path), *_options(compiler)]
        command += ["-I", str(job.vmlinux)] if job.vmlinux else []
        trouble = run_bounded([*command, "-c", "-o", "object.o", name], work)
        if trouble is None:
            return None
        words = bounded_text(work / "messages").replace(f"{work}/", "")
        if job.vmlinux is not None:
            words = words.replace(f"{job.vmlinux}/", "")
        return f"{words.strip()}\n{trouble}".strip()


def _make_skeleton(path: Path, work: Path) -> str:
    """Write skel.h; return what bpftool said where it would not, else ""."""
    tool, _ = bpftool()
    command = [tool, "gen", "skeleton", str(path), "name", SKELETON]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"bpftool gen skeleton: took longer than {_SECONDS} s"
    if done.returncode:
        return f"bpftool gen skeleton: {done.stderr.decode(errors='replace').strip()[:2000]}"
    (work / f"{SKELETON}.h").write_bytes(done.stdout)
    return ""


@cache
def _gcc_version(path: str) -> str:
    done = subprocess.run(
        [path, "-dumpfullversion"], capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    return done.stdout.strip() or "?"
