"""`python -m benchmarks [--kernel K …] [--write FILE]`: measure, print, optionally write the document."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click
from tabulate import tabulate

from benchmarks.asking import asking_text
from benchmarks.byhand import VngUser, floor_seconds
from benchmarks.catalogue import Catalogue, measure_catalogue
from benchmarks.machine import machine, say
from benchmarks.ours import Ours, measure
from benchmarks.page import page_text
from benchmarks.probing import probing_text
from benchmarks.select import chosen_cases, default_specs
from benchmarks.thousand import CASES
from harness.catalog.kernels import KernelSpec
from harness.model import BuiltObject
from harness.paths import project_root

REPEATS = 3
_HEADER = """# Benchmarks

Printed by `make bench`; this file is what `python -m benchmarks --write docs/benchmarks.md` wrote. Compare
the ratios of one run, not the seconds of two machines: all four ways run one after the other on the same
machine, over the same {cases} objects.

* (a) `vng --run K --exec`, host root, `bpftool prog load` for each object: what one does by hand
* (b) bare QEMU with the same platform and kernel and an init that does nothing: the floor of a boot
* (c) bpfmatrix, cold: no snapshot, the guest boots
* (d) bpfmatrix, restored from a snapshot
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One kernel's figures, seconds unless named otherwise."""

    kernel: str
    by_hand: float
    by_hand_loaded: int
    floor: float
    cold: Ours
    restored: Ours


@click.command()
@click.option(
    "--kernel", "names", multiple=True, help="A kernel of kernels.yaml; default: its default kernels."
)
@click.option("--write", type=click.Path(path_type=Path), help="Also write the document here.")
@click.option("--catalogue", is_flag=True, help="Only the whole catalogue on the newest of the kernels.")
def main(names: tuple[str, ...], write: Path | None, *, catalogue: bool) -> None:
    """Measure (a) to (d) on every kernel, and print seconds and ratios."""
    specs = [spec for spec in default_specs() if not names or spec.name in names]
    if catalogue:
        click.echo(f"{machine()}\n\n{catalogue_text(measure_catalogue(specs[-1]))}")
        return
    rows = [measure_kernel(spec) for spec in specs]
    memory = thousand_mib(specs[-1].name)
    say(f"{specs[-1].name}: the whole catalogue")
    catalogue_figures = measure_catalogue(specs[-1])
    say("asking for features")
    parts = [
        document(rows, memory, catalogue_figures),
        "\n## Asking for features\n",
        "Printed by `python -m benchmarks.probing`: a full probe of a kernel.\n",
        probing_text([spec.name for spec in specs]),
        "\nPrinted by `python -m benchmarks.asking`: how long `harness.features.supports` takes.\n",
        asking_text(),
        "\n## The page\n",
        "Printed by `python -m benchmarks.page`: the HTML of runs, opened and filtered in Chromium.\n",
        page_text(project_root() / "reports" / "run.json"),
        "",
    ]
    text = "\n".join(parts)
    click.echo(text)
    if write:
        write.write_text(text)


def measure_kernel(spec: KernelSpec) -> Row:
    """All four ways on one kernel; boots and restores are medians of three."""
    kernel, cases = chosen_cases(spec.name)
    say(f"{spec.name}: the floor of a boot")
    floor = statistics.median(floor_seconds(kernel) for _ in range(REPEATS))
    say(f"{spec.name}: bpfmatrix, cold")
    cold = middle([measure(kernel, cases, snapshots=False) for _ in range(REPEATS)])
    say(f"{spec.name}: bpfmatrix, restored")
    measure(kernel, cases[:1], snapshots=True)  # makes sure there is a snapshot
    restored = middle([measure(kernel, cases, snapshots=True) for _ in range(REPEATS)])
    if not restored.restored:
        raise RuntimeError(f"the guest of {spec.name} was not restored; nothing to compare")
    say(f"{spec.name}: virtme-ng and bpftool")
    user = VngUser(spec)
    try:
        objects = [each.built.path for each in cases if isinstance(each.built, BuiltObject)]
        seconds, loaded, _ = user.seconds(objects)
    finally:
        user.close()
    return Row(spec.name, seconds, loaded, floor, cold, restored)


