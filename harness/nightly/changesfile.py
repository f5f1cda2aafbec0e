"""`changes.md`: what is different tonight, worst first, for a person with a cup of coffee. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from tabulate import tabulate

from harness.model import ProgramInfo
from harness.nightly.types import KernelNight, Night
from harness.record.changes import Change, Changes, by_kernels, same_change
from harness.report.markdown import code, escape
from harness.report.matrix import reproduce

_MOST_ROWS = 200  # of differences that are not worse
_MOST_COMMANDS = 20

STATUS_WORDS = {
    0: "nothing worse",
    1: "worse than before",
    3: "not complete: something could not be had, started or read",
}


def render(night: Night) -> str:
    """Return the whole document, ending in one newline."""
    parts = [
        f"# Night {escape(night.record.name)}: {headline(night)}",
        _facts(night),
        _kernels(night.record.kernels),
        _notes(night),
    ]
    told: set[tuple[object, ...]] = set()
    for changes in night.findings.comparisons:
        parts += _comparison(changes, night, told)
        told |= {same_change(change) for change in changes.changes}
    if not night.findings.comparisons:
        parts.append("There was nothing to compare with: no baseline, and no night of the same selection.")
    parts += [_commands(night)]
    return "\n\n".join(part for part in parts if part) + "\n"


def headline(night: Night) -> str:
    """Say in a few words how the night was."""
    record = night.record
    words = []
    if record.regressions:
        words.append(f"{record.regressions} worse")
    broken = [kernel.name for kernel in record.kernels if kernel.problem]
    if broken:
        words.append(f"nothing known of {', '.join(broken)}")
    elif record.status == 3:
        words.append("not complete")
    if record.flaky:
        words.append(f"{record.flaky} flaky")
    return escape(", ".join(words) or "nothing worse")


def _facts(night: Night) -> str:
    record = night.record
    lines = [f"{record.cases} cases, measured {escape(record.start)} to {escape(record.end)}."]
    if night.run.command:
        lines.append(f"Made by {code(night.run.command)}.")
    if night.findings.retried:
        lines.append(f"{night.findings.retried} cases that got worse were tried again in a fresh guest.")
    return "\n".join(lines)


def _kernels(kernels: Sequence[KernelNight]) -> str:
    rows = [
        [escape(k.name), escape(k.version or "–"), code(k.release), escape(k.moved or "–"), escape(_state(k))]
        for k in kernels
    ]
    headers = ["kernel", "version", "release", "since the night before", "state"]
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True) if rows else ""


def _state(kernel: KernelNight) -> str:
    if kernel.problem:
        return f"NOT RUN: {kernel.problem}"
    return f"from the cache, its source was not asked: {kernel.stale}" if kernel.stale else "ran"


def _notes(night: Night) -> str:
    return "\n".join(f"- {escape(note, 600)}" for note in night.record.notes)


def _comparison(changes: Changes, night: Night, told: set[tuple[object, ...]]) -> Iterator[str]:
    news = [change for change in changes.changes if same_change(change) not in told]
    repeated = len(changes.changes) - len(news)
    yield f"## Compared with {escape(changes.before)}"
    counts = ", ".join(f"{number} {kind.value}" for kind, number in changes.counts.items())
    yield f"{changes.compared} cases compared: {counts or 'no difference'}."
    yield "\n".join(f"- {escape(note, 600)}" for note in changes.notes)
    if repeated:
        yield f"{repeated} of the differences are those with {escape(night.findings.comparisons[0].before)}."
    worse = [change for change in news if change.regression and not change.flaky]
    flaky = [change for change in news if change.flaky]
    other = [change for change in news if not change.flaky and not change.regression]
    yield _section("### Worse", worse, night)
    yield _section("### Flaky: happened once, and not again in a fresh guest", flaky, night)
    yield _section("### Other differences", other, night, _MOST_ROWS)


def _section(title: str, changes: Sequence[Change], night: Night, most: int | None = None) -> str:
    if not changes:
        return ""
    rows = [_row(group, night) for group in by_kernels(changes)]
    headers = ["what", "case", "kernels", "before", "now", "why"]
    table = tabulate(rows[:most], headers=headers, tablefmt="github", disable_numparse=True)
    more = (
        f"\n\nand {len(rows) - most} more rows; all are in results.csv" if most and len(rows) > most else ""
    )
    return f"{title}\n\n{table}{more}"


def _row(group: Sequence[Change], night: Night) -> list[str]:
    first = group[0]
    why = [str(reason) for reason in first.reasons]
    why += [night.findings.release_before[first.id]] if first.id in night.findings.release_before else []
    kernels = ", ".join(change.kernel for change in group)
    return [
        escape(first.kind.value),
        code(first.case) if first.case else "–",
        escape(kernels, 300),
        escape(first.before, 160),
        escape(first.after, 160),
        escape("; ".join(why), 300) or "–",
    ]


def _commands(night: Night) -> str:
    """Return the commands that show what is worse, one case at a time, and the one that accepts it."""
    worse = dict.fromkeys(c.id for every in night.findings.comparisons for c in every.regressions if c.case)
    if not worse:
        return ""
    rows = {row.id: row for row in night.run.cases}
    infos = {info.name: info for info in night.run.programs}
    shown = [
        reproduce(rows[case], infos.get(rows[case].program, ProgramInfo(rows[case].program)))
        for case in worse
        if case in rows
    ]
    lines = [
        *shown[:_MOST_COMMANDS],
        *([f"# … {len(shown) - _MOST_COMMANDS} more"] if len(shown) > 20 else []),
    ]
    run = shlex.quote(f"{night.folder}/run.json")
    moved = f"# if it is meant to be so:\nbpfmatrix baseline update --run {run}"
    return "## To see it again\n\n```sh\n" + "\n".join([*map(_plain, lines), moved]) + "\n```"


def _plain(command: str) -> str:
    """Keep a command one line that cannot end the block it stands in."""
    return " ".join(command.replace("```", "").split())
