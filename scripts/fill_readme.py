"""Put the pieces README.md quotes from reports/matrix.md in their places: `python3 scripts/fill_readme.py`.

A piece stands between `<!-- matrix: TITLE -->` and `<!-- end -->`; TITLE is a heading of the matrix.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_PIECE = re.compile(r"<!-- matrix: (?P<title>.*?) -->.*?<!-- end -->", re.DOTALL)


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
    readme.write_text(filled(readme.read_text(encoding="utf-8"), matrix), encoding="utf-8")
