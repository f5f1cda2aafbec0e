"""`bpfmatrix baseline`: moving what every case is known to give."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from harness.catalog.programs import load_programs
from harness.catalog.schemacheck import suggest
from harness.errors import UserError
from harness.keyword import compile_keyword
from harness.model import HOST, Run
from harness.paths import project_root
from harness.record.baseline import FOLDER, Move, plan_update, write_update
from harness.record.runfile import read
from harness.verdict.text import visible

_EPILOG = """\b
Examples:
  bpfmatrix baseline update
  bpfmatrix baseline update --kernel 6.12 -k ringbuf_size
  bpfmatrix baseline update --run reports/nightly/2026-01-31/run.json
  bpfmatrix baseline update --dry-run

\b
Exit status: 0, or 2 for input that cannot be used.
"""


@click.group()
def baseline() -> None:
    """Move the committed baseline that nightly runs and `pytest --baseline` compare with."""


@baseline.command(epilog=_EPILOG)
@click.option(
    "--kernel", "kernels", multiple=True, metavar="K", help="Only this kernel, or `host`; repeatable."
)
@click.option("-k", "keyword", default="", metavar="EXPR", help="Only cases this matches, as in pytest.")
@click.option(
    "--run",
    "run_file",
    type=click.Path(path_type=Path),
    metavar="RUN.json",
    help="The run to move it to. Default: reports/run.json.",
)
@click.option("--dry-run", is_flag=True, help="Print the diff and write nothing.")
def update(*, kernels: tuple[str, ...], keyword: str, run_file: Path | None, dry_run: bool) -> int:
    """Move the baseline to a run, and print the diff that is written.

    Cases the run has no one answer for (not run, flaky, not in it) stay as they are; those the catalogue no
    longer has go. Nothing else ever writes to reports/baseline/.
    """
    root = project_root()
    run = read(run_file or root / "reports" / "run.json")
    matches = compile_keyword(keyword)
    _check_kernels(kernels, run)
    names = {case.id: (case.id, case.pitfall, Path(case.program).name) for case in run.cases}
    catalogue = frozenset(
        f"{program.name}[{variant.name}]"
        for program in load_programs((root / "programs",))
        for variant in program.variants
    )
    moves = plan_update(
        root / FOLDER, run, lambda case: matches(names.get(case, (case,))), catalogue, kernels or None
    )
    if keyword and not any(matches(words) for words in names.values()):
        raise UserError(f"no case of the run matches -k {keyword!r}")
    if not dry_run:
        write_update(moves)  # first: whoever reads the diff may stop before its end
    for move in moves:
        _show(move)
    changed = [str(move.path) for move in moves if move.new != move.old]
    word = "would change" if dry_run else "written"
    click.echo(f"{word}: {', '.join(changed)}" if changed else "the baseline is as this run already")
    return 0


def _check_kernels(kernels: tuple[str, ...], run: Run) -> None:
    known = list(dict.fromkeys(case.kernel for case in run.cases))
    for name in kernels:
        if name not in known:
            hint = f"bpfmatrix run --kernel {name}" if name != HOST else None
            raise UserError(f"the run has no kernel {name!r}; {suggest(name, known, 'in it')}", hint=hint)


def _show(move: Move) -> None:
    color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for line in move.diff().splitlines():
        paint = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1]) if color else None
        click.secho(visible(line), fg=paint)
    for words, cases in (("no answer in this run", move.kept), ("flaky in this run", move.flaky)):
        if cases:
            more = f" and {len(cases) - 5} more" if len(cases) > 5 else ""
            click.echo(f"{move.kernel}: as before, {words}: {', '.join(cases[:5])}{more}", err=True)
