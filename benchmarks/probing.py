"""`python -m benchmarks.probing [--kernel K …]`: a full probe of a kernel beside `bpftool feature probe`.

Both run in a guest restored from a snapshot, one after the other. Printed, never asserted.
"""

from __future__ import annotations

import os

import click
from tabulate import tabulate

from benchmarks.select import default_specs
from harness.crew import warm_object
from harness.features.bpftool.both import ask_both
from harness.features.measured import MeasuredKernel
from harness.features.probe.crew import Crew
from harness.features.probe.measure import Measurement, Unwatched
from harness.guest.options import AccelChoice, GuestOptions
from harness.kernels.store import KernelStore
from harness.model import Kernel

TARGET = "≤ 15"


@click.command()
@click.option("--kernel", "names", multiple=True, help="A kernel of kernels.yaml; default: the default ones.")
def main(names: tuple[str, ...]) -> None:
    """Print the table."""
    click.echo(probing_text([spec.name for spec in default_specs() if not names or spec.name in names]))


def probing_text(names: list[str]) -> str:
    """The table of these kernels, and what its columns are."""
    specs = {spec.name: spec for spec in default_specs()}
    rows = [row(KernelStore().ensure(specs[name])) for name in names]
    headers = [
        "kernel",
        "answers",
        "bpfmatrix, s",
        "of that in one guest, s",
        "bpftool, s",
        "bpftool's answers",
    ]
    table = tabulate(
        [*rows, ["target", "", TARGET, "", "", ""]], headers=headers, tablefmt="github", disable_numparse=True
    )
    return (
        f"{table}\n\nRestored guests; `bpfmatrix features` asks in as many guests of a kernel as there are "
        f"processors, at most two ({os.cpu_count()} processors here). An answer is about a feature; of "
        "helpers and kernel functions about a feature and a program type. bpftool: `bpftool -j feature probe "
        "kernel full` in the same guest. It asks a third of it: no kernel functions, attach types, "
        "links, commands or flags, and no helper of tracing, LSM, struct_ops and extension programs; and it "
        "takes most of what 6.12 and newer refuse for a yes ([bpftool.md](bpftool.md))."
    )


def row(kernel: Kernel) -> list[str]:
    """One kernel: everything by the command's own crew, everything by one guest, and bpftool in it."""
    options, warm = GuestOptions(accel=AccelChoice.TCG), warm_object()
    done: list[Measurement] = []
    Crew(options, warm, os.cpu_count() or 1, Unwatched()).work([kernel], done.append)
    both = ask_both(kernel, options, warm)
    return [
        kernel.name,
        f"{answers(both.measured):,}",
        f"{done[0].measured.seconds:.1f}",
        f"{both.measured.seconds:.1f}",
        f"{both.probed.seconds:.1f}",
        f"{len(both.answers.said):,}",
    ]


def answers(measured: MeasuredKernel) -> int:
    """How many answers a kernel gave."""
    return sum(max(1, len(types)) for feature in measured.features() for _, types in feature.findings)


if __name__ == "__main__":
    main()
