"""`bpfmatrix features`: ask kernels, in their guests, what they have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
from tabulate import tabulate

from harness.catalog.kernels import ImageSource, KernelSpec
from harness.cli.common import takes_choice
from harness.cli.featureprogress import FeatureProgress
from harness.crew import warm_object
from harness.errors import InfrastructureError, UserError
from harness.features.changes import changes
from harness.features.disagreements import disagreements, explanations, unexplained
from harness.features.documented import documented
from harness.features.measured import FOLDER, FOLDER_VARIABLE, MeasuredKernel, read, write
from harness.features.probe.crew import Crew
from harness.features.probe.measure import Measurement, config_sha256, probe_digest
from harness.features.types import Support
from harness.guest.agent_build import build_agent
from harness.kernels.errors import KernelUnavailable
from harness.model import Kernel
from harness.options import Choice, Obtained, obtain, usable_folder, wanted_kernels
from harness.report.disagreements import summary
from harness.schedule import auto_jobs

_UNEXPLAINED = 1  # exit status
_MOST_CHANGES = 40
_EPILOG = """\b
Examples:
  bpfmatrix features --kernel 6.12
  bpfmatrix features --kernel all --missing-kernel skip
  bpfmatrix features --changed                    those whose file is older than their image or the probe
  bpfmatrix features --kernel-image mine=build/bzImage --out mine

\b
Exit status: 0 measured, 1 a measured answer contradicts the documents and nobody has explained it,
2 usage or input, 3 a kernel could not be had, started or asked.
"""


@click.command(epilog=_EPILOG)
@takes_choice("kernel", "kernel_image", "missing_kernel", "accel")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Folder the measured files are written to. Default: the package's own data, of a checkout.",
)
@click.option(
    "--changed",
    is_flag=True,
    help="Only kernels that were not measured yet, or whose image, configuration or probe has changed since.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=None,
    metavar="N",
    help="Kernels that are asked at the same time. Default: one per processor, as far as memory allows.",
)
def features(*, choice: Choice, out: Path | None, changed: bool, jobs: int | None) -> int:
    """Ask every kernel, in its guest, which features it has, and write a file per kernel.

    Helpers, map types, program types, attach types, link types, commands, flags, kernel functions, features
    of the language, JIT and configuration; each answer is yes, no or unknown and has its evidence. `check`,
    `report --features` and the pytest marker read the files; how they are read: docs/features.md.
    """
    specs = wanted_kernels(choice)
    folder = _folder(specs, out)
    with FeatureProgress() as progress:
        got = _obtained(specs, choice, progress)
        wanted = [kernel for kernel in got.kernels if not changed or is_stale(kernel, folder)]
        keeper = _Keeper(folder)
        crew = Crew(choice.guest, warm_object() if wanted else None, jobs or auto_jobs(), progress)
        failed = crew.work(wanted, keeper.keep)
    for kernel in got.kernels:
        if kernel not in wanted:
            click.echo(f"{kernel.name}: as it was measured, nothing has changed since")
    for name, why in got.missing:
        click.echo(f"{name}: not measured: {why}")
    loose = _print(keeper)
    return InfrastructureError.exit_status if failed else loose


def is_stale(kernel: Kernel, folder: Path) -> bool:
    """Whether what the folder has of a kernel was measured of another image, or asked by another probe."""
    path = folder / f"{kernel.name}.json"
    if not path.is_file():
        return True
    try:
        old = read(path)
    except UserError:
        return True
    now = (kernel.sha256, config_sha256(kernel.config), build_agent().digest, probe_digest())
    return (old.sha256, old.config_sha256, old.agent, old.probe) != now


class _Keeper:
    """Writes what was measured, and remembers it beside what was there before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done: list[tuple[Measurement, MeasuredKernel | None, Path]] = []

    def keep(self, made: Measurement) -> None:
        """Write one kernel's file."""
        path = self.folder / f"{made.measured.kernel}.json"
        try:
            before = read(path) if path.is_file() else None
        except UserError:
            before = None
        self.done.append((made, before, write(made.measured, self.folder)))


def _folder(specs: Sequence[KernelSpec], out: Path | None) -> Path:
    """Where to write. The package's own data are of the kernels everybody can get, and of a checkout."""
    if out is not None:
        return usable_folder(out)
    own = [spec.name for spec in specs if isinstance(spec.source, ImageSource)]
    hint = f"--out FOLDER, and {FOLDER_VARIABLE}=FOLDER for check, report and pytest to read it"
    if own:
        raise UserError(f"{', '.join(own)}: an image of yours is no part of the package's data", hint=hint)
    if not (FOLDER.parents[3] / "kernels.yaml").is_file():
        raise UserError("the package's own data can only be written in a checkout", hint=hint)
    return usable_folder(FOLDER)


def _obtained(specs: Sequence[KernelSpec], choice: Choice, progress: FeatureProgress) -> Obtained:
    try:
        return obtain(specs, choice.missing_kernel, progress.fetch_report)
    except KernelUnavailable as problem:
        raise InfrastructureError(
            problem.what,
            where=problem.where,
            hint=f"{problem.hint}\n    or go on without it: bpfmatrix features --missing-kernel skip",
        ) from problem


def _print(keeper: _Keeper) -> int:
    """Print what was measured; 1 when something of it contradicts the documents without an explanation."""
    if not keeper.done:
        return 0
    done = sorted(keeper.done, key=lambda each: each[0].measured.version)
    click.echo(counts_table([made for made, _, _ in done]))
    for made, before, path in done:
        for line in _words(made, before):
            click.echo(f"{made.measured.kernel}: {line}")
        click.echo(f"written: {path}")
    kernels = [made.measured for made, _, _ in done]
    found = disagreements(documented(), kernels)
    loose = unexplained(found, explanations())
    click.echo(summary(found, loose), nl=False)
    return _UNEXPLAINED if loose else 0


def counts_table(made: Sequence[Measurement]) -> str:
    """Yes, no and unknown of each kind, a row per kernel, and the seconds."""
    kinds = list(dict.fromkeys(kind for each in made for kind in each.seconds))
    rows = []
    for each in made:
        counts = {
            kind: Counter(f.support() for f in each.measured.features() if f.kind is kind) for kind in kinds
        }
        cells = ["/".join(str(counts[kind][answer]) for answer in Support) for kind in kinds]
        rows.append([each.measured.kernel, *cells, f"{each.measured.seconds:.1f}"])
    headers = ["yes/no/unknown", *(kind.value.replace("_", "\n") for kind in kinds), "seconds"]
    return tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True)


def _words(made: Measurement, before: MeasuredKernel | None) -> Iterable[str]:
    """What is worth a line: trouble on the way, and what is different from the file that was there."""
    for loss in made.losses:
        yield f"a guest was lost and replaced, what it was asked then is unknown or was asked again: {loss}"
    if made.broken:
        yield f"{made.broken} batches of questions ended early; what ended them is unknown in the file"
    yield from (f"the kernel complained: {line}" for line in made.splats)
    if before is None:
        yield "measured for the first time"
        return
    found = changes(before, made.measured)
    yield f"{len(found) or 'no'} answers differ from those of {before.date[:10]} ({before.release})"
    yield from (f"  {change}" for change in found[:_MOST_CHANGES])
    if len(found) > _MOST_CHANGES:
        yield f"  and {len(found) - _MOST_CHANGES} more"
