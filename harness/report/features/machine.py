"""The feature tables for other programs: CSV with a line per feature and kernel, and JSON."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from harness.features.types import Support
from harness.report.features.tables import Cell, Row, Tables
from harness.report.features.words import why
from harness.report.tables import spreadsheet_text

SCHEMA = 1
COLUMNS = (
    "kind",
    "name",
    "since",
    "commit",
    "kernel",
    "version",
    "release",
    "support",
    "flag",
    "having",
    "lacking",
    "unknown",
    "evidence",
)


def render_csv(tables: Tables) -> str:
    """Return RFC 4180 text, header first: every answer of every kernel, program types joined by blanks."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in tables.rows:
        for cell in row.cells:
            if cell.findings:
                writer.writerow([spreadsheet_text(value) for value in _values(row, cell)])
    return out.getvalue()


def _values(row: Row, cell: Cell) -> list[str | int | None]:
    record = row.record
    return [
        row.feature.kind.value,
        row.feature.name,
        record.since if record else None,
        record.commit if record else None,
        cell.kernel.kernel,
        str(cell.kernel.version),
        cell.kernel.release,
        str(cell.support),
        cell.flag.value if cell.flag else None,
        *(" ".join(cell.types(support)) for support in (Support.YES, Support.NO, Support.UNKNOWN)),
        "; ".join(f"{finding.method}: {finding.evidence}" for finding, _ in cell.findings),
    ]


def render_json(tables: Tables) -> str:
    """Return `{"schema": 1, "kernels": […], "features": […]}`; a kernel that was not asked has no entry."""
    data = {
        "schema": SCHEMA,
        "kernels": [
            {
                "kernel": kernel.kernel,
                "version": str(kernel.version),
                "release": kernel.release,
                "package": kernel.package,
                "package_version": kernel.package_version,
                "sha256": kernel.sha256,
                "config_sha256": kernel.config_sha256,
                "date": kernel.date,
                "environment": dict(kernel.environment),
            }
            for kernel in tables.kernels
        ],
        "features": [
            _feature(row) for section in tables.sections for row in (*section.rows, *section.documented)
        ],
    }
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"


def _feature(row: Row) -> dict[str, Any]:
    record = row.record
    return {
        "kind": row.feature.kind.value,
        "name": row.feature.name,
        "since": record.since if record else None,
        "commit": record.commit if record else None,
        "first_measured": row.first.kernel if row.first else None,
        "measured": {cell.kernel.kernel: _answer(cell) for cell in row.cells if cell.findings},
    }


def _answer(cell: Cell) -> dict[str, Any]:
    return {
        "support": cell.support,
        "flag": cell.flag,
        "contradictions": [why(each) for each in cell.contradictions],
        "findings": [
            {"support": f.support, "method": f.method, "evidence": f.evidence, "program_types": list(types)}
            for f, types in cell.findings
        ],
    }
