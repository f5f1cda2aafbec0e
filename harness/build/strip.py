"""Takes DWARF out of an object clang made, as everybody who ships one does (`llvm-strip -g`).

No loader reads it: the types a kernel gets stand in `.BTF`, the source lines in `.BTF.ext`. Without it an
object has half the sections and a third of the bytes, and libbpf in an emulated guest opens it faster.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from harness.build.clang import bounded_text, run_bounded
from harness.build.toolchain import find_llvm
from harness.errors import InfrastructureError
from harness.model import Compiler


@cache
def objcopy_of(compiler: Compiler) -> Path:
    """The llvm-objcopy for objects of `compiler`, looked for once; UserError when there is none."""
    return find_llvm(compiler, "llvm-objcopy")


def without_debug(content: bytes, compiler: Compiler) -> bytes:
    """The object without `.debug_*`, everything else as it was.

    Raises UserError when llvm-objcopy is missing, InfrastructureError when it fails on what clang made.
    """
    tool = objcopy_of(compiler)
    with tempfile.TemporaryDirectory(prefix="bpfmatrix-strip-") as folder:
        work = Path(folder)
        (work / "object.o").write_bytes(content)
        trouble = run_bounded([str(tool), "--strip-debug", "object.o", "stripped.o"], work)
        if trouble is not None:
            words = f"{bounded_text(work / 'messages')}\n{trouble}".strip()
            raise InfrastructureError(f"{tool.name} does not read what {compiler.name} made: {words}")
        return (work / "stripped.o").read_bytes()
