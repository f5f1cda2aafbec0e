"""The instructions of an object as text that no version of LLVM spells differently.

From `llvm-objdump -dr --no-show-raw-insn`: one line per instruction under its function's name, every number
decimal (LLVM 18 and later print hexadecimal), jumps without the label of their target, and what a
relocation names behind the instruction it concerns:

    main_prog:
    6: r1 = r7
    7: call -1 ; strlen
    8: if r0 == 0 goto +5
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError

TIME_LIMIT_S = 60
MAX_BYTES = 64 << 20
_SECTION = re.compile(r"Disassembly of section (\S+):")
_FUNCTION = re.compile(r"([0-9a-f]{8,16}) <([^>]+)>:")
_INSN = re.compile(r"\s*(\d+):\s+(\S.*)")
_RELOCATION = re.compile(r"\s+[0-9a-f]{8,16}:\s+R_BPF_\S+\s+(\S+)")
_LABEL = re.compile(r"LBB\d+_\d+")  # clang before 15 leaves these symbols in the object
_TARGET = re.compile(r"\s*<([^<>+\s]+)[^<>]*>$")  # the name only, not all from a `<` that compares
_HEX = re.compile(r"\b0x([0-9a-f]+)\b")
_TEXT_CALL = re.compile(r"call (-?\d+)$")


@dataclass
class _Line:
    """An instruction while it is read; `names` is what a relocation or a call's label says."""

    number: str
    text: str
    names: str = ""


@dataclass
class _Function:
    section: str
    offset: int  # bytes
    name: str
    lines: list[_Line]


def disassemble(objdump: Path, path: Path) -> dict[str, str]:
    """Return the text of each function of the object at `path`, in the object's order.

    Raises UserError when `objdump` cannot do it: not there, no BPF in it, longer than 60 s or 64 MiB.
    """
    command = [str(objdump), "-dr", "--no-show-raw-insn", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIME_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"no disassembly: {error}", where=str(objdump), hint="`bpfmatrix doctor`") from error
    if done.returncode or len(done.stdout) > MAX_BYTES:
        words = done.stderr.decode(errors="replace").strip()[:300]
        raise UserError(
            f"no disassembly: {words or 'too long'}", where=str(objdump), hint="`bpfmatrix doctor`"
        )
    return normal(done.stdout.decode(errors="replace"))


def normal(listing: str) -> dict[str, str]:
    """Return the normal form of what llvm-objdump printed, by function."""
    functions = list(_functions(listing.splitlines()))
    text_section = {function.offset: function.name for function in functions if function.section == ".text"}
    return {
        function.name: f"{function.name}:\n"
        + "".join(f"{_shown(line, text_section)}\n" for line in function.lines)
        for function in functions
    }


def _functions(lines: list[str]) -> Iterator[_Function]:
    section, current = "", None
    for line in lines:
        if found := _SECTION.fullmatch(line):
            section = found[1]
        elif found := _FUNCTION.fullmatch(line):
            if _LABEL.fullmatch(found[2]):
                continue
            if current is not None:
                yield current
            current = _Function(section, int(found[1], 16), found[2], [])
        elif current is None:
            continue
        elif (found := _RELOCATION.fullmatch(line)) and current.lines:
            current.lines[-1].names = found[1]
        elif found := _INSN.fullmatch(line):
            current.lines.append(_insn(found[1], found[2].rstrip()))
    if current is not None:
        yield current


def _insn(number: str, text: str) -> _Line:
    target = _TARGET.search(text)
    names = target[1] if target and text.startswith("call ") else ""
    text = _TARGET.sub("", text)
    return _Line(number, _HEX.sub(lambda found: str(int(found[1], 16)), text), names)


def _shown(line: _Line, text_section: dict[int, str]) -> str:
    """One line; a call into `.text` names the function there, as the linker would resolve it."""
    names = line.names
    call = _TEXT_CALL.fullmatch(line.text)
    if names == ".text" and call:
        names = text_section.get((int(call[1]) + 1) * 8, names)
    return f"{line.number}: {line.text}" + (f" ; {names}" if names else "")
