"""`bpfmatrix report`: a saved run in another form."""

from __future__ import annotations

from pathlib import Path

import click

from harness.record.atomic import replacing
from harness.record.runfile import read
from harness.report import FORMATS, render

_EPILOG = """\b
Examples:
  bpfmatrix report reports/run.json --format markdown
  bpfmatrix report reports/run.json --format html -o matrix.html
"""


@click.command(epilog=_EPILOG)
@click.argument("run_file", metavar="RUN.json", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="markdown",
    show_default=True,
    help="What to write.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Default: print it.",
)
def report(*, run_file: Path, form: str, output: Path | None) -> int:
    """Write the matrix of RUN.json, a run file of today or of an older version."""
    text = render(read(run_file), form)
    if output is None:
        click.echo(text, nl=not text.endswith("\n"))
    else:
        with replacing(output) as file:
            file.write(text)
        click.echo(f"written: {output}", err=True)
    return 0
