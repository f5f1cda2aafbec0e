"""vmlinux.h for people's own sources: made by bpftool from a kernel's BTF, kept in the cache."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from harness.build.objectcache import cache_error, write_atomic
from harness.errors import InfrastructureError, UserError

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*["<]([^">\n]+)[">]', re.MULTILINE)
_MAX_FILES = 64
_MAX_BYTES = 4 << 20
_SECONDS = 60


def needs_vmlinux(source: str, own: Path | None) -> bool:
    """Whether `source`, or a header it includes from its own folder `own`, includes vmlinux.h.

    False when `own` has a vmlinux.h itself: that one is meant.
    """
    texts, seen = [source], set[Path]()
    while texts and len(seen) < _MAX_FILES:
        for name in _INCLUDE.findall(texts.pop()):
            header = None if own is None else own / name
            if header is not None and header.is_file():
                if header not in seen and header.stat().st_size <= _MAX_BYTES:
                    seen.add(header)
                    texts.append(header.read_text(errors="replace"))
            elif name == "vmlinux.h":
                return True
    return False


def header_folder(btf: Path, root: Path) -> Path:
    """The folder (in the cache `root`) of the vmlinux.h of the raw BTF blob `btf`.

    Made once per blob and bpftool version. UserError: no bpftool, or `btf` is unreadable or no BTF.
    """
    try:
        raw = btf.read_bytes()
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=str(btf)) from error
    tool, version = bpftool()
    key = hashlib.sha256(raw + version.encode()).hexdigest()[:32]
    header = root / "vmlinux" / key / "vmlinux.h"
    if not header.is_file():
        text = _dump(tool, btf)
        try:
            write_atomic(header, text)
        except OSError as error:
            raise cache_error(error, header.parent) from error
    return header.parent


@cache
def bpftool() -> tuple[str, str]:
    """The path of bpftool and what it says of its version; UserError when there is none."""
    path = shutil.which("bpftool", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if path is None:
        raise UserError(
            "bpftool is missing; it makes vmlinux.h from a kernel's BTF",
            hint="`bpfmatrix doctor --install`, or: apt-get install bpftool",
        )
    done = subprocess.run([path, "version"], capture_output=True, timeout=_SECONDS, check=False)
    return path, done.stdout.decode(errors="replace")


def _dump(tool: str, btf: Path) -> bytes:
    command = [tool, "btf", "dump", "file", str(btf), "format", "c"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise InfrastructureError(f"bpftool took longer than {_SECONDS} s", where=str(btf)) from error
    if done.returncode or b"#define __VMLINUX_H__" not in done.stdout:
        words = done.stderr.decode(errors="replace").strip()[:300]
        raise UserError(f"bpftool makes no vmlinux.h of it: {words}", where=str(btf))
    return done.stdout
