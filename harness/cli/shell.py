"""`bpfmatrix shell`: a root shell in a guest."""

from __future__ import annotations

import click

from harness.cli.common import takes_choice
from harness.errors import UserError
from harness.guest.shell import run_shell
from harness.options import Choice, obtain, wanted_kernels
from harness.progress import RunProgress

_EPILOG = """\b
Example:
  bpfmatrix shell 5.10          leave it with `exit`
"""


@click.command(epilog=_EPILOG)
@click.argument("kernel", metavar="K")
@takes_choice("kernel_image", "accel")
def shell(*, kernel: str, choice: Choice) -> int:
    """Open a root shell in a guest of kernel K, which sees nothing of this machine."""
    if kernel == "all":
        raise UserError("a shell runs in one kernel, not in all", hint="bpfmatrix kernels list")
    image = tuple(pair for pair in choice.kernel_image if pair.startswith(f"{kernel}="))
    specs = wanted_kernels(Choice(kernel=(kernel,), kernel_image=image))
    with RunProgress() as progress:
        (found,) = obtain(specs, report=progress.fetch_report).kernels
    return run_shell(found, choice.guest)
