"""`bpfmatrix run`: the main job without pytest."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from harness import pipeline
from harness.build.toolchain import find_compilers
from harness.catalog.kernels import KernelSpec
from harness.catalog.programs import load_programs
from harness.cli.common import COMMAND, exit_status, takes_choice
from harness.errors import UserError
from harness.keyword import Matcher, compile_keyword
from harness.model import HOST, Case, Program, ProgramKind, Run
from harness.options import Choice, obtain, usable_folder, wanted_kernels
from harness.paths import project_root
from harness.plan import RunOptions
from harness.progress import RunProgress
from harness.report import terminal, write_all
from harness.summary import described, next_command, summary

_EPILOG = """\b
Examples:
  bpfmatrix run
  bpfmatrix run --kernel 5.10 --kernel 6.12 -k 'ringbuf and not raw'
  bpfmatrix run --programs programs/maps --clang clang-14 --clang clang-19
  bpfmatrix run --programs build/mine.bpf.o --kernel all --out /tmp/mine
  bpfmatrix run --kernel all --missing-kernel skip
  bpfmatrix run --kernel 6.12 --repeat 3

\b
Exit status: 0 as expected, 1 verdicts differ, 2 usage or input, 3 a guest, a download or a disk failed.
"""


@click.command(epilog=_EPILOG)
@takes_choice("kernel", "kernel_image", "missing_kernel", "clang", "accel", "fresh_guest", "out")
@click.option(
    "--programs",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A folder, a .bpf.c.j2, a .bpf.c or a compiled .bpf.o; repeatable. Default: programs/.",
)
@click.option(
    "-k", "keyword", default="", metavar="EXPR", help="Only cases this expression matches, as in pytest."
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=None,
    metavar="N",
    help="Guests that run at the same time, of one kernel, too, where there are fewer. Default: one per CPU.",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(0.1, 3600),
    default=None,
    metavar="S",
    help="Seconds a case may take, instead of what its manifest says.",
)
@click.option(
    "--repeat",
    type=click.IntRange(1, 100),
    default=1,
    metavar="N",
    help="Run everything N times, each time in fresh guests; a case that answers differently is flaky.",
)
def run(
    *,
    choice: Choice,
    programs: tuple[Path, ...],
    keyword: str,
    jobs: int | None,
    time_limit: float | None,
    repeat: int,
) -> int:
    """Load every program variant in every kernel and write the matrix.

    Each case is loaded in a guest of its kernel; what the kernel answers is compared with what the manifest
    expects. Writes matrix.md, matrix.html and run.json to --out and prints the matrix.
    """
    matches = compile_keyword(keyword)
    specs = wanted_kernels(choice)
    sources = load_programs(programs or (project_root() / "programs",))
    all_compiled = all(program.kind is ProgramKind.OBJECT for program in sources)
    compilers = () if all_compiled and not choice.clang else find_compilers(choice.clang)
    _refuse_empty(specs, sources, matches, keyword)
    out = usable_folder(choice.out)
    with RunProgress() as progress:
        got = obtain(specs, choice.missing_kernel, progress.fetch_report)
        options = RunOptions(
            kernels=got.kernels,
            programs=sources,
            compilers=compilers,
            missing=got.missing,
            keep=lambda case: matches(_names(case)),
            guest=choice.guest,
            jobs=jobs or os.cpu_count() or 1,
            time_limit_s=time_limit,
            repeat=repeat,
        )
        result = pipeline.run(options, progress)
    command = click.get_current_context().meta.get(COMMAND, ())
    return _finish(described(result, sources, command), out, keyword)


def _names(case: Case) -> tuple[str, ...]:
    """Return what `-k` looks at, the same words as in pytest."""
    return (case.id, case.program.pitfall, case.program.path.name)


def _refuse_empty(
    specs: Sequence[KernelSpec], programs: Sequence[Program], matches: Matcher, keyword: str
) -> None:
    """Say that nothing matches before anything is fetched or booted, where that can be told already."""
    if any(not program.variants for program in programs):
        return  # its cases are known once it is built
    cases = (
        Case(p, variant, name)
        for p in programs
        for name in ((HOST,) if p.host else tuple(spec.name for spec in specs))
        for variant in p.variants
    )
    if not any(matches(_names(case)) for case in cases):
        raise _nothing(keyword)


def _nothing(keyword: str) -> UserError:
    what = f"no case matches -k {keyword!r}" if keyword else "there is nothing to run"
    return UserError(what, hint="see the ids there are: pytest --collect-only -q")


def _finish(result: Run, out: Path, keyword: str) -> int:
    if not result.cases and not result.partial:
        raise _nothing(keyword)
    files = write_all(result, out)
    width = shutil.get_terminal_size((110, 40)).columns if sys.stdout.isatty() else 110
    color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    click.echo(terminal(result, width, color=color).rstrip(), color=color)
    click.echo("")
    for line in summary(result):
        click.echo(line)
    for file in files:
        click.echo(f"written: {file}")
    following = next_command(result)
    if following:
        click.echo(f"next: {following}")
    return exit_status(result)
