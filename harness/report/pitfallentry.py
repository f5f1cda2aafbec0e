"""One entry's section of `docs/pitfalls.md`: verdict, what happens where and why, the form to use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tabulate import tabulate

from harness.model import CaseResult, VerdictKind
from harness.report.markdown import code, escape, link
from harness.report.matrix import HOST_COLUMN, Cell, Group, Mark, Matrix, Row
from harness.verdict.advice import ClaimRuling, KernelRuling, Ruling, selects, works_everywhere
from harness.verdict.causes import cause_by_id

_SHOWN_VARIANTS = 8
_SHOWN_CELLS = 3
_SOURCE_LINES = 80
_ICONS: Mapping[Ruling | None, str] = {
    Ruling.CONFIRMED: "✓",
    Ruling.REFUTED: "✗",
    Ruling.UNDECIDED: "?",
    None: "±",
}


def section(matrix: Matrix, group: Group, rulings: Sequence[ClaimRuling]) -> str:
    """Return the section of one entry."""
    info = group.info
    parts = [f"### {escape(info.title or info.name)}"]
    if info.claim:
        parts.append(f"> {escape(info.claim, 1000)}" + (f" ({escape(info.note)})" if info.note else ""))
    if rulings:
        parts.append("**Verdict on the advice**\n\n" + "\n".join(_ruling(each) for each in rulings))
    parts += [_answers(matrix, group), _why(group), _figures(matrix, group), _forms(matrix, group)]
    if info.path:
        parts.append(f"Program: {link(info.path)}")
    return "\n\n".join(part for part in parts if part)


def _ruling(ruling: ClaimRuling) -> str:
    lines = [f"- {_ICONS[ruling.overall]} *{escape(ruling.claim.says, 1000)}* **{escape(str(ruling))}**"]
    for verdict in (Ruling.CONFIRMED, Ruling.REFUTED):
        kernels = ruling.on(verdict)
        if kernels:
            names = ", ".join(escape(each.kernel.name) for each in kernels)
            where = f" (on {escape(kernels[-1].kernel.name)})" if len(kernels) > 1 else ""
            lines.append(f"  - {verdict.value} on {names}: {_evidence(kernels[-1])}{where}")
    open_ones = ruling.on(Ruling.UNDECIDED)
    if open_ones and len(open_ones) < len(ruling.kernels):
        lines.append(f"  - not decided on {', '.join(escape(each.kernel.name) for each in open_ones)}")
    return "\n".join(lines)


def _evidence(ruling: KernelRuling) -> str:
    """Name the cells that decide, on the newest of the kernels that agree."""
    shown = [f"{code(case.variant)} {_answer(case)}" for case in ruling.cases[:_SHOWN_CELLS]]
    more = len(ruling.cases) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _answer(case: CaseResult) -> str:
    verdict = case.verdict
    if verdict.abnormal is not None:
        return verdict.abnormal.value
    if verdict.kind is VerdictKind.REJECT:
        stage = verdict.stage.value if verdict.stage else ""
        return escape(" ".join(part for part in ("rejected at", stage, verdict.errno or "") if part))
    return case.behaviour.value if case.behaviour else "accepted"


def _answers(matrix: Matrix, group: Group) -> str:
    """Variants that answer alike on every kernel share a line."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for row in group.rows:
        alike.setdefault(tuple(cell.text for cell in row.cells), []).append(row.label)
    table = [[_names(names), *map(escape, answers)] for answers, names in alike.items()]
    headers = ["variants", *(escape(kernel.name) for kernel in matrix.kernels)]
    return tabulate(table, headers=headers, tablefmt="github", disable_numparse=True)


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(code(name) for name in names[:_SHOWN_VARIANTS])
    more = len(names) - _SHOWN_VARIANTS
    return shown + (f" and {more} more" if more > 0 else "")


