#!/usr/bin/env python3
"""Ask kernels with bpfmatrix and with the machine's bpftool: `scripts/compare_bpftool.py [--write FILE]`.

Prints where they differ and what has no reason yet; exit status 1 when something has none. Run it with
`.venv/bin/python`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.crew import warm_object
from harness.features.bpftool.both import Both, ask_both
from harness.features.bpftool.compare import reason_of
from harness.features.bpftool.page import render
from harness.guest.options import GuestOptions
from harness.options import Choice, obtain, wanted_kernels


@click.command()
@click.option(
    "--kernel", "names", multiple=True, help="A kernel of kernels.yaml; default: its default kernels."
)
@click.option("--write", type=click.Path(path_type=Path), help="Write the page here.")
def main(names: tuple[str, ...], write: Path | None) -> None:
    """Compare on every kernel, one after the other."""
    warm, both = warm_object(), []
    for kernel in obtain(wanted_kernels(Choice(kernel=names))).kernels:
        both.append(ask_both(kernel, GuestOptions(), warm))
        click.echo(line(both[-1]))
    if write:
        write.write_text(render(both), encoding="utf-8")
        click.echo(f"written: {write}")
    loose = [
        (each.measured.kernel, found)
        for each in both
        for found in each.differences
        if reason_of(found, each.measured.version) is None
    ]
    for kernel, found in loose:
        says = "yes" if found.bpftool else "no"
        point = " ".join(filter(None, (found.point.name, found.point.program_type)))
        click.echo(f"no reason: {kernel}: {point}: bpftool {says}, {found.finding}")
    sys.exit(1 if loose else 0)


def line(both: Both) -> str:
    """One kernel's figures."""
    return (
        f"{both.measured.kernel}: bpfmatrix {both.measured.seconds:.1f} s, "
        f"bpftool {both.probed.seconds:.1f} s, {len(both.differences)} different answers"
    )


if __name__ == "__main__":
    main()
