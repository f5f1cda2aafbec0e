"""What `bpfmatrix check NAME` says, for people and as JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tabulate import tabulate

from harness.features.ask import Answer
from harness.features.documented import Documented
from harness.features.inquiry import Inquiry, Row
from harness.features.names import Feature
from harness.features.types import Finding, Support
from harness.verdict.text import one_line

SCHEMA = 1
_EVIDENCE = 72  # characters in a table's cell


def render(inquiries: Sequence[Inquiry]) -> str:
    """The answers in words; one feature after another."""
    return "\n".join(_feature(inquiry) for inquiry in inquiries)


def to_json(inquiries: Sequence[Inquiry]) -> str:
    """The same for machines; `docs/check.md` describes it."""
    data = {"schema": SCHEMA, "features": [_data(inquiry) for inquiry in inquiries]}
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"


def host_json(found: Sequence[tuple[Feature, Finding]], program_type: str | None, release: str) -> str:
    """What the running kernel answered, for machines."""
    features = [
        {
            "name": feature.name,
            "kind": str(feature.kind),
            "program_type": program_type,
            "support": str(finding.support),
            "method": str(finding.method),
            "evidence": finding.evidence,
        }
        for feature, finding in found
    ]
    data = {"schema": SCHEMA, "release": release, "features": features}
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"


def _feature(inquiry: Inquiry) -> str:
    called = f", called by {inquiry.program_type} programs" if inquiry.program_type else ""
    lines = [f"{inquiry.feature}{called}"]
    for row in inquiry.asked:
        lines += _answer_lines(row)
    lines.append(f"  documented: {_documented(inquiry.record)}")
    lines += _measured_lines(inquiry)
    if inquiry.alternative and (not inquiry.asked or inquiry.support is Support.NO):
        label = "instead" if inquiry.asked else "where it is missing"
        lines.append(f"  {label}: {inquiry.alternative.text} ({inquiry.alternative.source})")
    return "\n".join(lines) + "\n"


def _answer_lines(row: Row) -> list[str]:
    answer = row.answer
    lines = [f"  {answer.title}: {answer.support} — {one_line(answer.reason, 400)}"]
    return lines + [f"    {text}" for text in _contradiction(row)]


def _contradiction(row: Row) -> list[str]:
    if not row.answer.contradiction:
        return []
    if row.explanation is None:
        return [f"contradiction: {row.answer.contradiction}; nobody has explained it yet"]
    return [f"{row.answer.contradiction}: {row.explanation.reason}, {row.explanation.why}"]


def _documented(record: Documented | None) -> str:
    if record is None:
        return "nothing; only measured"
    words = f"since {record.since}"
    if record.commit:
        words += f", commit {record.commit[:12]}"
    words += f" ({record.source}"
    if record.disagreement:
        words += "; " + ", ".join(f"{who} says {what}" for who, what in record.disagreement.items())
    words += ")"
    if record.removed:
        words += f", removed in {record.removed}"
    return f"{words}; {record.note}" if record.note else words


def _measured_lines(inquiry: Inquiry) -> list[str]:
    if not inquiry.measured:
        return ["  measured: nothing; bpfmatrix features asks the kernels"]
    if inquiry.asked:
        return [f"  measured: {_summary(inquiry.measured)}"]
    first = inquiry.first_measured
    lines = [f"  first measured to have it: {f'{first.kernel} ({first.release})' if first else 'none'}"]
    rows = [
        [row.answer.title, _cell(row.answer), _types(row), one_line(_evidence(row.answer), _EVIDENCE)]
        for row in inquiry.measured
    ]
    by_type = any(row.having or row.lacking for row in inquiry.measured) and not inquiry.program_type
    headers = ["kernel", "has it", "program types", "evidence"]
    if not by_type:
        headers.pop(2)
        rows = [[*row[:2], row[3]] for row in rows]
    table = tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True)
    lines += [f"    {line}" for line in table.splitlines()]
    return lines + [
        f"  {row.answer.title}: {text}" for row in inquiry.measured for text in _contradiction(row)
    ]


def _summary(rows: Sequence[Row]) -> str:
    """`absent on 5.10; present on 6.1, 6.12`, by names of entries."""
    groups: dict[str, list[str]] = {"absent": [], "present": [], "not decided": []}
    words = {Support.YES: "present", Support.NO: "absent"}
    for row in rows:
        finding = row.answer.finding
        key = words.get(finding.support, "not decided") if finding else "not decided"
        groups[key].append(row.answer.measured.kernel if row.answer.measured else row.answer.title)
    return "; ".join(f"{word} on {', '.join(names)}" for word, names in groups.items() if names)


def _cell(answer: Answer) -> str:
    return str(answer.finding.support) if answer.finding else "not asked"


def _evidence(answer: Answer) -> str:
    return f"{answer.finding.method}: {answer.finding.evidence}" if answer.finding else ""


def _types(row: Row) -> str:
    """Program types in few words: the shorter list of those that have it and those that do not."""
    if not row.having and not row.lacking:
        return ""
    if not row.having or not row.lacking:
        return f"all {len(row.having)}" if row.having else "none"
    if len(row.lacking) < len(row.having):
        return f"{len(row.having)}, not {_few(row.lacking)}"
    return f"{len(row.having)}: {_few(row.having)}"


def _few(names: Sequence[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _data(inquiry: Inquiry) -> dict[str, object]:
    record = inquiry.record
    return {
        "name": inquiry.feature.name,
        "kind": str(inquiry.feature.kind),
        "program_type": inquiry.program_type,
        "support": str(inquiry.support),
        "documented": record and {
            "since": record.since,
            "commit": record.commit,
            "source": record.source,
            "disagreement": dict(record.disagreement),
            "removed": record.removed,
            "note": record.note,
        },
        "answers": [_row_data(row) for row in inquiry.asked],
        "measured": [_row_data(row) for row in inquiry.measured],
        "alternative": inquiry.alternative and {
            "text": inquiry.alternative.text,
            "needs": [{"kind": str(need.kind), "name": need.name} for need in inquiry.alternative.needs],
            "source": inquiry.alternative.source,
        },
    }  # fmt: skip


def _row_data(row: Row) -> dict[str, object]:
    answer = row.answer
    return {
        "kernel": answer.kernel if answer.kernel != "all" or not answer.measured else answer.measured.kernel,
        "title": answer.title,
        "release": answer.measured.release if answer.measured else None,
        "support": str(answer.support),
        "basis": str(answer.basis),
        "reason": answer.reason,
        "method": str(answer.finding.method) if answer.finding else None,
        "evidence": answer.finding.evidence if answer.finding else None,
        "documented": str(answer.predicted),
        "contradiction": answer.contradiction or None,
        "explanation": row.explanation
        and {"reason": str(row.explanation.reason), "why": row.explanation.why},
        "program_types": {"yes": list(row.having), "no": list(row.lacking)},
    }
