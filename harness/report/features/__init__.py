"""Which kernel has which feature, as tables: the documented version beside what each kernel answered.

Pure: documented and measured facts in, text out. `write_all` is the only function here that touches the
disk.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.catalog.schemacheck import suggest
from harness.errors import UserError
from harness.features.alternatives import alternatives
from harness.features.disagreements import explanations
from harness.features.documented import documented
from harness.features.measured import measured_kernels
from harness.record.atomic import replacing
from harness.report.features import html, machine, markdown
from harness.report.features.tables import Tables, build

__all__ = ["FORMATS", "Tables", "build", "known", "render", "write_all"]

_RENDERERS: dict[str, Callable[[Tables], str]] = {
    "markdown": markdown.render,
    "html": lambda tables: html.render(tables, alternatives()),
    "csv": machine.render_csv,
    "json": machine.render_json,
}
FORMATS = tuple(_RENDERERS)


def known() -> Tables:
    """The tables of every fact there is: the package's, and those in the folder `$BPFMATRIX_MEASURED`."""
    return build(documented(), measured_kernels(), explanations())


def render(tables: Tables, fmt: str) -> str:
    """Return the tables in a format of `FORMATS`; UserError listing them for any other name."""
    renderer = _RENDERERS.get(fmt)
    if renderer is None:
        raise UserError(f"unknown format {fmt!r}; {suggest(fmt, FORMATS, 'formats')}")
    return renderer(tables)


def write_all(tables: Tables, out_dir: Path) -> tuple[Path, Path]:
    """Write `features.md` and `features.html` into `out_dir`, each atomically; return their paths."""
    paths = (out_dir / "features.md", out_dir / "features.html")
    for path, fmt in zip(paths, ("markdown", "html"), strict=True):
        with replacing(path) as file:
            file.write(render(tables, fmt))
    return paths
