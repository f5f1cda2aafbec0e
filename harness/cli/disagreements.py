"""`bpfmatrix disagreements`: what documents say of kernels and kernels do not bear out."""

from __future__ import annotations

from pathlib import Path

import click

from harness.features.datacheck import check_documented, check_lines
from harness.features.disagreements import FILE, disagreements, explanations, unexplained, unused
from harness.features.documented import documented
from harness.features.measured import measured_kernels
from harness.record.atomic import replacing
from harness.report.disagreements import render, summary

_UNEXPLAINED = 1  # exit status


@click.command("disagreements", epilog="Exit status: 0 all are explained, 1 there is news, 2 broken data.")
@click.option("--write", type=click.Path(path_type=Path, dir_okay=False), help="Write the document here.")
def disagreements_command(*, write: Path | None) -> int:
    """List where the documented version and a measured answer contradict each other.

    Every contradiction needs an explanation in harness/features/data/explanations.jsonl: a backport, a
    configuration, documents that are wrong. One without is printed and makes the exit status 1, which the
    nightly run fails on.
    """
    check_documented()
    check_lines(FILE, "explanations")
    records, kernels, known = documented(), measured_kernels(), explanations()
    found = disagreements(records, kernels)
    if write is not None:
        with replacing(write) as file:
            file.write(render(records, kernels, found, known))
    loose = unexplained(found, known)
    click.echo(summary(found, loose), nl=False)
    for stale in unused(found, known):
        click.echo(f"explains nothing any more: {stale.kind} {', '.join(stale.names)}: {stale.why}")
    return _UNEXPLAINED if loose else 0
