"""`bpfmatrix doctor`: what this machine has, what it lacks, how to get it."""

from __future__ import annotations

import click
from tabulate import tabulate

from harness.doctor import packages
from harness.doctor.checks import Check, State, examine, lacking
from harness.errors import InfrastructureError

_EPILOG = """\b
Exit status: 0 when all that bpfmatrix needs is here, 3 when something is missing.
"""


@click.command(epilog=_EPILOG)
@click.option(
    "--install", is_flag=True, help="Install what is missing with apt (through sudo when not root)."
)
@click.option("--refresh", is_flag=True, help="Try KVM again instead of remembering what came out last time.")
def doctor(*, install: bool, refresh: bool) -> int:
    """Check each tool bpfmatrix needs, KVM, the cache and the disk, and say how to fix what is wrong."""
    checks = examine(refresh=refresh)
    if install and (needed := lacking(checks)):
        try:
            packages.install(needed)
        except RuntimeError as problem:
            raise InfrastructureError(str(problem)) from problem
        checks = examine(refresh=refresh)
    click.echo(table(checks))
    for line in advice(checks):
        click.echo(line)
    return 3 if any(check.state is State.BAD for check in checks) else 0


def table(checks: tuple[Check, ...]) -> str:
    """Lay out one row per check."""
    rows = [(check.name, check.state.value, check.found, check.needed_for) for check in checks]
    return tabulate(rows, headers=("what", "state", "found", "needed for"), disable_numparse=True)


def advice(checks: tuple[Check, ...]) -> list[str]:
    """Write the commands that fix what is wrong, each once, and a verdict."""
    lines = [f"  {check.name}: {check.fix}" for check in checks if check.state is not State.OK and check.fix]
    if lines:
        lines = ["", "to fix:", *lines]
    if lacking(checks):
        lines.append("  all at once: bpfmatrix doctor --install")
    bad = [check.name for check in checks if check.state is State.BAD]
    verdict = f"bpfmatrix cannot work yet; missing: {', '.join(bad)}" if bad else "bpfmatrix can work here"
    return [*lines, "", verdict]
