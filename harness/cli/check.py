"""`bpfmatrix check`: whether a kernel has what one is going to use."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from harness.catalog.kernels import load_kernels
from harness.cli.checkobjects import check_objects
from harness.errors import HarnessError, UserError
from harness.features.documented import documented
from harness.features.host.ask import Host, line
from harness.features.inquiry import inquire
from harness.features.measured import measured_kernels
from harness.features.names import Names
from harness.features.names import program_type as known_program_type
from harness.features.types import FeatureKind, Support
from harness.paths import project_root
from harness.report.availability import host_json, render, to_json
from harness.verdict.text import one_line

STATUS = {Support.YES: 0, Support.NO: 1, Support.UNKNOWN: 3}  # the command's exit status
_OBJECTS = (".o", ".c", ".j2")  # how the names of files end that are read

_EPILOG = """\b
Examples:
  bpfmatrix check bpf_ringbuf_output --kernel 5.4
  bpfmatrix check bpf_loop --kernel 5.15 --kernel 6.1 --program-type xdp
  bpfmatrix check map:ringbuf --kernel '>=5.4,<6'
  bpfmatrix check bpf_loop                  since when, and what was measured
  bpfmatrix check bpf_loop --host           asks the kernel this runs on
  bpfmatrix check prog.bpf.o --kernel 5.4   everything an object uses
  bpfmatrix check --list map_type

\b
Exit status: 0 yes, 1 no, 3 unknown, 2 usage. Of several: 1 if one is no, else 3 if one is unknown.
"""


@click.command(epilog=_EPILOG)
@click.argument("what", metavar="NAME|FILE|DIR…", nargs=-1)
@click.option(
    "--kernel",
    "kernels",
    metavar="KERNEL",
    multiple=True,
    help="A measured kernel, a version (5.4.290), what `uname -r` prints, a range ('>=5.4,<6') or all. "
    "Repeatable.",
)
@click.option("--program-type", metavar="TYPE", help="Called by programs of this type: xdp, kprobe, tc.")
@click.option("--host", is_flag=True, help="Ask the running kernel; needs CAP_BPF or root. One line a name.")
@click.option("--live", is_flag=True, help="Of a file: boot the kernels and load it, too.")
@click.option(
    "--list",
    "listed",
    type=click.Choice([kind.value for kind in FeatureKind]),
    help="List the names of a kind.",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def check(
    *,
    what: tuple[str, ...],
    kernels: tuple[str, ...],
    program_type: str | None,
    host: bool,
    live: bool,
    listed: str | None,
    as_json: bool,
) -> int:
    """Say whether kernels have a feature, or everything an object uses.

    NAME is a helper, map type, program type, attach type, link type, bpf() command, flag, kfunc or language
    feature by its UAPI name, case and prefix forgiven; its kind may stand before it (map:hash). What was
    measured in a guest decides; where nothing was, the documented version predicts, and the answer says so.
    FILE is a .bpf.o, .bpf.c or a folder of them.
    """
    if listed:
        return _list(FeatureKind(listed))
    files = [name for name in what if _is_file(name)]
    _refuse(what, files, kernels, host=host, live=live)
    if files:
        return _files(files, kernels, host=host, live=live, as_json=as_json)
    if host:
        return _host(what, program_type, as_json=as_json)
    inquiries = inquire(what, kernels, program_type, entries=_entries())
    click.echo(to_json(inquiries) if as_json else render(inquiries), nl=False)
    return exit_status(inquiry.support for inquiry in inquiries)


def exit_status(supports: Iterable[Support]) -> int:
    """0 all yes, 1 one is no, 3 one is unknown."""
    given = set(supports)
    if Support.NO in given:
        return STATUS[Support.NO]
    return STATUS[Support.UNKNOWN] if Support.UNKNOWN in given else STATUS[Support.YES]


def _list(kind: FeatureKind) -> int:
    names = Names(documented(), measured_kernels())
    click.echo("\n".join(feature.name for feature in names.of_kind(kind)))
    return 0


def _is_file(name: str) -> bool:
    """Whether an argument is meant as a file or folder: no name of a feature ends or looks like one."""
    path = Path(name)
    return name.endswith(_OBJECTS) or path.is_file() or ("/" in name and path.exists()) or path.is_dir()


def _refuse(
    what: Sequence[str], files: Sequence[str], kernels: Sequence[str], *, host: bool, live: bool
) -> None:
    if not what:
        raise UserError("nothing to check", hint="bpfmatrix check bpf_loop --kernel 5.15, or --help")
    if files and len(files) < len(what):
        names = ", ".join(name for name in what if name not in files)
        raise UserError(f"names ({names}) and files ({', '.join(files)}) in one question", hint="ask twice")
    if host and kernels:
        raise UserError("--host asks the running kernel, --kernel others", hint="ask twice")
    if live and not files:
        raise UserError(
            "--live loads an object; a name has none", hint="bpfmatrix features --kernel … asks again"
        )


def _files(files: Sequence[str], kernels: Sequence[str], *, host: bool, live: bool, as_json: bool) -> int:
    paths = [Path(name) for name in files]
    return check_objects(paths, kernels, host=host, live=live, as_json=as_json)


def _host(names: Sequence[str], program_type: str | None, *, as_json: bool) -> int:
    """Ask the running kernel; one line a name, or JSON."""
    called = None if program_type is None else known_program_type(program_type, documented())
    index = Names(documented(), measured_kernels())
    features = [index.find(name) for name in names]
    kernel = Host()
    found = [(feature, kernel.ask(feature, called)) for feature in features]
    if as_json:
        click.echo(host_json(found, called, platform.release()), nl=False)
    else:
        for feature, finding in found:
            click.echo(one_line(line(feature, called, finding), 600))
    return exit_status(finding.support for _, finding in found)


def _entries() -> tuple[str, ...]:
    """The kernels of kernels.yaml; a broken file is no reason not to answer about others."""
    try:
        return tuple(spec.name for spec in load_kernels(project_root() / "kernels.yaml"))
    except HarnessError:
        return ()