def _why(group: Group) -> str:
    lines: dict[str, None] = {}
    for cell in _cells(group):
        case = cell.case
        if case and case.expected and case.expected.why and not cell.bad:
            lines.setdefault(f"- {escape(_sentence(case.expected.why), 1000)}")
    for cell in _cells(group):
        if cell.case and cell.mark is Mark.REJECT and cell.case.verdict.cause:
            cause = cause_by_id(cell.case.verdict.cause)
            lines.setdefault(
                f"- *{escape(cause.title)}* ({code(cause.id)}): {escape(cause.explanation, 1000)}"
            )
    return "Why:\n\n" + "\n".join(lines) if lines else ""


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


def _cells(group: Group) -> list[Cell]:
    return [cell for row in group.rows for cell in row.cells]


def _figures(matrix: Matrix, group: Group) -> str:
    """Instructions processed and milliseconds of verification, where the entry says they tell something."""
    if group.info.advice is None or not group.info.advice.figures:
        return ""
    table = [[code(row.label), *(_figure(cell) for cell in row.cells)] for row in group.rows]
    headers = ["instructions processed / ms in the kernel", *(escape(k.name) for k in matrix.kernels)]
    return tabulate(table, headers=headers, tablefmt="github", disable_numparse=True)


def _figure(cell: Cell) -> str:
    seen = cell.case.observation if cell.case else None
    if seen is None or seen.insns_processed is None or seen.kernel_time_us is None:
        return "–"
    return f"{seen.insns_processed:,} / {seen.kernel_time_us / 1000:.1f}"


def _everywhere(matrix: Matrix) -> str:
    return "on this machine" if matrix.kernels == (HOST_COLUMN,) else "on every kernel measured"


def _forms(matrix: Matrix, group: Group) -> str:
    """Say which form to use, and set it beside the one that bites."""
    advice = group.info.advice
    if advice is None or not (advice.right or advice.wrong):
        return ""
    right = next((row for when in advice.right for row in _rows(group, when) if _works(row)), None)
    wrong = next(iter(_rows(group, advice.wrong)), None) if advice.wrong is not None else None
    if right is not None:
        line = f"Recommended: {code(right.label)}, accepted{_runs(right)} {_everywhere(matrix)}."
    elif advice.right:
        line = f"Recommended: none; no candidate works {_everywhere(matrix)}."
    else:
        line = ""
    return "\n\n".join(part for part in (line, _side_by_side(wrong, right)) if part)


def _rows(group: Group, when: Mapping[str, tuple[str | int | bool, ...]]) -> list[Row]:
    return [row for row in group.rows if row.sample and selects(when, row.sample.axes)]


def _works(row: Row) -> bool:
    return works_everywhere([cell.case for cell in row.cells if cell.case])


def _runs(row: Row) -> str:
    return " and well-behaved" if any(cell.case and cell.case.behaviour for cell in row.cells) else ""


def _side_by_side(wrong: Row | None, right: Row | None) -> str:
    columns = [(title, row) for title, row in (("wrong", wrong), ("right", right)) if row is not None]
    if not columns:
        return ""
    heads = "".join(f"<th>{title}: <code>{_html(row.label)}</code></th>" for title, row in columns)
    cells = "".join(f"<td>\n\n{_source(row)}\n\n</td>\n" for _, row in columns)
    return f"<table>\n<tr>{heads}</tr>\n<tr>\n{cells}</tr>\n</table>"


def _source(row: Row) -> str:
    """The rendered text; a fence longer than any in it, so that it cannot end the block."""
    text = row.sample.source if row.sample else ""
    lines = text.strip().splitlines() or ["(no source)"]
    shown = [line.replace("\x00", "") for line in lines[:_SOURCE_LINES]]
    if len(lines) > _SOURCE_LINES:
        shown.append(f"/* {len(lines) - _SOURCE_LINES} more lines */")
    fence = "```"
    while any(fence in line for line in shown):
        fence += "`"
    return f"{fence}c\n" + "\n".join(shown) + f"\n{fence}"


def _html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