def middle(runs: list[Ours]) -> Ours:
    """The run with the median total."""
    return sorted(runs, key=lambda run: run.total)[len(runs) // 2]


def thousand_mib(name: str) -> float:
    """Peak memory of the harness itself over 1,000 cases, in a process of its own."""
    say(f"{name}: memory of the harness over {CASES} cases")
    with tempfile.TemporaryDirectory(prefix="bpfmatrix-bench-") as folder:
        command = [sys.executable, "-m", "benchmarks.thousand", name, folder]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.split()[-1])


def document(rows: list[Row], harness_mib: float, catalogue: Catalogue) -> str:
    """The whole text: machine, figures, targets."""
    parts = [_HEADER.format(cases=rows[0].cold.cases), "## The machine\n", machine(), ""]
    parts += ["## Seconds\n", seconds_table(rows), "", "## Ratios\n", ratio_table(rows), ""]
    parts += ["## Per case and memory\n", case_table(rows), ""]
    parts += [
        f"The harness itself over {CASES} cases, reports written: {harness_mib:.0f} MiB (target ≤ 150).",
        "",
    ]
    parts += ["## The whole catalogue\n", catalogue_text(catalogue), ""]
    return "\n".join(parts)


def catalogue_text(measured: Catalogue) -> str:
    """Where the time of a run of everything goes."""
    head = ["kernel", "cases", "with a scenario", "guests", "all, s", "in the guests, s"]
    head += ["of it agent and libbpf, s", "not kernel or programs, s"]
    body = [
        [
            measured.kernel,
            str(measured.cases),
            str(measured.scenarios),
            str(measured.guests),
            f"{measured.total:.1f}",
            f"{measured.guest:.1f}",
            f"{measured.agent:.1f}",
            f"{measured.ours:.1f}",
        ],
        ["target", "", "", "", "≤ 40", "", "", "≤ 10"],
    ]
    table = tabulate(body, head, tablefmt="github", disable_numparse=True)
    return (
        f"{table}\n\nOne kernel, restored guests, objects in the cache, reports written. In the guests: "
        "kernel, programs, and the agent's and libbpf's part of a case, summed over the guests. The last "
        "column is all minus what kernel and programs took, divided by the guests that run at the same time: "
        "reading and building the catalogue, restoring, talking to the guests, the agent and libbpf, "
        "judging, writing. Apart from these, "
        f"the {measured.slow_cases} variants that exhaust a limit on purpose take {measured.slow:.1f} s."
    )


def seconds_table(rows: list[Row]) -> str:
    """Wall seconds of each way."""
    head = [
        "kernel",
        "(a) by hand",
        "(b) floor",
        "(c) ready",
        "(c) all",
        "(d) ready",
        "(d) all",
        "loaded (a)/(c)/(d)",
    ]
    body = [
        [
            row.kernel,
            f"{row.by_hand:.1f}",
            f"{row.floor:.2f}",
            f"{row.cold.ready:.2f}",
            f"{row.cold.total:.2f}",
            f"{row.restored.ready:.2f}",
            f"{row.restored.total:.2f}",
            f"{row.by_hand_loaded}/{row.cold.accepted}/{row.restored.accepted}",
        ]
        for row in rows
    ]
    return tabulate(body, head, tablefmt="github", disable_numparse=True)


def ratio_table(rows: list[Row]) -> str:
    """The ratios that have a target."""
    head = ["kernel", "cold ready ÷ (b)", "restored ready ÷ (b)", "(a) ÷ cold", "(a) ÷ restored"]
    body = [
        [
            row.kernel,
            f"{row.cold.ready / row.floor:.2f}",
            f"{row.restored.ready / row.floor:.2f}",
            f"{row.by_hand / row.cold.total:.1f}",
            f"{row.by_hand / row.restored.total:.1f}",
        ]
        for row in rows
    ]
    return tabulate(
        [*body, ["target", "≤ 1.6", "≤ 0.2", "≥ 4", "≥ 8"]], head, tablefmt="github", disable_numparse=True
    )


def case_table(rows: list[Row]) -> str:
    """Time per case and memory of a guest."""
    head = ["kernel", "in bpf(), median ms", "overhead, median ms", "guest, peak MiB"]
    body = [
        [row.kernel, f"{row.restored.guest_ms:.1f}", f"{row.restored.overhead_ms:.1f}", f"{peak(row):.0f}"]
        for row in rows
    ]
    return tabulate([*body, ["target", "", "≤ 5", "≤ 600"]], head, tablefmt="github", disable_numparse=True)


def peak(row: Row) -> float:
    """The larger of the two guests' peaks."""
    return max(row.cold.guest_mib, row.restored.guest_mib)


if __name__ == "__main__":
    main()
