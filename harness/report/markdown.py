"""The matrix as Markdown, in the manner of bcc's `docs/kernel-versions.md`: a table per program."""

from __future__ import annotations

import re

from tabulate import tabulate

from harness.report.matrix import HOST_TITLE, SIGNS, SYMBOLS, WORDS, Cell, Group, Mark, Matrix, Row
from harness.report.summary import counts, package, started
from harness.verdict.causes import cause_by_id
from harness.verdict.expect import describe_expected
from harness.verdict.text import one_line

_LINKED = "`](../"  # as `link` ends it; no text that was escaped or set as code can hold this
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~])")


class _Notes:
    """Numbers for causes, given in the order of their first use and the same in the whole document."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def number(self, cause: str) -> int:
        """Return the footnote's number."""
        return self.numbers.setdefault(cause, len(self.numbers) + 1)


class _Letters:
    """Letters for the checks of one program that do not hold; the same words share a letter."""

    def __init__(self) -> None:
        self.words: dict[str, str] = {}

    def letter(self, words: str) -> str:
        """Return the footnote's letter: a … z, aa, ab, …."""
        return self.words.setdefault(words, _letters(len(self.words)))


def _letters(number: int) -> str:
    first = _letters(number // 26 - 1) if number >= 26 else ""
    return first + "abcdefghijklmnopqrstuvwxyz"[number % 26]


def escape(text: str, limit: int = 300) -> str:
    """Make `text` one line of plain words, also inside a table: no markup, HTML or link survives."""
    return _SPECIAL.sub(r"\\\1", one_line(text, limit)).replace("&", "&amp;")


def render(matrix: Matrix, top: str = "..") -> str:
    """Return the whole document, ending in one newline; `top` leads from its folder to the project's."""
    notes = _Notes()
    groups = [_group(group, matrix, notes) for group in matrix.groups]
    if matrix.host:
        groups.append(_HOST_INTRODUCTION)
        groups += [_group(group, matrix.host_part, notes, "###") for group in matrix.host]
    parts = ["# Compatibility matrix", _head(matrix), _legend(), *groups, _causes(notes)]
    text = "\n\n".join(part for part in parts if part) + "\n"
    return text.replace(_LINKED, f"`]({top}/")


_HOST_INTRODUCTION = (
    f"## {HOST_TITLE}\n\n"
    "No kernel has a part in these rows: compilers of the machine that measured were asked, once."
)


def _head(matrix: Matrix) -> str:
    run = matrix.run
    lines = [f"Measured {escape(run.start)} to {escape(run.end)} on {escape(run.host)}."]
    if run.partial:
        lines.append("**The run was interrupted: what is here is valid, more was planned.**")
    if run.command:
        lines.append(f"Made by {code(run.command)}.")
    summary = tabulate(
        [[words, number] for words, number in counts(matrix)], headers=["", "number"], tablefmt="github"
    )
    kernels = tabulate(
        [
            [escape(k.title), escape(k.release), escape(package(k)), code(k.sha256[:12]), escape(started(k))]
            for k in matrix.kernels
        ],
        headers=["kernel", "release", "source", "image SHA-256", "guest"],
        tablefmt="github",
        disable_numparse=True,
    )
    tools = ", ".join(f"{escape(name)} {escape(version)}" for name, version in run.tools.items())
    return "\n\n".join(["\n".join(lines), summary, kernels, f"Tools: {tools}." if tools else ""]).rstrip()


def _legend() -> str:
    marks = ", ".join(f"{SYMBOLS[mark]} {WORDS[mark]}" for mark in Mark)
    return (
        f"{marks}. A rejection names the stage (map = map creation) and the errno; the small number is the "
        "cause, a small letter the check that does not hold. **Bold with ≠** is another verdict or behaviour "
        "than expected, **bold with ≈** the expected verdict with another stage, errno or message, **bold "
        "with ~** a case repeated that did not always answer alike; ? is measured without an expectation."
    )


def _group(group: Group, matrix: Matrix, notes: _Notes, level: str = "##") -> str:
    info = group.info
    lines = [f"{level} {escape(group.heading)}"]
    if info.claim:
        lines.append(f"> {escape(info.claim, 1000)}" + (f" ({escape(info.note)})" if info.note else ""))
    lines.append(f"Program: {link(info.path) if info.path else code(info.name)}")
    used: dict[int, str] = {}
    checks = _Letters()
    table = [
        [code(row.label), *(_cell(cell, notes, used, checks) for cell in row.cells)] for row in group.rows
    ]
    headers = ["variant", *(escape(kernel.title) for kernel in matrix.kernels)]
    lines.append(tabulate(table, headers=headers, tablefmt="github", disable_numparse=True))
    feet = [f"<sup>{number}</sup> {text}" for number, text in sorted(used.items())]
    feet += [f"<sup>{letter}</sup> {escape(words)}" for words, letter in checks.words.items()]
    if feet:
        lines.append("  \n".join(feet))
    lines += [differences for row in group.rows if (differences := _differences(row))]
    return "\n\n".join(lines)


def _cell(cell: Cell, notes: _Notes, used: dict[int, str], checks: _Letters) -> str:
    text = escape(cell.text)
    cause = cell.case.verdict.cause if cell.case else None
    if cell.bad:
        text = f"**{text} {SIGNS.get(cell.outcome, '≠')}**"
    elif cell.outcome.value == "no_expectation":
        text += " ?"
    if cause and cell.mark is Mark.REJECT:
        number = notes.number(cause)
        used[number] = f"[{escape(cause_by_id(cause).title)}](#{cause})"
        text += f"<sup>{number}</sup>"
    if cell.mark is Mark.MISBEHAVES and cell.failed_checks:
        text += f"<sup>{checks.letter(cell.failed_checks)}</sup>"
    return text


def _differences(row: Row) -> str:
    lines = []
    for cell in row.cells:
        if cell.bad and cell.case:
            wanted = f" (expected {describe_expected(cell.case.expected)})" if cell.case.expected else ""
            why = escape(cell.why) or f"{cell.outcome.value}{wanted}"
            lines.append(
                f"- {SIGNS.get(cell.outcome, '≠')} {code(row.label)} on {escape(cell.kernel.title)}: {why}"
            )
    return "\n".join(lines)


def _causes(notes: _Notes) -> str:
    if not notes.numbers:
        return ""
    lines = ["## Causes"]
    for name, number in notes.numbers.items():
        cause = cause_by_id(name)
        lines.append(
            f'<a id="{escape(name)}"></a>**{number}. {escape(cause.title)}** (`{name}`). '
            f"{escape(cause.explanation, 1000)} *Fix:* {escape(cause.fix, 1000)}"
        )
    return "\n\n".join(lines)


def code(text: str) -> str:
    """Set as code; backticks and bars inside cannot end it or the table cell."""
    shown = one_line(text, 300).replace("`", "'").replace("|", "¦")
    return f"`{shown}`" if shown else "–"


def link(path: str) -> str:
    """Link a file of the project from a document in a folder of its top; a path outside is only named."""
    target = one_line(path, 500).replace("\\", "/")
    safe = re.sub(
        r"[^A-Za-z0-9._/+-]", lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), target
    )
    outside = safe.startswith(("/", "..")) or ":" in target
    return code(path) if outside else f"[{code(path)}](../{safe})"
