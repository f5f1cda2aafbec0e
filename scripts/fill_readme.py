"""Put the pieces README.md quotes in their places: `python3 scripts/fill_readme.py`.

A piece of reports/matrix.md stands between `<!-- matrix: TITLE -->` and `<!-- end -->`; TITLE is a heading of
the matrix. What a command prints stands between `<!-- output: COMMAND -->` and `<!-- /output -->`; the
command is run.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_PIECE = re.compile(r"<!-- matrix: (?P<title>.*?) -->.*?<!-- end -->", re.DOTALL)
_OUTPUT = re.compile(r"<!-- output: (?P<command>.*?) -->.*?<!-- /output -->", re.DOTALL)


def with_outputs(readme: str, run: Callable[[str], str]) -> str:
    """Return `readme` with what `run` says that each command prints."""
    return _OUTPUT.sub(lambda found: _output(found["command"], run(found["command"])), readme)


def commands(readme: str) -> list[str]:
    """The commands whose output is quoted."""
    return [found["command"] for found in _OUTPUT.finditer(readme)]


def _output(command: str, printed: str) -> str:
    text = f"```console\n$ {command}\n{printed.rstrip()}\n```"
    return f"<!-- output: {command} -->\n\n{text}\n\n<!-- /output -->"


def printed_by(command: str) -> str:
    """Run a command of `.venv` and return what it prints, whatever its exit status says."""
    program, *words = shlex.split(command)
    ran = subprocess.run(
        [str(ROOT / ".venv" / "bin" / program), *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return ran.stdout


def filled(readme: str, matrix: str) -> str:
    """Return `readme` with every piece taken from `matrix`; KeyError with the title of one not there."""
    sections = dict(_sections(matrix))
    return _PIECE.sub(lambda found: _piece(found["title"], sections[found["title"]]), readme)


def _sections(matrix: str) -> list[tuple[str, str]]:
    parts = re.split(r"^## +(.*)$", matrix, flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def _piece(title: str, body: str) -> str:
    """The claim, the table and its notes.

    Links lead nowhere from here, so only their words stay. What each failed check counted (a letter in the
    cell) is left to the matrix.
    """
    body = re.sub(r"^<sup>[a-z]+</sup> .*\n?", "", body, flags=re.MULTILINE)
    body = re.sub(r"<sup>[a-z]+</sup>", "", body)
    text = re.sub(r"^Program: .*\n", "", body, flags=re.MULTILINE)
    text = re.sub(r"\[([^\]]*)\]\(#[^)]*\)", r"\1", text)
    text = re.sub(r"\n{3,}", "\n\n", text).strip()
    return f"<!-- matrix: {title} -->\n\n{text}\n\n<!-- end -->"


if __name__ == "__main__":
    readme = ROOT / "README.md"
    matrix = (ROOT / "reports" / "matrix.md").read_text(encoding="utf-8")
    text = filled(readme.read_text(encoding="utf-8"), matrix)
    readme.write_text(with_outputs(text, printed_by), encoding="utf-8")
