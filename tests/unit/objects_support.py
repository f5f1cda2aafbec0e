"""Compiling small BPF objects for the tests of the object reader."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness.build.toolchain import find_compilers

HEAD = """\
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
char LICENSE[] SEC("license") = "GPL";
"""


def compiled(folder: Path, text: str, *options: str, target: str = "bpf", name: str = "made") -> Path:
    """The object of a C text, compiled by the newest clang; the compiler's words are the failure's."""
    source, made = folder / f"{name}.bpf.c", folder / f"{name}.bpf.o"
    source.write_text(HEAD + text)
    debug = () if "-g0" in options else ("-g",)
    command = [str(find_compilers(())[0].path), "-target", target, "-O2", *debug, *options]
    command += ["-I/usr/include/x86_64-linux-gnu", "-c", str(source), "-o", str(made)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return made
