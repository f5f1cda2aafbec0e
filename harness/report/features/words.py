"""The words all formats of the feature tables share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.features.documented import Documented
from harness.features.measured import MeasuredKernel
from harness.features.types import Support
from harness.report.features.tables import Cell, Contradiction, Row, Tables

_MANY = 3  # types that are left out are named where they are this few, or fewer than a third


def package(kernel: MeasuredKernel) -> str:
    """Where the kernel came from: the package and its version, else the source."""
    if kernel.package:
        return f"{kernel.package} {kernel.package_version or ''}".strip()
    return kernel.source


def disputed(record: Documented | None) -> str:
    """What other sources say of the version: `bcc 5.7, cilium/ebpf 5.5`; "" where none differs."""
    if record is None or not record.disagreement:
        return ""
    return ", ".join(f"{source.split()[0]} {since}" for source, since in record.disagreement.items())


def runs(kernels: Sequence[MeasuredKernel], everyone: Sequence[MeasuredKernel]) -> str:
    """Name kernels, a run of at least three columns as `6.12–7.3`."""
    order = {kernel.kernel: at for at, kernel in enumerate(everyone)}
    parts: list[list[str]] = []
    for kernel in sorted(kernels, key=lambda each: order[each.kernel]):
        if parts and order[kernel.kernel] == order[parts[-1][-1]] + 1:
            parts[-1].append(kernel.kernel)
        else:
            parts.append([kernel.kernel])
    return ", ".join(f"{p[0]}–{p[-1]}" if len(p) > 2 else ", ".join(p) for p in parts)


def types_words(types: Iterable[str], everyone: Iterable[str]) -> str:
    """Name program types the short way: `all`, `all but ext, syscall`, or one by one."""
    named, pool = set(types), set(everyone)
    left = pool - named
    if not left and len(named) > 1:
        return f"all {len(named)}"
    if len(named) > 1 and len(left) <= max(_MANY, len(pool) // 3) and len(left) < len(named):
        return f"all but {', '.join(sorted(left))}"
    return ", ".join(sorted(named))


def asked_types(cell: Cell) -> tuple[str, ...]:
    """All program types one cell tells something of."""
    return tuple(name for _, types in cell.findings for name in types)


def types_history(row: Row) -> list[tuple[MeasuredKernel, str]]:
    """Which program types have the feature on the first kernel with it, and each later change.

    A change is said as `+ xdp, − syscall`, relative to the program types that kernel knows: `all` stays
    `all` when a program type is added to the kernel.
    """
    history: list[tuple[MeasuredKernel, str]] = []
    before: tuple[set[str], set[str]] | None = None
    for cell in row.cells:
        if not cell.by_type or cell.support is None:
            continue
        having = set(cell.types(Support.YES))
        known = having | set(cell.types(Support.NO))
        if before is None:
            if having:
                history.append((cell.kernel, types_words(having, known)))
                before = (having, known)
            continue
        words = _change(before, (having, known))
        if words:
            history.append((cell.kernel, words))
        before = (having, known)
    return history


def _change(before: tuple[set[str], set[str]], now: tuple[set[str], set[str]]) -> str:
    """What is different among the program types both kernels tell of, and the new ones' answers."""
    had, knew = before
    has, knows = now
    if has == knows and had == knew:
        return ""
    lost, new = (had & knows) - has, has - had
    if not has:
        return "none"
    if len(lost) + len(new) > max(4, len(has) // 2):
        return types_words(has, knows)
    parts = [f"+ {', '.join(sorted(new))}"] * bool(new) + [f"− {', '.join(sorted(lost))}"] * bool(lost)
    return ", ".join(parts)


def why(contradiction: Contradiction) -> str:
    """Why a measured answer contradicts the documents, in a sentence."""
    found = contradiction.found
    types = f" ({', '.join(found.program_types)})" if found.program_types else ""
    said = (
        f"{found.predicted}, yet measured {'present' if found.measured is Support.YES else 'absent'}{types}"
    )
    if contradiction.explanation is None:
        return f"{said}: not explained so far"
    return f"{said}: {contradiction.explanation.reason}, {contradiction.explanation.why}"


def counts(tables: Tables) -> list[tuple[str, int]]:
    """Return (words, number) in reading order."""
    cells = [cell for row in tables.rows for cell in row.cells if cell.findings]
    flags = [cell.flag for cell in cells]
    answers = [cell.support for cell in cells]
    return [
        ("features measured", sum(1 for _ in tables.rows)),
        ("documented only", sum(len(section.documented) for section in tables.sections)),
        ("kernels", len(tables.kernels)),
        ("answers", sum(max(1, len(types)) for cell in cells for _, types in cell.findings)),
        ("unknown", answers.count(Support.UNKNOWN)),
        ("contradict the documents", sum(flag is not None for flag in flags)),
        ("backports", sum(flag == "backport" for flag in flags)),
        ("unexplained", sum(flag == "unexplained" for flag in flags)),
    ]
