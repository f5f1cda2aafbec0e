"""`bpfmatrix report`: a saved run, or what is known of features, in another form."""

from __future__ import annotations

from pathlib import Path

import click

from harness.errors import UserError
from harness.record.atomic import replacing
from harness.record.runfile import read
from harness.report import FORMATS, render
from harness.report import features as tables

_EPILOG = """\b
Examples:
  bpfmatrix report reports/run.json --format markdown
  bpfmatrix report reports/run.json --format html -o matrix.html
  bpfmatrix report --features --out reports         features.md and features.html
  bpfmatrix report --features --format csv -o features.csv
"""


@click.command(epilog=_EPILOG)
@click.argument("run_file", metavar="RUN.json", required=False, type=click.Path(path_type=Path))
@click.option(
    "--features",
    "of_features",
    is_flag=True,
    help="Instead of a run: the tables of features, documented and measured (docs/features.md).",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(tuple(dict.fromkeys((*FORMATS, *tables.FORMATS)))),
    default="markdown",
    show_default=True,
    help=f"What to write. With --features: {', '.join(tables.FORMATS)}.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Default: print it.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="With --features: write features.md and features.html there.",
)
def report(
    *, run_file: Path | None, of_features: bool, form: str, output: Path | None, out: Path | None
) -> int:
    """Write the matrix of RUN.json, a run file of today or of an older version; or the tables of features.

    The tables are made of what the package knows of kernels and of the files in $BPFMATRIX_MEASURED;
    `bpfmatrix features` measures.
    """
    if of_features == (run_file is not None):
        raise UserError("name a run file or --features", hint="bpfmatrix report reports/run.json")
    if out is not None:
        return _both(out, of_features=of_features, output=output)
    text = tables.render(tables.known(), form) if run_file is None else render(read(run_file), form)
    if output is None:
        click.echo(text, nl=not text.endswith("\n"))
    else:
        with replacing(output) as file:
            file.write(text)
        click.echo(f"written: {output}", err=True)
    return 0


def _both(out: Path, *, of_features: bool, output: Path | None) -> int:
    """Write the two forms people read."""
    if not of_features or output is not None:
        raise UserError("--out goes with --features and without -o", hint="one file: -o FILE")
    for path in tables.write_all(tables.known(), out):
        click.echo(f"written: {path}", err=True)
    return 0
