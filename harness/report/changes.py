"""A comparison in words: for a terminal and as JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

from harness.record.changes import Change, ChangeKind, Changes
from harness.verdict.text import one_line

_SHOWN = 40  # of one kind; the rest is counted
_WIDTH = 300


def changes_text(changes: Changes, shown: int = _SHOWN) -> str:
    """Write what differs, regressions first, each with what else is different around it."""
    lines = [f"{changes.before} → {changes.after}: {changes.compared} cases compared{_kernels(changes)}"]
    lines += [f"note: {note}" for note in changes.notes]
    for worse in (True, False):
        for kind in ChangeKind:
            group = [item for item in changes.changes if item.kind is kind and item.regression is worse]
            if group:
                lines += ["", *_group(kind, group, worse, shown)]
    return "\n".join([*lines, "", headline(changes)]) + "\n"


def headline(changes: Changes) -> str:
    """Say in one line whether anything is worse."""
    counts = ", ".join(f"{count} {kind.value}" for kind, count in changes.counts.items())
    worse = len(changes.regressions)
    head = f"{worse} regression{'' if worse == 1 else 's'}" if worse else "nothing is worse"
    if not worse and changes.broken:
        head = "nothing measured is worse, but not everything could be measured"
    return f"{head}: {counts}" if counts else "no difference"


def changes_json(changes: Changes) -> str:
    """Write a comparison as one JSON document."""
    data = {
        "schema": 1,
        "before": changes.before,
        "after": changes.after,
        "compared": changes.compared,
        "kernels": [list(pair) for pair in changes.kernels],
        "notes": list(changes.notes),
        "regressions": len(changes.regressions),
        "broken": changes.broken,
        "changes": [asdict(change) | {"id": change.id} for change in changes.changes],
    }
    return json.dumps(data, indent=1) + "\n"


def change_line(change: Change) -> str:
    """Write one difference as one line."""
    name = (
        change.id
        if not change.kernel_before
        else f"{change.case or 'kernel'} ({change.kernel_before} → {change.kernel})"
    )
    if change.kind is ChangeKind.CASE_NEW and change.before == "–":
        return one_line(f"{name}: {change.after}", _WIDTH)
    return one_line(f"{name}: {change.before} → {change.after}", _WIDTH)


def _group(kind: ChangeKind, group: list[Change], worse: bool, shown: int) -> Iterator[str]:
    yield f"{kind.value}{' (regression)' if worse else ''}: {len(group)}"
    for change in group[:shown]:
        yield f"  {change_line(change)}"
        if change.reasons:
            yield f"      {one_line('; '.join(map(str, change.reasons)), _WIDTH)}"
    if len(group) > shown:
        yield f"  … and {len(group) - shown} more (--all shows them)"


def _kernels(changes: Changes) -> str:
    names = [old if old == new else f"{old} → {new}" for old, new in changes.kernels]
    return f" on {', '.join(names)}" if names else ""
