"""`bpfmatrix report`: a saved run, or what is known of features, in another form."""

from __future__ import annotations

from pathlib import Path

import click

from harness.errors import UserError
from harness.paths import project_root
from harness.record.atomic import replacing
from harness.record.baseline import FOLDER, read_baseline
from harness.record.compare import compare_runs
from harness.record.history import FILE, latest
from harness.record.runfile import read
from harness.record.snapshot import Snapshot, snapshot
from harness.report import FORMATS, Beside, page, render
from harness.report import features as tables
from harness.report.htmlhistory import NIGHTS

_EPILOG = """\b
Examples:
  bpfmatrix report reports/run.json --format markdown
  bpfmatrix report reports/run.json --format html -o matrix.html
  bpfmatrix report new.json --format html --before old.json -o matrix.html
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
@click.option(
    "--before",
    metavar="OLD.json",
    help="With --format html: show what is different since that run, or since the committed `baseline`.",
)
@click.option(
    "--history",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help=f"With --format html: show the last {NIGHTS} nights of each case ({FILE}).",
)
def report(
    *,
    run_file: Path | None,
    of_features: bool,
    form: str,
    output: Path | None,
    out: Path | None,
    before: str | None,
    history: Path | None,
) -> int:
    """Write the matrix of RUN.json, a run file of today or of an older version; or the tables of features.

    The tables are made of what the package knows of kernels and of the files in $BPFMATRIX_MEASURED;
    `bpfmatrix features` measures.
    """
    if of_features == (run_file is not None):
        raise UserError("name a run file or --features", hint="bpfmatrix report reports/run.json")
    if out is not None:
        return _both(out, of_features=of_features, output=output)
    if (before or history) and (form != "html" or of_features):
        raise UserError("--before and --history go with a run and --format html")
    text = (
        tables.render(tables.known(), form) if run_file is None else _of_run(run_file, form, before, history)
    )
    if output is None:
        click.echo(text, nl=not text.endswith("\n"))
    else:
        with replacing(output) as file:
            file.write(text)
        click.echo(f"written: {output}", err=True)
    return 0


def _of_run(path: Path, form: str, before: str | None, history: Path | None) -> str:
    run = read(path)
    if not (before or history):
        return render(run, form)
    changes = (compare_runs(_older(before), run),) if before else ()
    return page(run, Beside(changes, latest(history, NIGHTS) if history else {}))


def _older(before: str) -> Snapshot:
    return (
        read_baseline(project_root() / FOLDER)
        if before == "baseline"
        else snapshot(read(Path(before)), before)
    )


def _both(out: Path, *, of_features: bool, output: Path | None) -> int:
    """Write the two forms people read."""
    if not of_features or output is not None:
        raise UserError("--out goes with --features and without -o", hint="one file: -o FILE")
    for path in tables.write_all(tables.known(), out):
        click.echo(f"written: {path}", err=True)
    return 0
