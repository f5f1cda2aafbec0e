#!/usr/bin/env python3
"""Write into the documented helpers which program types no source lists and kernels have: no arguments.

`program_types_measured` of data/documented/helper.jsonl is made anew of the package's measured files. Run it
with `.venv/bin/python` after measuring, and look at what `git diff` shows: a type that is new there is a gap
of the sources, or of the probe.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from harness.features.ask import predict, series_of
from harness.features.documented import FOLDER, Documented, documented
from harness.features.measured import MeasuredKernel, measured_kernels
from harness.features.types import FeatureKind, Support

_KEY = "program_types_measured"


@click.command()
def main() -> None:
    """Rewrite the file."""
    path = FOLDER / "helper.jsonl"
    kernels = measured_kernels()
    lines = path.read_text(encoding="utf-8").splitlines()
    records = {
        record.name: record for (kind, _), record in documented().items() if kind is FeatureKind.HELPER
    }
    new = [json.dumps(_with_types(json.loads(line), records, kernels), ensure_ascii=False) for line in lines]
    path.write_text("\n".join(new) + "\n", encoding="utf-8")
    changed = sum(one != other for one, other in zip(lines, new, strict=True))
    click.echo(f"{path}: {changed} records changed")


def _with_types(
    data: dict[str, Any], records: dict[str, Documented], kernels: Sequence[MeasuredKernel]
) -> dict[str, Any]:
    found = _types(records[data["name"]], kernels)
    kept = {key: value for key, value in data.items() if key != _KEY}
    return kept | ({_KEY: dict(sorted(found.items()))} if found else {})


def _types(record: Documented, kernels: Sequence[MeasuredKernel]) -> dict[str, str]:
    """Types no source lists, with the oldest measured series (as `6.12`) that has them."""
    found: dict[str, str] = {}
    for kernel in kernels:
        feature = kernel.feature(record.kind, record.name)
        major, minor = series_of(kernel)
        if feature is None or predict(record, (major, minor), {}).support is not Support.YES:
            continue  # a backport, which another explanation is about
        for name in feature.program_types(Support.YES):
            if name not in record.program_types and name not in record.program_types_disputed:
                found.setdefault(name, f"{major}.{minor}")
    return found


if __name__ == "__main__":
    main()
