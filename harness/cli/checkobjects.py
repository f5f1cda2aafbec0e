"""`bpfmatrix check FILE`: what an object uses, what of it kernels lack, and the lowest kernel for it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from harness import pipeline
from harness.build.builder import Builder
from harness.build.toolchain import find_compilers
from harness.catalog.kernels import KernelSpec
from harness.catalog.programs import load_programs
from harness.errors import HarnessError, UserError
from harness.features.kernels import Target, targets
from harness.features.measured import measured_kernels
from harness.features.objects.analysis import Analysis
from harness.features.objects.judge import Judge, Judgement
from harness.features.objects.loaded import by_kernel, loads_of, lowest_loaded, saved_loads
from harness.features.objects.minimum import Minimum, lowest_documented, lowest_measured
from harness.features.objects.view import KernelView, view_of
from harness.features.types import Support
from harness.kernels.store import KernelStore
from harness.model import BuildFailure, Kernel, Program, ProgramKind, Run
from harness.options import Choice, obtain, wanted_kernels
from harness.paths import project_root
from harness.plan import RunOptions
from harness.progress import RunProgress
from harness.report.objectcheck import ObjectReport, one_liner, render, to_json

_STATUS = {Support.YES: 0, Support.NO: 1, Support.UNKNOWN: 3}
_WIDTH = 110


def check_objects(
    paths: Sequence[Path],
    kernels: Sequence[str],
    *,
    host: bool = False,
    live: bool = False,
    as_json: bool = False,
) -> int:
    """Print what the objects use and what kernels lack of it; return 0 yes, 1 no, 3 unknown.

    Raises UserError: a path that is no program, an unknown kernel. An object that cannot be read is a
    UserError when it is the only one, else a line of the report.
    """
    on_disk = _on_disk()
    objects = list(_objects(paths, on_disk))
    if len(objects) == 1 and objects[0].error is not None:
        raise objects[0].error
    views = _host_views() if host else _views(kernels, on_disk)
    run = _load(paths, kernels) if live else None
    reports = [_report(each, views, run, asked=bool(kernels) or host) for each in objects]
    click.echo(_text(reports, as_json=as_json, brief=host), nl=False)
    if not kernels and not host and run is None:
        return _status_of_reading(reports)
    return _worst([report.support for report in reports])


@dataclass(frozen=True, slots=True)
class _Object:
    """One object to look at, or why there is none; `label` is what it is called."""

    label: str
    path: Path | None
    error: HarnessError | None = None


def _objects(paths: Sequence[Path], kernels: Sequence[Kernel]) -> Iterator[_Object]:
    """The objects at `paths`, sources compiled first."""
    programs = load_programs(paths)
    sources = [program for program in programs if program.kind is not ProgramKind.OBJECT]
    compiler = find_compilers(())[0] if sources else None
    newest = max((k for k in kernels if k.btf), key=lambda kernel: kernel.version, default=None)
    builder = Builder(vmlinux_btf=newest.btf if newest else None)
    for program in programs:
        if program.kind is ProgramKind.OBJECT:
            yield _Object(_shown(program), program.path)
            continue
        for variant in program.variants or (None,):
            label = _shown(program) + (f" [{variant.name}]" if variant else "")
            built = builder.build(program, variant, compiler)
            if isinstance(built, BuildFailure):
                words = f"it does not compile: {built.message.strip()[:2000]}"
                yield _Object(label, None, UserError(words, where=label))
            else:
                yield _Object(label, built.path)


def _shown(program: Program) -> str:
    try:
        return str(program.path.relative_to(Path.cwd()))
    except ValueError:
        return str(program.path)


def _report(found: _Object, views: Sequence[KernelView], run: Run | None, *, asked: bool) -> ObjectReport:
    if found.path is None:
        return ObjectReport(found.label, problem=str(found.error))
    try:
        judge = Judge(Analysis.of_file(found.path))
    except UserError as error:
        return ObjectReport(found.label, problem=error.what)
    judgements = tuple(judge.on(view) for view in views)
    loads = loads_of(judge.uses.sha256, run) if run is not None else ()
    minimum = None if asked else _minimum(judge, judgements, run)
    return ObjectReport(found.label, judge.uses, judgements, minimum, by_kernel(loads))


def _minimum(judge: Judge, judgements: Sequence[Judgement], run: Run | None) -> Minimum:
    loads = list(saved_loads(judge.uses.sha256, _saved_runs()))
    if run is not None:
        loads += loads_of(judge.uses.sha256, run)
    return Minimum(lowest_documented(judge.uses), lowest_measured(judgements), lowest_loaded(loads))


def _saved_runs() -> list[Path]:
    """The runs kept where `run` writes them."""
    places = dict.fromkeys((Path("reports/run.json").resolve(), project_root() / "reports" / "run.json"))
    return [place for place in places if place.is_file()]


def _on_disk() -> tuple[Kernel, ...]:
    """The cached kernels, oldest first; nothing is fetched for a question."""
    store = KernelStore()
    try:
        specs = wanted_kernels(Choice(kernel=("all",)))
    except UserError:
        return ()
    found = (store.cached(spec) for spec in specs)
    return tuple(sorted((kernel for kernel in found if kernel), key=lambda kernel: kernel.version))


def _views(texts: Sequence[str], on_disk: Sequence[Kernel]) -> tuple[KernelView, ...]:
    """The kernels asked for, or all that were measured, or all on disk."""
    measured = measured_kernels()
    names = tuple(kernel.name for kernel in on_disk)
    if not texts:
        texts = tuple(kernel.kernel for kernel in measured) or names
    aims: list[Target] = [aim for text in texts for aim in targets(text, measured, names)]
    return tuple(view_of(aim, on_disk) for aim in aims)


def _host_views() -> tuple[KernelView, ...]:
    raise UserError("--host for objects is not there yet")


def _load(paths: Sequence[Path], kernels: Sequence[str]) -> Run:
    """Boot the kernels and load the objects."""
    specs = _specs(kernels)
    programs = load_programs(paths)
    compiled = all(program.kind is ProgramKind.OBJECT for program in programs)
    with RunProgress() as progress:
        got = obtain(specs, "skip", progress.fetch_report)
        options = RunOptions(
            kernels=got.kernels,
            programs=programs,
            compilers=() if compiled else find_compilers(())[:1],
            missing=got.missing,
            jobs=os.cpu_count() or 1,
        )
        return pipeline.run(options, progress)


def _specs(texts: Sequence[str]) -> tuple[KernelSpec, ...]:
    """The entries of kernels.yaml that are meant; the default ones where nobody said."""
    if not texts:
        return wanted_kernels(Choice())
    every = wanted_kernels(Choice(kernel=("all",)))
    names = {spec.name for spec in every}
    measured = measured_kernels()
    wanted: dict[str, None] = {}
    for text in texts:
        meant = [aim.measured.kernel for aim in targets(text, measured, tuple(names)) if aim.measured]
        wanted |= dict.fromkeys([text] if text in names else [name for name in meant if name in names])
    if not wanted:
        raise UserError(
            f"--live needs kernels of kernels.yaml; {', '.join(texts)} is none",
            hint=f"--kernel NAME with one of {', '.join(sorted(names))}",
        )
    return wanted_kernels(Choice(kernel=tuple(wanted)))


def _text(reports: Sequence[ObjectReport], *, as_json: bool, brief: bool) -> str:
    if as_json:
        return to_json(reports)
    if brief:
        return "".join(f"{one_liner(report)}\n" for report in reports)
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size((_WIDTH, 40)).columns if terminal else _WIDTH
    return render(reports, width, color=terminal and not os.environ.get("NO_COLOR"))


def _status_of_reading(reports: Sequence[ObjectReport]) -> int:
    """Without a kernel the question is what is used: it is answered unless something could not be read."""
    return _STATUS[Support.UNKNOWN if any(report.problem for report in reports) else Support.YES]


def _worst(supports: Sequence[Support]) -> int:
    if Support.NO in supports:
        return _STATUS[Support.NO]
    return _STATUS[Support.UNKNOWN if Support.UNKNOWN in supports else Support.YES]
