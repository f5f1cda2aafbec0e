"""`bpfmatrix nightly`: what changed since yesterday, on which kernel, and is it our fault."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from harness.build.toolchain import find_compilers
from harness.catalog.kernels import load_kernels
from harness.catalog.programs import load_programs
from harness.cli.common import COMMAND, INTERRUPTED, takes_choice, takes_thresholds
from harness.kernels.store import KernelStore
from harness.keyword import compile_keyword
from harness.model import Case, Program
from harness.nightly import changesfile
from harness.nightly.night import Ended, Material, make_night
from harness.nightly.notify import append_summary, command_words, notify
from harness.nightly.publish import CHANGES, INDEX
from harness.nightly.types import Night, Places, Selection, Wishes
from harness.options import Choice, usable_folder, wanted_kernels
from harness.paths import project_root
from harness.progress import RunProgress
from harness.record.changes import Thresholds
from harness.schedule import GUEST_MIB, auto_jobs

_OVERHEAD_MIB = 92  # QEMU beside its guest's memory
_EPILOG = """\b
Examples:
  bpfmatrix nightly
  bpfmatrix nightly --kernel all --programs build/mine.bpf.o --notify-command ./tell-the-team
  bpfmatrix nightly --kernel 6.12 -k ringbuf --no-refresh

