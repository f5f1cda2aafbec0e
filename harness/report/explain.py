"""An error text explained, for a terminal or as JSON, with the rows of the matrix it concerns. Pure."""

from __future__ import annotations

import json
import shlex
import textwrap
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from harness.model import Run
from harness.report.matrix import Cell, Group, Mark, Matrix, Row, build
from harness.report.terminal import tables
from harness.verdict.causes import Cause
from harness.verdict.explain import Explanation
from harness.verdict.text import one_line

_REFUSED_ROWS, _FINE_ROWS, _GROUPS = 4, 2, 3  # shown of each program, and of how many programs
_FINE = frozenset({Mark.ACCEPT, Mark.BEHAVES})
_LABEL = 13
_MARGIN = 2


@dataclass(frozen=True, slots=True)
class Found:
    """The rows of a matrix that were refused for a cause, and rows of the same programs that never were."""

    matrix: Matrix  # only the rows that are shown
    left_out: int  # rows refused for it that are not shown


@dataclass(frozen=True, slots=True)
class Source:
    """The run the rows come from: the file as a person names it, or why there is none and what makes one."""

    name: str
    run: Run | None = None
    problem: str = ""


def rows_for(run: Run, causes: Sequence[Cause]) -> Found:
    """Pick the rows with a cell refused for one of `causes`, and beside them forms accepted everywhere."""
    matrix = build(run)
    names = {cause.id for cause in causes}
    groups = [(group, refused) for group in matrix.groups if (refused := _refused(group, names))]
    host = [(group, refused) for group in matrix.host if (refused := _refused(group, names))]
    shown = replace(
        matrix,
        groups=tuple(_shortened(group, refused) for group, refused in groups[:_GROUPS]),
        host=tuple(_shortened(group, refused) for group, refused in host[:_GROUPS]),
    )
    every = sum(len(refused) for _, refused in (*groups, *host))
    kept = sum(min(len(refused), _REFUSED_ROWS) for _, refused in (*groups[:_GROUPS], *host[:_GROUPS]))
    return Found(shown, every - kept)


def render(found: Explanation, source: Source, cut: str = "", width: int = 100) -> str:
    """Return the explanation as text; `cut` says how much of the input was not looked at."""
    blocks = [[f"{found.cause.id}: {found.cause.title}"], [*_facts(found, cut, width)]]
    if found.recognised:
        blocks.append([*_advice(found, width)])
        if found.also:
            also = [f"  {cause.id}: {cause.title}" for cause in found.also]
            blocks.append(["The text does not tell it from:", *also])
        blocks.append([*_rows(found, source, width)])
    else:
        blocks.append(_unknown(found, width))
    text = "\n\n".join("\n".join(line.rstrip() for line in block) for block in blocks if block)
    return text + "\n"


def to_json(found: Explanation, source: Source, cut: str = "") -> str:
    """Return the explanation as one JSON document, pure ASCII (docs/explain.md)."""
    rows = rows_for(source.run, (found.cause, *found.also)) if source.run and found.recognised else None
    parsed = found.parsed
    document = {
        "recognised": found.recognised,
        "cause": _cause_json(found.cause),
        "also": [cause.id for cause in found.also],
        "said": found.said,
        "stage": found.error.stage.value if found.error.stage else None,
        "errno": found.error.errno,
        "program": found.error.program,
        "map": found.error.map,
        "instruction": _instruction(parsed.insn, parsed.insn_text),
        "acquired": _instruction(*found.acquired) if found.acquired else None,
        "source": {"text": found.parsed.source, "at": found.parsed.source_at}
        if found.parsed.source
        else None,
        "wording_kernels": found.wording.kernels.text if found.wording else None,
        "suggestion": found.parsed.suggestion,
        "omitted_lines": found.error.omitted_lines,
        "cut": cut,
        "matrix": {"run": source.name, "problem": source.problem, "rows": list(_rows_json(rows))},
    }
    return json.dumps(document, indent=2) + "\n"


def _refused(group: Group, causes: Set[str]) -> list[Row]:
    return [row for row in group.rows if any(_refused_for(cell, causes) for cell in row.cells)]


def _refused_for(cell: Cell, causes: Set[str]) -> bool:
    return cell.case is not None and cell.mark is Mark.REJECT and cell.case.verdict.cause in causes


def _shortened(group: Group, refused: Sequence[Row]) -> Group:
    fine = [row for row in group.rows if all(cell.mark in _FINE for cell in row.cells)]
    return replace(group, rows=(*refused[:_REFUSED_ROWS], *fine[:_FINE_ROWS]))


