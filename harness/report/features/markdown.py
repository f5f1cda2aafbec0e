"""The feature tables as Markdown, in the manner of bcc's `docs/kernel-versions.md`: a table per kind."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from tabulate import tabulate

from harness.features.documented import Documented
from harness.features.measured import MeasuredKernel
from harness.features.types import FeatureKind, Support
from harness.report.features.tables import (
    FLAG_SIGNS,
    FLAG_WORDS,
    SYMBOLS,
    TITLES,
    WORDS,
    Cell,
    Flag,
    Row,
    Section,
    Tables,
)
from harness.report.features.words import counts, disputed, package, runs, types_history, why
from harness.report.markdown import code, escape

_BY_TYPE = (FeatureKind.HELPER, FeatureKind.KFUNC)
_EXPLAINED_HERE = 40  # contradictions of one kind; of more, docs/disagreements.md has the list


def render(tables: Tables) -> str:
    """Return the whole document, ending in one newline."""
    parts = [
        "# eBPF features by kernel version",
        _introduction(tables),
        _counts(tables),
        _contents(tables),
        _kernels(tables.kernels),
        _environment(tables.kernels),
        *(_section(section, tables) for section in tables.sections),
        _commits(tables),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _introduction(tables: Tables) -> str:
    if not tables.kernels:
        return "No kernel was asked so far: `bpfmatrix features` does. What follows is documented only."
    signs = ", ".join(f"{SYMBOLS[support]} {WORDS[support]}" for support in (*Support, None))
    flags = ", ".join(f"{FLAG_SIGNS[flag]} {FLAG_WORDS[flag]}" for flag in Flag)
    return (
        "*Since* is the upstream version the documents name, linked to its commit; ≠ beside it names sources "
        "that say otherwise. *First* is the oldest of these kernels that has it. The kernels' columns are "
        "what each answered when it was asked in a guest, told by the verifier's words, by its BTF, or "
        f"because the thing was made: {signs}. A number is how many program types may call it. {flags}.\n\n"
        "Made by `make features`; [docs/features.md](../docs/features.md) says how to read and correct it. "
        "`features.html` beside this file has the evidence of every answer."
    )


def _counts(tables: Tables) -> str:
    return tabulate(counts(tables), headers=["", "number"], tablefmt="github")


def _contents(tables: Tables) -> str:
    links = (f"[{section.title}](#{_anchor(section.title)})" for section in tables.sections)
    return " · ".join(links)


def _anchor(title: str) -> str:
    return "".join(c for c in title.lower() if c.isalnum() or c in " -").replace(" ", "-")


def _kernels(kernels: Sequence[MeasuredKernel]) -> str:
    if not kernels:
        return ""
    rows = [
        [
            escape(kernel.kernel),
            escape(kernel.release),
            escape(str(kernel.version)),
            escape(package(kernel)),
            code(kernel.sha256[:12]),
            code((kernel.config_sha256 or "")[:12]),
            escape(kernel.date[:10]),
            f"{kernel.seconds:.1f} s",
        ]
        for kernel in kernels
    ]
    headers = ["kernel", "release", "version", "source", "image SHA-256", "configuration", "asked", "took"]
    return "## Kernels\n\n" + _table(rows, headers)


def _environment(kernels: Sequence[MeasuredKernel]) -> str:
    """The settings answers depend on, as they were in the guest."""
    keys = sorted({key for kernel in kernels for key in kernel.environment})
    if not keys:
        return ""
    rows = [
        [code(key), *(escape(kernel.environment.get(key, "–"), 80) for kernel in kernels)] for key in keys
    ]
    return "What the guests' settings were:\n\n" + _table(rows, ["setting", *_columns(kernels)])


def _columns(kernels: Sequence[MeasuredKernel]) -> list[str]:
    return [escape(kernel.kernel) for kernel in kernels]


def _table(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> str:
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def _section(section: Section, tables: Tables) -> str:
    parts = [f"## {escape(section.title)}"]
    if section.kind is FeatureKind.LANGUAGE:
        for subkind, rows in groupby(section.rows, lambda row: row.subkind):
            parts += [
                f"### {escape(subkind.replace('_', ' ') or 'measured only')}",
                _rows(list(rows), tables),
            ]
    elif section.rows:
        parts.append(_rows(section.rows, tables))
    if section.kind in _BY_TYPE and section.rows:
        parts += [f"### {TITLES[section.kind]} by program type", _by_type(section.rows)]
    parts += [_contradictions(section, tables), _documented_only(section.documented)]
    return "\n\n".join(part for part in parts if part)


def _rows(rows: Sequence[Row], tables: Tables) -> str:
    table = [
        [
            code(row.feature.name),
            since(row.record),
            escape(row.first.kernel) if row.first else "–",
            *(cell_text(cell) for cell in row.cells),
        ]
        for row in rows
    ]
    return _table(table, ["name", "since", "first", *_columns(tables.kernels)])


def since(record: Documented | None) -> str:
    """The documented version, linked to its commit; `–` where nothing is documented."""
    if record is None:
        return "–"
    version = escape(record.since)
    text = f"[{version}][{_label(record.commit)}]" if record.commit else version
    if record.removed:
        text += f", until {escape(record.removed)}"
    other = disputed(record)
    return f"{text} ≠ {escape(other)}" if other else text


def cell_text(cell: Cell) -> str:
    """`✓`, `✓ 12` where twelve program types have it, with the sign of a contradiction."""
    text = SYMBOLS[cell.support]
    if cell.by_type and cell.support is Support.YES:
        text += f" {len(cell.types(Support.YES))}"
    if cell.flag is Flag.UNEXPLAINED:
        return f"**{text} {FLAG_SIGNS[cell.flag]}**"
    return f"{text} {FLAG_SIGNS[cell.flag]}" if cell.flag else text


def _by_type(rows: Sequence[Row]) -> str:
    introduction = "The program types that may call it on the first kernel that has it, then what changed."
    table = []
    for row in rows:
        history = types_history(row)
        if history:
            words = "; ".join(f"{escape(kernel.kernel)}: {escape(text, 1000)}" for kernel, text in history)
            table.append([code(row.feature.name), words])
    return f"{introduction}\n\n{_table(table, ['name', 'program types'])}" if table else ""


def _contradictions(section: Section, tables: Tables) -> str:
    """One line for what is explained alike: the feature, the kernels, the words."""
    grouped: dict[tuple[str, str, Flag], list[MeasuredKernel]] = {}
    for row in section.rows:
        for cell in row.cells:
            for each in cell.contradictions:
                grouped.setdefault((row.feature.name, why(each), each.flag), []).append(cell.kernel)
    if not grouped:
        return ""
    lines = [
        f"- {FLAG_SIGNS[flag]} {code(name)} on {escape(runs(kernels, tables.kernels))}: {escape(words, 500)}"
        for (name, words, flag), kernels in grouped.items()
    ]
    head = "Where documents and kernels contradict each other:"
    if len(lines) > _EXPLAINED_HERE:
        more = len(lines) - _EXPLAINED_HERE
        lines = [
            *lines[:_EXPLAINED_HERE],
            f"- … and {more} more in [disagreements.md](../docs/disagreements.md)",
        ]
    return head + "\n\n" + "\n".join(lines)


def _documented_only(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    named = ", ".join(f"{code(row.feature.name)} {since(row.record)}" for row in rows)
    summary = f"Documented only, {len(rows)}: no kernel was asked"
    return f"<details><summary>{summary}</summary>\n\n{named}\n\n</details>"


def _commits(tables: Tables) -> str:
    """Where the links of `since` lead; each commit once, so that the tables stay narrow."""
    records = (row.record for section in tables.sections for row in (*section.rows, *section.documented))
    targets = {_label(record.commit): record.commit_url for record in records if record and record.commit}
    return "\n".join(f"[{label}]: {url}" for label, url in sorted(targets.items()))


def _label(commit: str) -> str:
    return commit[:12]