\b
Exit status: 0 nothing worse, 1 something is worse than the baseline or the night before, 2 usage or input,
3 something could not be had, started or read, and what was measured is not worse.
"""


def _jobs(_context: click.Context, _option: click.Parameter, value: str) -> int | None:
    """Read a number of guests; None for `auto`."""
    if value == "auto":
        return None
    if value.isascii() and value.isdigit() and 1 <= int(value) <= 64:
        return int(value)
    raise click.BadParameter(f"{value!r} is neither a number from 1 to 64 nor 'auto'")


@click.command(epilog=_EPILOG)
@takes_choice("kernel", "kernel_image", "clang", "accel", "out")
@click.option(
    "--programs",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Beside the catalogue: a folder, a .bpf.c.j2, a .bpf.c or a compiled .bpf.o; repeatable.",
)
@click.option(
    "-k", "keyword", default="", metavar="EXPR", help="Only cases this expression matches, as in pytest."
)
@click.option(
    "--jobs",
    callback=_jobs,
    default="auto",
    show_default=True,
    metavar="N|auto",
    help="Guests that run at the same time; auto: as many as processors and free memory allow.",
)
@click.option(
    "--refresh/--no-refresh",
    default=True,
    show_default=True,
    help="Ask the kernels' sources for newer point releases first.",
)
@click.option(
    "--features/--no-features",
    default=True,
    show_default=True,
    help="Ask every kernel for its features, too; a contradiction with the documents is worse. Not with -k.",
)
@click.option(
    "--baseline",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="The committed baseline. Default: baseline/ in --out.",
)
@takes_thresholds
@click.option(
    "--keep",
    type=click.IntRange(1),
    metavar="NIGHTS",
    help="Remove the folders of all but the latest NIGHTS of each selection; the history keeps their answers."
    " Default: keep all.",
)
@click.option(
    "--notify-command",
    metavar="COMMAND",
    help="Run this with the night's changes.md as last argument when something is worse.",
)
@click.option(
    "--step-summary",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="GITHUB_STEP_SUMMARY",
    metavar="FILE",
    help="Append changes.md to this file. Default: the variable GITHUB_STEP_SUMMARY, where CI sets it.",
)
def nightly(
    *,
    choice: Choice,
    programs: tuple[Path, ...],
    keyword: str,
    thresholds: Thresholds,
    notify_command: str | None,
    step_summary: Path | None,
    **how: Any,
) -> int:
    """Run everything on every kernel, and say what is different from the baseline and from the night before.

    Writes OUT/nightly/DATE/ and OUT/nightly/index.html, and appends to OUT/history.sqlite.
    """
    told = command_words(notify_command) if notify_command is not None else None
    out = usable_folder(choice.out)
    material = _material(choice, programs, keyword)
    wishes = Wishes(
        places=Places(out, how["baseline"] or out / "baseline"),
        selection=Selection(keyword, tuple(map(str, programs)), choice.clang),
        guest=choice.guest,
        jobs=how["jobs"] or auto_jobs(_guest_mib(material)),
        thresholds=thresholds,
        refresh=how["refresh"],
        keep=how["keep"],
        features=how["features"] and not keyword,
        command=shlex.join(click.get_current_context().meta.get(COMMAND, ("bpfmatrix", "nightly"))),
    )
    with RunProgress() as progress:
        ended = make_night(wishes, material, progress, progress.fetch_report)
    return _finish(ended, told, step_summary)


def _material(choice: Choice, programs: tuple[Path, ...], keyword: str) -> Material:
    specs = wanted_kernels(choice)
    everything = load_kernels(project_root() / "kernels.yaml")
    sources = load_programs((project_root() / "programs", *programs))
    matches = compile_keyword(keyword)
    by_name = {program.name: program for program in sources}

    def wanted(kernel: str, case: str) -> bool:
        program = by_name.get(case.partition("[")[0])
        return matches(_names(f"{case}@{kernel}", program))

    return Material(
        specs=specs,
        known=tuple(spec.name for spec in KernelStore().with_registered(everything)),
        programs=sources,
        compilers=find_compilers(choice.clang),
        keep=_keeper(matches),
        wanted=wanted,
    )


def _keeper(matches: Callable[[tuple[str, ...]], bool]) -> Callable[[Case], bool]:
    return lambda case: matches(_names(case.id, case.program))


def _names(case: str, program: Program | None) -> tuple[str, ...]:
    """Return what `-k` looks at, the same words as in `run` and pytest."""
    return (case, program.pitfall, program.path.name) if program else (case,)


def _guest_mib(material: Material) -> int:
    """The memory of the largest guest; what else runs beside it is kept free by `auto_jobs`."""
    return max((spec.memory_mib + _OVERHEAD_MIB for spec in material.specs), default=GUEST_MIB)


def _finish(ended: Ended, told: tuple[str, ...] | None, step_summary: Path | None) -> int:
    if ended.night is None or ended.folder is None:
        click.echo("interrupted: the next night goes on where this one was", err=True)
        return INTERRUPTED
    night, warnings = ended.night, list(ended.warnings)
    changes = ended.folder / CHANGES
    if step_summary is not None:
        warnings.append(append_summary(step_summary, changesfile.render(night)))
    if told is not None and night.record.regressions:
        warnings.append(notify(told, changes, night.record.status))
    for line in _lines(night):
        click.echo(line)
    click.echo(f"written: {changes}")
    click.echo(f"written: {ended.folder.parent / INDEX}")
    for warning in filter(None, warnings):
        click.echo(f"warning: {warning}", err=True)
    return night.record.status


def _lines(night: Night) -> list[str]:
    """Say the night in a few lines: kernels that moved or are missing, and what is worse."""
    record = night.record
    lines = [f"{kernel.name}: {kernel.moved}" for kernel in record.kernels if kernel.moved]
    lines += [f"{k.name}: not refreshed: {k.stale}" for k in record.kernels if k.stale]
    lines += [f"{kernel.name}: not run: {kernel.problem}" for kernel in record.kernels if kernel.problem]
    worse = {
        (change.id, change.kind): change
        for changes in night.findings.comparisons
        for change in changes.regressions
    }
    for change in list(worse.values())[:20]:
        lines.append(f"worse: {change.id}: {change.kind.value}: {change.before} → {change.after}")
    if len(worse) > 20:
        lines.append(f"worse: and {len(worse) - 20} more")
    lines += [f"flaky: {case}" for case in night.findings.flaky[:20]]
    lines += [f"note: {note}" for note in record.notes]
    lines.append(
        f"night {record.name}: {record.cases} cases, {record.regressions} worse, "
        f"{record.changes} different, {record.flaky} flaky"
    )
    return lines
