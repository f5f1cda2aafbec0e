"""`bpfmatrix kernels`: what there is, what is cached, getting and dropping it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import click
from tabulate import tabulate

from harness.catalog.kernels import DebianSource, KernelSpec, load_kernels
from harness.errors import HarnessError
from harness.kernels.store import KernelStore, Usage, folder_bytes
from harness.options import Choice, wanted_kernels
from harness.paths import cache_dir, project_root
from harness.progress import RunProgress

# Built from sources and kernels, and built again when needed.
_DERIVED = ("agent", "guest", "objects", "vmlinux")
_MIB = 1 << 20
_EPILOG = """\b
Examples:
  bpfmatrix kernels list
  bpfmatrix kernels fetch 5.10 7.3
  bpfmatrix kernels add 5.4 --image ~/linux-5.4/arch/x86/boot/bzImage
  bpfmatrix kernels prune
"""


@click.group(epilog=_EPILOG)
def kernels() -> None:
    """List, fetch, add and drop kernels."""


@kernels.command("list")
def list_() -> int:
    """Show every kernel of kernels.yaml and of the cache: source, release, what it takes on the disk."""
    store = KernelStore()
    specs = store.with_registered(load_kernels(project_root() / "kernels.yaml"))
    click.echo(table(specs, store.usage()))
    click.echo(f"\ncache: {cache_dir()}")
    return 0


def table(specs: Sequence[KernelSpec], usage: Sequence[Usage]) -> str:
    """Lay out one row per entry, and one per cached kernel beyond the first of a name."""
    rows = []
    for spec in specs:
        cached = [entry for entry in usage if entry.kernel.name == spec.name]
        mark = "default" if spec.default else ""
        rows.append((spec.name, mark, _source(spec), *_sizes(cached[0] if cached else None)))
        rows += [(spec.name, "", "older", *_sizes(entry)) for entry in cached[1:]]
    known = {spec.name for spec in specs}
    for entry in usage:
        if entry.kernel.name not in known:
            rows.append((entry.kernel.name, "", f"{entry.kernel.source} (no entry)", *_sizes(entry)))
    head = ("kernel", "", "source", "cached release", "files", "saved guests")
    return tabulate(rows, headers=head, disable_numparse=True, colalign=("left",) * 4 + ("right",) * 2)


def _source(spec: KernelSpec) -> str:
    """Name the source; of a Debian one the suites are enough, the pattern stands in kernels.yaml."""
    if isinstance(spec.source, DebianSource):
        return f"debian {', '.join(spec.source.suites)}"
    return str(spec.source)


def _sizes(entry: Usage | None) -> tuple[str, str, str]:
    if entry is None:
        return "–", "", ""
    saved = f"{entry.snapshot_bytes / _MIB:.0f} MiB" if entry.snapshot_bytes else ""
    return entry.kernel.release, f"{entry.kernel_bytes / _MIB:.0f} MiB", saved


@kernels.command()
@click.argument("names", nargs=-1, metavar="[K]…")
def fetch(*, names: tuple[str, ...]) -> int:
    """Get the newest of these kernels (default: those marked default; 'all': every one).

    One that cannot be had does not keep the others from being fetched; the exit status tells.
    """
    store = KernelStore()
    status = 0
    with RunProgress() as progress:
        for spec in wanted_kernels(Choice(kernel=names)):
            try:
                kernel = store.ensure(spec, refresh=True, report=progress.fetch_report)
            except HarnessError as problem:
                click.echo(f"bpfmatrix: {problem}", err=True)
                status = max(status, problem.exit_status)
            else:
                click.echo(f"{spec.name}: {kernel.release} ({kernel.source})")
    return status


@kernels.command()
@click.argument("name", metavar="K")
@click.option(
    "--image", required=True, type=click.Path(path_type=Path), metavar="PATH", help="A bzImage or vmlinuz."
)
@click.option(
    "--modules",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Its modules (lib/modules/<release>), where virtio is not built in.",
)
def add(*, name: str, image: Path, modules: Path | None) -> int:
    """Keep a local image as kernel K, in place of what kernels.yaml says about K."""
    with RunProgress() as progress:
        kernel = KernelStore().add_image(name, image, modules, report=progress.fetch_report)
    click.echo(f"{name}: {kernel.release} from {image}")
    return 0


@kernels.command()
def prune() -> int:
    """Empty the cache: kernels (those added by hand too), saved guests, and what was built for them.

    The files a kernel was added from stay where they are. Not to be run beside a run, which needs the cache.
    """
    freed = KernelStore().prune()
    for name in _DERIVED:
        freed += folder_bytes(cache_dir() / name)
        shutil.rmtree(cache_dir() / name, ignore_errors=True)
    click.echo(f"freed {freed / _MIB:.0f} MiB")
    return 0