def _facts(found: Explanation, cut: str, width: int) -> Iterator[str]:
    """Yield what was read from the text, one labelled line each."""
    error, parsed = found.error, found.parsed
    kernels = found.wording.kernels if found.wording else None
    where = [error.stage.value if error.stage else "", error.errno or ""]
    named = [f"program {error.program}" if error.program else "", f"map {error.map}" if error.map else ""]
    facts = {
        "said": found.said or parsed.reason,
        "where": ", ".join(part for part in (*where, *named) if part),
        "instruction": _insn_words(parsed.insn, parsed.insn_text),
        "source": " @ ".join(part for part in (parsed.source, parsed.source_at) if part),
        "acquired at": _insn_words(*found.acquired) if found.acquired else "",
        "these words": f"kernels {kernels}" if kernels and kernels.bounds else "",
        "left out": _left_out(error.omitted_lines),
        "cut": cut,
    }
    for label, text in facts.items():
        if text:
            yield from _paragraph(label, text, width)


def _advice(found: Explanation, width: int) -> Iterator[str]:
    yield from _paragraph("why", found.cause.explanation, width)
    yield from _paragraph("fix", found.cause.fix, width)
    if found.parsed.suggestion:
        yield from _paragraph("kernel says", found.parsed.suggestion, width)


def _unknown(found: Explanation, width: int) -> list[str]:
    """Say what would help: more of the text, or a rule."""
    more = "hand over the whole log of the verifier, with what the loader printed around it"
    rule = "the text is new: harness/verdict/causes.yaml has room for a rule and this sample"
    whole = bool(found.error.log) and not found.error.omitted_lines
    return textwrap.wrap(f"Not in the rules. {(rule if whole else more).capitalize()}.", width)


def _insn_words(index: int | None, text: str) -> str:
    return "" if index is None else f"{index}: {text}" if text else f"{index} (the log does not show it)"


def _left_out(lines: int) -> str:
    if not lines:
        return ""
    return f"{lines} line{'' if lines == 1 else 's'} of the log, by cilium/ebpf; it prints all with %+v"


def _paragraph(label: str, text: str, width: int) -> list[str]:
    room = max(width - _LABEL - _MARGIN, 20)
    wrapped = textwrap.wrap(one_line(text, 2000), room, break_long_words=True, break_on_hyphens=False)
    return [f"{' ' * _MARGIN}{label if n == 0 else '':<{_LABEL}}{line}" for n, line in enumerate(wrapped)]


def _rows(found: Explanation, source: Source, width: int) -> Iterator[str]:
    """Yield the rows of the matrix, or why there are none; then the pitfalls and the next command."""
    if source.run is None:
        yield from textwrap.wrap(f"In the matrix: {source.problem}", width)
    else:
        rows = rows_for(source.run, (found.cause, *found.also))
        head = f"In the matrix ({source.name}, measured {one_line(source.run.start, 30)}):"
        if rows.matrix.groups or rows.matrix.host:
            yield from (head, "", *tables(rows.matrix, width).rstrip("\n").split("\n"))
        else:
            yield f"{head} no row was refused for this."
        if rows.left_out:
            yield f"  and {rows.left_out} more row{'' if rows.left_out == 1 else 's'} refused for this"
    if found.cause.pitfalls:
        named = ", ".join(f"{name} (docs/pitfalls.md#{name.lower()})" for name in found.cause.pitfalls)
        yield from ("", *textwrap.wrap(f"Pitfalls: {named}.", width))
        yield f"next: bpfmatrix run -k {shlex.quote(' or '.join(found.cause.pitfalls))}"


def _cause_json(cause: Cause) -> dict[str, Any]:
    return {
        "id": cause.id,
        "title": cause.title,
        "explanation": cause.explanation,
        "fix": cause.fix,
        "pitfalls": list(cause.pitfalls),
        "kernels": cause.kernels.text,
    }


def _instruction(index: int | None, text: str) -> dict[str, Any] | None:
    return None if index is None else {"index": index, "text": text}


def _rows_json(rows: Found | None) -> Sequence[dict[str, Any]]:
    if rows is None:
        return ()
    return [
        {
            "program": row.program,
            "variant": row.variant,
            "compiler": row.compiler,
            "pitfall": group.info.pitfall,
            "cells": {cell.kernel.name: cell.text for cell in row.cells},
        }
        for group in (*rows.matrix.groups, *rows.matrix.host)
        for row in group.rows
    ]
