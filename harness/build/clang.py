"""Runs clang on one C text: bounded, away from the environment, and with the same bytes every time.

The text is compiled under a relative name in an empty folder, with every folder of this machine mapped
to a neutral one, so that neither the checkout's path nor the date is in the object (tested).
"""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.model import Compiler

TIME_LIMIT_S = 60
# Some of LLVM's errors name a node of its graph by the address it has in that process, another one each time.
_NODE = re.compile(r"\b0x[0-9a-f]{8,16}: (?=\w+(,\w+)* = )")
MAX_MESSAGES = 64 << 10
_LIMITS = (
    (resource.RLIMIT_AS, 4 << 30),  # bytes; a usual compilation takes 0.1 GB
    (resource.RLIMIT_FSIZE, 128 << 20),
    (resource.RLIMIT_CPU, TIME_LIMIT_S),
)
_SYSTEM_HEADERS = {
    "bpf/bpf_helpers.h": "libbpf-dev",
    "linux/bpf.h": "linux-libc-dev",
    "asm/types.h": "linux-libc-dev",
}


@dataclass(frozen=True, slots=True)
class Includes:
    """Where headers come from, in this order; each folder may be absent."""

    own: Path | None  # the folder of a plain .bpf.c: for #include "…"
    shared: Path  # the project's programs/include
    vmlinux: Path | None  # the folder of a generated vmlinux.h


@dataclass(frozen=True, slots=True)
class Compiled:
    """What clang left: `object` is None when it refused; `log` holds its words, warnings included."""

    object: bytes | None
    log: str
    dependencies: tuple[Path, ...] = ()  # absolute names of the headers read


def flags(includes: Includes, mcpu: str) -> tuple[str, ...]:
    """The options that decide what the object is (so they belong to the cache's key).

    `-D__TARGET_ARCH_x86` is what bpf_tracing.h needs for PT_REGS_*; the folder after the system's is
    Debian's place of <asm/types.h>, which clang leaves out for the bpf target.
    """
    options = ["-target", "bpf", f"-mcpu={mcpu}", "-O2", "-g", "-Wall", "-D__TARGET_ARCH_x86"]
    options += ["-fno-color-diagnostics", "-fno-crash-diagnostics", "-fdebug-compilation-dir=."]
    for option, folder, alias in (
        ("-iquote", includes.own, "."),
        ("-I", includes.shared, "programs/include"),
        ("-I", includes.vmlinux, "vmlinux"),
    ):
        if folder is not None:
            options += [option, str(folder), f"-ffile-prefix-map={folder}={alias}"]
    for folder in _system_folders():
        if folder.name.endswith("-linux-gnu"):
            options += ["-idirafter", str(folder)]
    return tuple(options)


def compile_source(
    compiler: Compiler, source: bytes, name: str, options: tuple[str, ...], includes: Includes
) -> Compiled:
    """Compile `source` as the file `name`; UserError when clang or the system's headers are missing.

    At most 60 s, 4 GiB of address space and 64 KiB of messages; beyond them the compilation fails.
    """
    with tempfile.TemporaryDirectory(prefix="bpfmatrix-cc-") as folder:
        work = Path(folder)
        work.joinpath(name).write_bytes(source)
        command = [str(compiler.path), *options, "-MD", "-MF", "headers.d", "-c", "-o", "object.o", name]
        trouble = run_bounded(command, work)
        log = _shortened(bounded_text(work / "messages"), work, includes)
        if trouble is not None:
            _refuse_missing_headers(log)
            return Compiled(None, f"{log}\n{trouble}".strip())
        dependencies = _dependencies(work / "headers.d", name)
        return Compiled((work / "object.o").read_bytes(), log, dependencies)


def run_bounded(command: list[str], work: Path) -> str | None:
    """Run a compiler in `work`, its words going into the file `messages` there.

    None when it succeeded, else how it ended where it could not say itself ("" where it did). UserError when
    it does not start.
    """
    # No CPATH, no CCC_OVERRIDE_OPTIONS; reports of clang's own crashes go into the folder that vanishes.
    environment = {"PATH": os.defpath, "LC_ALL": "C", "TMPDIR": str(work), "SOURCE_DATE_EPOCH": "0"}
    with (work / "messages").open("wb") as messages:
        try:
            process = subprocess.Popen(
                command,
                cwd=work,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=messages,
                stderr=messages,
                start_new_session=True,
            )
        except OSError as error:
            raise UserError(
                f"the compiler does not start: {error.strerror}", where=command[0], hint="`bpfmatrix doctor`"
            ) from error
        try:
            return _wait(process, Path(command[0]).name)
        finally:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait(process: subprocess.Popen[bytes], name: str) -> str | None:
    for limit, value in _LIMITS:
        with suppress(ProcessLookupError, PermissionError):  # it may have ended already
            resource.prlimit(process.pid, limit, (value, value))
    try:
        status = process.wait(TIME_LIMIT_S)
    except subprocess.TimeoutExpired:
        return f"{name} took longer than {TIME_LIMIT_S} s and was stopped"
    if status < 0:
        return (
            f"{name} died of {signal.Signals(-status).name} (bounds: {TIME_LIMIT_S} s, 4 GiB, 128 MiB files)"
        )
    return "" if status else None  # it said why itself


def bounded_text(path: Path) -> str:
    """The text of a file, at most 64 KiB of it, and a word when that is not all."""
    with path.open("rb") as file:
        raw = file.read(MAX_MESSAGES + 1)
    text = raw[:MAX_MESSAGES].decode(errors="replace")
    return text if len(raw) <= MAX_MESSAGES else f"{text}\n… more than {MAX_MESSAGES >> 10} KiB of messages"


def _shortened(log: str, work: Path, includes: Includes) -> str:
    log = log.replace(f"{work}/", "").strip()
    if includes.own is not None:
        log = log.replace(f"{includes.own}/", "")
    return _NODE.sub("", log.replace(f"{includes.shared}/", "programs/include/"))


def _dependencies(makefile: Path, name: str) -> tuple[Path, ...]:
    """The headers in clang's -MD output: a Makefile rule, blanks escaped by a backslash."""
    text = makefile.read_text(errors="surrogateescape").partition(":")[2].replace("\\\n", " ")
    words = re.findall(r"(?:\\.|[^\s\\])+", text)
    names = (re.sub(r"\\(.)", r"\1", word).replace("$$", "$") for word in words)
    return tuple(Path(header) for header in names if header != name)


def _system_folders() -> tuple[Path, ...]:
    arch = Path(f"/usr/include/{os.uname().machine}-linux-gnu")
    return (
        (Path("/usr/local/include"), Path("/usr/include"), arch) if arch.is_dir() else (Path("/usr/include"),)
    )


def _refuse_missing_headers(log: str) -> None:
    """Refuse to blame a program for a system without libbpf's or the kernel's headers."""
    for header, package in _SYSTEM_HEADERS.items():
        wanted = header.split("/")[0] + "/"
        if re.search(rf"fatal error: '{wanted}[^']*' file not found", log) and not any(
            (folder / header).exists() for folder in _system_folders()
        ):
            raise UserError(
                f"the header <{header}> is missing on this machine",
                hint=f"`bpfmatrix doctor --install`, or: apt-get install {package}",
            )
