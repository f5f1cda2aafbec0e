"""`bpfmatrix`: its subcommands, and the one place where errors become words and exit statuses.

Exit statuses: 0 all is as expected, 1 verdicts differ, 2 the person can put it right (usage, a file, a
name), 3 the world broke (a download, a disk, a guest), 130 and 143 ended by Ctrl-C and SIGTERM.
"""

from __future__ import annotations

import errno
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from types import FrameType

import click

from harness.cli.baseline import baseline
from harness.cli.bisect import bisect_command
from harness.cli.check import check
from harness.cli.common import COMMAND, INTERRUPTED
from harness.cli.compare import compare
from harness.cli.disagreements import disagreements_command
from harness.cli.doctor import doctor
from harness.cli.explain import explain
from harness.cli.features import features
from harness.cli.history import history
from harness.cli.kernels import kernels
from harness.cli.nightly import nightly
from harness.cli.report import report
from harness.cli.run import run
from harness.cli.shell import shell
from harness.errors import HarnessError

_HELP = """Load eBPF program variants in real kernels and report what each kernel answers.

\b
Examples:
  bpfmatrix run                                  every program on the default kernels
  bpfmatrix run --kernel 5.10 --kernel 7.3 -k ringbuf
  bpfmatrix run --programs my.bpf.o --kernel all what each kernel says to an object of yours
  bpfmatrix explain error.txt                    what a verifier log or a loader's error means
  bpfmatrix check bpf_loop --kernel 5.15         whether a kernel has a helper, a map type, a kfunc …
  bpfmatrix features --kernel 6.12               ask a kernel, in its guest, which features it has
  bpfmatrix kernels list                         what there is, what is in the cache
  bpfmatrix doctor                               what this machine lacks, and how to get it
"""


class _Signals:
    """SIGTERM ends a run like Ctrl-C does, and is remembered for the exit status."""

    def __init__(self) -> None:
        self.terminated = False

    def handle(self, _number: int, _frame: FrameType | None) -> None:
        self.terminated = True
        raise KeyboardInterrupt

    @property
    def status(self) -> int:
        return 128 + (signal.SIGTERM if self.terminated else signal.SIGINT)


@click.group(help=_HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(version("bpfmatrix"), prog_name="bpfmatrix")
@click.pass_context
def app(context: click.Context) -> None:
    """Hold the subcommands."""
    context.meta.setdefault(COMMAND, ("bpfmatrix", *sys.argv[1:]))


for _command in (
    run,
    nightly,
    check,
    features,
    disagreements_command,
    explain,
    kernels,
    doctor,
    report,
    shell,
    compare,
    baseline,
    bisect_command,
    history,
):
    app.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status and prints every error itself."""
    signals = _Signals()
    before = signal.signal(signal.SIGTERM, signals.handle)
    try:
        status = app.main(arguments, prog_name="bpfmatrix", standalone_mode=False)
        return signals.status if status == INTERRUPTED else int(status or 0)
    except click.ClickException as problem:
        problem.show()
        return problem.exit_code
    except (click.Abort, KeyboardInterrupt):
        complain("interrupted")
        return signals.status
    except HarnessError as problem:
        complain(str(problem))
        return problem.exit_status
    except OSError as problem:
        return _broken_system(problem)
    finally:
        signal.signal(signal.SIGTERM, before)


def complain(text: str) -> None:
    """Print an error on standard error."""
    click.echo(f"bpfmatrix: {text}", file=sys.stderr)


def _broken_system(problem: OSError) -> int:
    """Say what the operating system refused; anything but a known reason stays a traceback."""
    where = f"{problem.filename}: " if problem.filename else ""
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        complain(f"{where}no space left on the disk\n  next: make room, or: bpfmatrix kernels prune")
    elif problem.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        complain(f"{where}{problem.strerror}\n  next: bpfmatrix doctor")
    else:
        raise problem
    return HarnessError.exit_status
