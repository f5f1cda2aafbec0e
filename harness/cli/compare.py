"""`bpfmatrix compare`: what differs between two runs, or between a run and the baseline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from harness.catalog.schemacheck import suggest
from harness.cli.common import takes_thresholds
from harness.errors import UserError
from harness.keyword import compile_keyword
from harness.paths import project_root
from harness.record.baseline import FOLDER, read_baseline
from harness.record.changes import Thresholds
from harness.record.compare import compare_runs
from harness.record.runfile import read
from harness.record.snapshot import Snapshot, selected, snapshot
from harness.report.changes import changes_json, changes_text

_EPILOG = """\b
Examples:
  bpfmatrix compare before/run.json reports/run.json
  bpfmatrix compare baseline reports/run.json -k ringbuf
  bpfmatrix compare reports/run.json reports/run.json --as 6.1=6.12    what do I gain moving to 6.12?
  bpfmatrix compare old.json new.json --insns 5 100 --json

\b
Exit status: 0 nothing is worse, 1 something is, 2 usage or input, 3 something could not be had or started.
"""


@click.command(epilog=_EPILOG)
@click.argument("files", nargs=2, metavar="A.json B.json")
@click.option(
    "--as",
    "pairs",
    multiple=True,
    metavar="K=K",
    help="Compare kernel K of A with another of B, and no others; repeatable. A lone K is K=K.",
)
@click.option(
    "-k", "keyword", default="", metavar="EXPR", help="Only cases whose id this matches, as in pytest."
)
@takes_thresholds
@click.option("--all", "everything", is_flag=True, help="Show every difference, however many there are.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def compare(
    *,
    files: tuple[str, str],
    pairs: tuple[str, ...],
    keyword: str,
    thresholds: Thresholds,
    everything: bool,
    as_json: bool,
) -> int:
    """Say what is different in B.json, what of it is worse, and what else changed around it.

    A.json and B.json are run files, of any kernels and compilers; the word `baseline` in the place of one
    means the committed baseline. Kernels of one name are compared, or the only one of each side.
    """
    matches = compile_keyword(keyword)
    old, new = (selected(side, lambda case: matches((case,))) for side in _sides(*files))
    if keyword and not (old.cases or new.cases):
        raise UserError(f"no case on either side matches -k {keyword!r}")
    changes = compare_runs(old, new, thresholds, kernels=_pairs(pairs, old, new) if pairs else None)
    if not changes.kernels and not changes.compared:
        names = f"{', '.join(old.kernels) or 'none'} and {', '.join(new.kernels) or 'none'}"
        raise UserError(f"no kernel is on both sides ({names})", hint="pair them: --as 6.1=6.12")
    if as_json:
        click.echo(changes_json(changes), nl=False)
    else:
        shown = len(changes.changes) if everything else 40
        click.echo(changes_text(changes, shown), nl=False)
    return changes.exit_status


def _sides(before: str, after: str) -> tuple[Snapshot, Snapshot]:
    """Read both; of a baseline only the kernels the other side has, where it has any."""
    if before == after == "baseline":
        raise UserError(
            "the baseline is not compared with itself", hint="bpfmatrix compare baseline RUN.json"
        )
    runs = {name: snapshot(read(Path(name)), name) for name in {before, after} - {"baseline"}}
    folder = project_root() / FOLDER
    if "baseline" in (before, after):
        runs["baseline"] = read_baseline(folder)
    return runs[before], runs[after]


def _pairs(texts: tuple[str, ...], old: Snapshot, new: Snapshot) -> Mapping[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        left, _, right = text.partition("=")
        for name, side in ((left, old), (right or left, new)):
            if name not in side.kernels:
                known = suggest(name, side.kernels, "kernels in it")
                raise UserError(f"--as {text}: {side.label} has no kernel {name!r}; {known}")
        pairs[left] = right or left
    return pairs
