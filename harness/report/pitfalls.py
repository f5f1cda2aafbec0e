"""`docs/pitfalls.md`: every pitfall with what was measured of it, and the verdict on the note's advice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tabulate import tabulate

from harness.model import Run
from harness.report.markdown import code, escape
from harness.report.matrix import Group, Matrix, build
from harness.report.pitfallentry import ICONS, section
from harness.verdict.advice import ClaimRuling, Ruling, rule

_INTRODUCTION = """# The pitfalls, measured

What two field notes and their readers say of eBPF programs, and what kernels answer. Nothing here is typed
by hand: this page is made from a run by

```sh
bpfmatrix report reports/run.json --format pitfalls -o docs/pitfalls.md
```

A claim is *confirmed* on a kernel where every variant named for it answers as the claim says, *refuted*
where one does not, and *undecided* where nothing decisive was measured. Below each claim stand the variants
that decide it. `linkage=static,global depth=8` means all variants with these values. Sources are shown
without the `#include` lines and the licence that all of them have. How claims are written is in
[manifest.md](manifest.md#advice), how cells are read in [reading-the-matrix.md](reading-the-matrix.md).

"""
_NUMBER = re.compile(r"(\D*)(\d*)(.*)")


@dataclass(frozen=True, slots=True)
class Entry:
    """One program's rows, the columns they have (the kernels, or the host), and the rulings on its claims."""

    columns: Matrix
    group: Group
    rulings: tuple[ClaimRuling, ...]


@dataclass(frozen=True, slots=True)
class Pitfall:
    """The entries of one item of the notes, each with the rulings on its claims."""

    name: str  # "N02"
    entries: tuple[Entry, ...]


def render(run: Run) -> str:
    """Return the whole document, ending in one newline. Entries of no pitfall are left out."""
    matrix = build(run)
    pitfalls = _pitfalls(matrix)
    parts = [_head(matrix), _overview(pitfalls)]
    for pitfall in pitfalls:
        parts.append(f"## {escape(pitfall.name)}")
        parts += [section(entry.columns, entry.group, entry.rulings) for entry in pitfall.entries]
    return "\n\n".join(part for part in parts if part) + "\n"


def _pitfalls(matrix: Matrix) -> tuple[Pitfall, ...]:
    by_name: dict[str, list[Entry]] = {}
    for columns in (matrix, matrix.host_part):
        for group in columns.groups:
            if group.info.pitfall:
                entry = Entry(columns, group, _rulings(columns, group))
                by_name.setdefault(group.info.pitfall, []).append(entry)
    return tuple(Pitfall(name, tuple(by_name[name])) for name in sorted(by_name, key=_order))


def _order(name: str) -> tuple[int, str, int, str]:
    """Notes N and S first, in the order of their items, then what was added."""
    letters, digits, rest = _NUMBER.fullmatch(name).groups()  # type: ignore[union-attr]  # always matches
    return ("NS".find(letters) % 3, letters, int(digits or 0), rest)


def _rulings(matrix: Matrix, group: Group) -> tuple[ClaimRuling, ...]:
    advice = group.info.advice
    if advice is None:
        return ()
    cases = [cell.case for row in group.rows for cell in row.cells if cell.case]
    return tuple(rule(claim, matrix.kernels, cases) for claim in advice.claims)


def _head(matrix: Matrix) -> str:
    kernels = ", ".join(escape(kernel.title) for kernel in matrix.kernels if not kernel.problem)
    return _INTRODUCTION + f"Measured {escape(matrix.run.start)} on {kernels}."


def _overview(pitfalls: Sequence[Pitfall]) -> str:
    """Every claim with its verdict, and how many there are of each."""
    rows = [row for pitfall in pitfalls for row in _claims(pitfall)]
    unjudged = [
        f"{escape(pitfall.name)} {code(entry.group.info.name)}"
        for pitfall in pitfalls
        for entry in pitfall.entries
        if not entry.rulings
    ]
    table = tabulate(rows, headers=["", "entry", "what is said", "verdict"], tablefmt="github")
    note = f"\n\nWithout a claim to judge: {', '.join(unjudged)}." if unjudged else ""
    return f"## The advice, judged\n\n{_counted(pitfalls)}\n\n{table}{note}"


def _claims(pitfall: Pitfall) -> list[list[str]]:
    """A row for each claim; pitfall and entry are named where they begin."""
    rows: list[list[str]] = []
    for entry in pitfall.entries:
        for at, ruling in enumerate(entry.rulings):
            link = f"[{escape(pitfall.name)}](#{anchor(pitfall.name)})"
            verdict = f"{ICONS[ruling.overall]} **{escape(str(ruling))}**"
            title = escape(entry.group.info.title or entry.group.info.name) if at == 0 else ""
            rows.append(["" if rows else link, title, escape(ruling.claim.says, 400), verdict])
    return rows


def _counted(pitfalls: Sequence[Pitfall]) -> str:
    words = {
        Ruling.CONFIRMED: "confirmed",
        Ruling.REFUTED: "refuted",
        None: "true on some kernels only",
        Ruling.UNDECIDED: "not decided by these kernels",
    }
    overall = [ruling.overall for each in pitfalls for entry in each.entries for ruling in entry.rulings]
    counts = [f"{ICONS[ruling]} {overall.count(ruling)} {text}" for ruling, text in words.items()]
    return f"{len(overall)} claims: {', '.join(counts)}. The first of each entry is the note's own."


def anchor(heading: str) -> str:
    """Return the anchor a Markdown renderer gives a heading of plain words."""
    return re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-")
