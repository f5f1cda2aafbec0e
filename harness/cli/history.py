"""`bpfmatrix history`: what a case gave over time."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from harness.catalog.schemacheck import suggest
from harness.errors import UserError
from harness.paths import project_root
from harness.record.history import FILE, append, case_names, recorded
from harness.record.runfile import read
from harness.report.historytable import history_text, write_plot

_EPILOG = """\b
Examples:
  bpfmatrix history 'programs/maps/ringbuf_size[1024-raw]'
  bpfmatrix history 'programs/limits/insn_count[4095]@6.12' --plot insns.png
  bpfmatrix history --record reports/run.json
"""


@click.command(epilog=_EPILOG)
@click.argument("case", required=False)
@click.option("--kernel", "kernels", multiple=True, metavar="K", help="Only this kernel; repeatable.")
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.png", help="Draw it as well."
)
@click.option(
    "--file",
    "database",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The history. Default: reports/history.sqlite.",
)
@click.option(
    "--record",
    "run_file",
    type=click.Path(path_type=Path),
    metavar="RUN.json",
    help="Record this run first, as `bpfmatrix nightly` does with its own.",
)
def history(
    *,
    case: str | None,
    kernels: tuple[str, ...],
    plot: Path | None,
    database: Path | None,
    run_file: Path | None,
) -> int:
    """Print the verdicts and instruction counts of CASE over the recorded runs, as a table with bars.

    CASE is an id as in the matrix, with or without the kernel.
    """
    path = database or project_root() / FILE
    if run_file is not None:
        new = append(path, read(run_file))
        click.echo(f"{'recorded' if new else 'recorded before'}: {run_file}", err=True)
    if case is None:
        if run_file is None:
            raise UserError("which case?", hint="bpfmatrix history 'programs/maps/ringbuf_size[1024-raw]'")
        return 0
    plain, _, kernel = case.rpartition("@") if "@" in case.rpartition("]")[2] else (case, "", "")
    entries = recorded(path, plain, (*kernels, kernel) if kernel else kernels)
    if not entries:
        raise _unknown(path, plain, case)
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size((110, 40)).columns if terminal else 130
    color = terminal and not os.environ.get("NO_COLOR")
    click.echo(history_text(plain, entries, width, color=color), nl=False, color=color)
    if plot is not None:
        write_plot(plain, entries, plot)
        click.echo(f"written: {plot}", err=True)
    return 0


def _unknown(path: Path, plain: str, case: str) -> UserError:
    names = case_names(path)
    if plain in names:
        return UserError(f"nothing is recorded of {case!r} on the kernels asked for")
    return UserError(f"nothing is recorded of {plain!r}; {suggest(plain, names, 'such as')[:300]}")
