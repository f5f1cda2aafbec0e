"""`bpfmatrix explain`: what an error text means."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import BinaryIO

import click

from harness.catalog.schemacheck import suggest
from harness.errors import HarnessError, UserError
from harness.model import KernelVersion, Run, Stage
from harness.paths import project_root
from harness.record.runfile import read
from harness.report.explain import Source, render, to_json
from harness.verdict import errnos
from harness.verdict.explain import Hints
from harness.verdict.explain import explain as explained

_LIMIT = (
    16 << 20
)  # bytes kept of the input: its beginning and its end, where loaders say what they have to say
_HEAD = 1 << 20
_READ = 1 << 28  # bytes read at most; a log of libbpf has 16 MiB, so this is no log
_CHUNK = 1 << 20
_UNKNOWN = 1  # exit status where no rule knows the text

_EPILOG = """\b
Examples:
  bpfmatrix explain error.txt
  sudo ./loader 2>&1 | bpfmatrix explain
  bpfmatrix explain --kernel 5.10 --stage load -
  bpfmatrix explain --json error.txt

\b
Exit status: 0 recognised, 1 no rule knows it, 2 usage or a file that cannot be read.
"""


@click.command(epilog=_EPILOG)
@click.argument("file", metavar="[FILE|-]", required=False)
@click.option(
    "--errno", "errno_text", metavar="ERRNO", help="The errno, where the text does not have it: EINVAL or 22."
)
@click.option(
    "--stage",
    type=click.Choice([stage.value for stage in Stage]),
    default=None,
    help="Where it failed, where the text does not say.",
)
@click.option("--kernel", metavar="VERSION", help="The kernel it comes from: its wordings are preferred.")
@click.option(
    "--run",
    "run_file",
    metavar="RUN.json",
    type=click.Path(path_type=Path),
    help="Show rows of this run's matrix. Default: reports/run.json.",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def explain(
    *,
    file: str | None,
    errno_text: str | None,
    stage: str | None,
    kernel: str | None,
    run_file: Path | None,
    as_json: bool,
) -> int:
    """Say what an error text means: the cause, the place, the fix, and what kernels answered in the matrix.

    FILE is a verifier log, what libbpf or bpftool printed, an error of cilium/ebpf or aya, or a compiler's;
    without FILE, or with -, it is read from standard input. Nothing is loaded, and nothing in the text is
    evaluated.
    """
    hints = Hints(Stage(stage) if stage else None, _errno(errno_text), _kernel(kernel))
    source = _source(run_file)
    text, cut = _input(file)
    found = explained(text, hints)
    if as_json:
        click.echo(to_json(found, source, cut), nl=False)
    else:
        width = shutil.get_terminal_size((100, 40)).columns if sys.stdout.isatty() else 100
        click.echo(render(found, source, cut, width), nl=False)
    return 0 if found.recognised else _UNKNOWN


def _errno(text: str | None) -> str | None:
    if text is None:
        return None
    name = errnos.parse(text)
    if name is None:
        raise UserError(f"--errno {text!r}: {suggest(text.upper(), errnos.USUAL, 'such as')}")
    return name


def _kernel(text: str | None) -> KernelVersion | None:
    try:
        return KernelVersion.parse(text) if text else None
    except ValueError as error:
        raise UserError(f"--kernel: {error}", hint="--kernel 6.1, or what `uname -r` prints there") from error


def _source(named: Path | None) -> Source:
    """Read the run; a file nobody named may be missing or damaged, which is said and no error."""
    path = named or project_root() / "reports" / "run.json"
    shown = str(named) if named else "reports/run.json"
    try:
        run: Run = read(path)
    except HarnessError as problem:
        if named is not None:
            raise
        what = "there is no" if not path.exists() else f"{problem.what}:"
        return Source(shown, problem=f"{what} {shown}. Make one: bpfmatrix run, or name another with --run.")
    return Source(shown, run)


def _input(name: str | None) -> tuple[str, str]:
    """Read the text, and say what of it was left out. UserError for nothing to read."""
    if name is None or name == "-":
        if sys.stdin is None or (name is None and sys.stdin.isatty()):
            raise UserError(
                "there is no text to explain",
                hint="bpfmatrix explain FILE, or pipe what was printed: ./loader 2>&1 | bpfmatrix explain",
            )
        raw, cut = _bounded(sys.stdin.buffer)
        where = "standard input"
    else:
        where = name
        try:
            with Path(where).open("rb") as file:
                raw, cut = _bounded(file)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            reason = getattr(error, "strerror", None) or str(error)
            hint = "echo 'permission denied: …' | bpfmatrix explain" if " " in where else None
            raise UserError(f"cannot be read: {reason}", where=where, hint=hint) from error
    text = raw.decode("utf-8", "replace")
    if not text.strip("\0 \t\r\n"):
        raise UserError("empty: there is nothing to explain", where=where)
    return text, cut


def _bounded(file: BinaryIO) -> tuple[bytes, str]:
    """Return at most 16 MiB of a file, its beginning and its end, and words for what is missing."""
    head, tail, total = b"", b"", 0
    while total < _READ and (chunk := file.read(_CHUNK)):
        total += len(chunk)
        room = _HEAD - len(head)
        head += chunk[:room] if room > 0 else b""
        tail = (tail + chunk[max(room, 0) :])[-(_LIMIT - _HEAD) :]
    missing = total - len(head) - len(tail)
    words = f"{missing} bytes in the middle of {total} were not looked at" if missing else ""
    if total >= _READ and file.read(1):
        words = f"{words}; reading stopped after {total >> 20} MiB".removeprefix("; ")
    return head + (b"\n" if missing else b"") + tail, words
