"""One entry's section of `docs/pitfalls.md`: verdict, what happens where and why, the form to use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tabulate import tabulate

from harness.model import CaseResult, KernelRun, VerdictKind
from harness.report.markdown import code, escape, link
from harness.report.matrix import HOST_COLUMN, Cell, Group, Mark, Matrix, Row
from harness.report.pitfallforms import forms
from harness.report.variantset import Axes, phrases
from harness.scenario import Behaviour
from harness.verdict.advice import ClaimRuling, KernelRuling, Ruling, spans
from harness.verdict.causes import cause_by_id

_SHOWN_VARIANTS = 8  # of a list nothing shortens
_PLURAL = {each.value: each.value.removesuffix("s") for each in Behaviour}  # they behave
ICONS: Mapping[Ruling | None, str] = {
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
        lines = [_ruling(each, group) for each in rulings]
        parts.append("**Verdict on the advice**\n\n" + "\n".join(lines))
    parts += [_answers(matrix, group), _why(group), forms(matrix, group), _figures(matrix, group)]
    if info.path:
        parts.append(f"Program: {link(info.path)}")
    return "\n\n".join(part for part in parts if part)


def _ruling(ruling: ClaimRuling, group: Group) -> str:
    """The verdict on a claim, and below it the cells that decide, on the newest kernel that says so."""
    lines = [f"- {ICONS[ruling.overall]} *{escape(ruling.claim.says, 1000)}* **{escape(str(ruling))}**"]
    for verdict in (Ruling.CONFIRMED, Ruling.REFUTED):
        kernels = ruling.on(verdict)
        if kernels:
            seen = f"as seen on {_column(kernels[-1].kernel)}"
            word = f"{verdict.value}, {seen}" if ruling.overall is None else seen
            lines.append(f"  - {word}: {_evidence(kernels[-1], group)}")
    open_ones = [each.kernel.name for each in ruling.on(Ruling.UNDECIDED)]
    if open_ones and len(open_ones) < len(ruling.kernels):
        every = [each.kernel.name for each in ruling.kernels]
        lines.append(f"  - not decided on {escape(spans(open_ones, every))}")
    return "\n".join(lines)


def _column(kernel: KernelRun) -> str:
    return "this machine" if kernel == HOST_COLUMN else escape(kernel.name)


def _evidence(ruling: KernelRuling, group: Group) -> str:
    """Name the deciding variants, those with the same answer together."""
    alike: dict[str, list[CaseResult]] = {}
    for case in ruling.cases:
        alike.setdefault(_answer(case), []).append(case)
    every = [row.sample.axes for row in group.rows if row.sample]
    return "; ".join(
        f"{_names([case.variant for case in cases], [case.axes for case in cases], every, ' and ')} "
        f"{answer if len(cases) == 1 else _PLURAL.get(answer, answer)}"
        for answer, cases in alike.items()
    )


def _answer(case: CaseResult) -> str:
    verdict = case.verdict
    if verdict.abnormal is not None:
        return verdict.abnormal.value
    if verdict.kind is VerdictKind.REJECT:
        stage = verdict.stage.value if verdict.stage else ""
        return escape(" ".join(part for part in ("rejected at", stage, verdict.errno or "") if part))
    return case.behaviour.value if case.behaviour else "accepted"


def _answers(matrix: Matrix, group: Group) -> str:
    """Variants that answer alike on every kernel share a line, neighbouring kernels that do a column."""
    alike: dict[tuple[str, ...], list[Row]] = {}
    for row in group.rows:
        alike.setdefault(tuple(cell.text for cell in row.cells), []).append(row)
    columns = _columns(matrix, list(alike))
    every = [_axes(row) for row in group.rows]
    table = [
        [
            _names([row.label for row in rows], [_axes(row) for row in rows], every, "<br>"),
            *(escape(answers[kernels[0]]) for kernels in columns),
        ]
        for answers, rows in alike.items()
    ]
    names = [kernel.name for kernel in matrix.kernels]
    heads = (spans([names[at] for at in kernels], names) for kernels in columns)
    return tabulate(
        table, headers=["variants", *map(escape, heads)], tablefmt="github", disable_numparse=True
    )


def _columns(matrix: Matrix, answers: Sequence[tuple[str, ...]]) -> list[list[int]]:
    """The kernels' numbers, neighbours together where no variant tells them apart."""
    columns: list[list[int]] = []
    for at in range(len(matrix.kernels)):
        if columns and all(row[at] == row[columns[-1][0]] for row in answers):
            columns[-1].append(at)
        else:
            columns.append([at])
    return columns


def _axes(row: Row) -> Axes:
    axes = row.sample.axes if row.sample else {}
    return {**axes, "clang": row.compiler} if row.compiler else axes


def _names(names: Sequence[str], chosen: Sequence[Axes], every: Sequence[Axes], between: str) -> str:
    """Name variants by the values of their axes where that is shorter than one by one."""
    found = phrases(chosen, every) if len(names) > 1 else ()
    if found == ("all",):
        return "all"
    if found and len(", ".join(found)) < len(", ".join(names)):
        return between.join(map(code, found))
    shown = ", ".join(code(name) for name in names[:_SHOWN_VARIANTS])
    more = len(names) - _SHOWN_VARIANTS
    return shown + (f" and {more} more" if more > 0 else "")


def _why(group: Group) -> str:
    reasons: dict[str, dict[str, None]] = {}
    for cell in _cells(group):
        case = cell.case
        if case and case.expected and case.expected.why and not cell.bad:
            reasons.setdefault(_sentence(case.expected.why), {}).setdefault(cell.text)
    lines = [f"- {escape(', '.join(texts))}: {escape(why, 1000)}" for why, texts in reasons.items()]
    causes = {
        cell.case.verdict.cause: None
        for cell in _cells(group)
        if cell.case and cell.mark is Mark.REJECT and cell.case.verdict.cause
    }
    for cause in map(cause_by_id, causes):
        lines.append(f"- *{escape(cause.title)}* ({code(cause.id)}): {escape(cause.explanation, 1000)}")
    return "Why:\n\n" + "\n".join(lines) if lines else ""


def _sentence(text: str) -> str:
    return text if text.endswith((".", ".)")) else text + "."


def _cells(group: Group) -> list[Cell]:
    return [cell for row in group.rows for cell in row.cells]


def _figures(matrix: Matrix, group: Group) -> str:
    """Instructions processed and milliseconds of verification, where the entry says they tell something."""
    if group.info.advice is None or not group.info.advice.figures:
        return ""
    table = [
        [code(row.label), *figures]
        for row in group.rows
        if any(figures := [_figure(cell) for cell in row.cells])
    ]
    headers = ["variant", *(escape(kernel.name) for kernel in matrix.kernels)]
    text = tabulate(table, headers=headers, tablefmt="github", disable_numparse=True, missingval="–")
    title = "Instructions the verifier processed / milliseconds the kernel took to load"
    return f"<details>\n<summary>{title}</summary>\n\n{text}\n\n</details>" if table else ""


def _figure(cell: Cell) -> str | None:
    seen = cell.case.observation if cell.case else None
    if seen is None or seen.insns_processed is None or seen.kernel_time_us is None:
        return None
    return f"{seen.insns_processed:,} / {seen.kernel_time_us / 1000:.1f}"
