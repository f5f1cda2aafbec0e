"""The `host` part of a manifest: user-space code that a compiler of this machine is asked about.

Such a program is built for BPF like any other, but never loaded: its rows are no kernel's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.catalog.schemacheck import suggest
from harness.catalog.selection import Values
from harness.catalog.yamlfile import Document, NodePath
from harness.errors import UserError
from harness.model import HOST_COMPILERS, HostPart

COMPILER_AXIS = "cc"
# What describes loading; in expectations, what describes kernels.
_OF_GUESTS = ("settings", "program", "slow", "scenario", "checks")
_OF_KERNELS = ("kernels", "needs", "errno", "behaviour")


def read_host(document: Document, axes: Mapping[str, Values], template: Path) -> HostPart | None:
    """Return the part, or None when the manifest has none.

    Raises UserError with file:line: no such template, no axis `cc` or an unknown compiler in it, keys that
    say something of a guest or a kernel.
    """
    data = document.data.get("host")
    if data is None:
        return None
    source = template.parent / data["source"]
    if not source.is_file():
        raise UserError(
            f"there is no {source.name} beside the template", where=document.origin(("host", "source"))
        )
    _check_compilers(document, axes)
    for key in _OF_GUESTS:
        if key in document.data:
            raise _idle(document, (key,))
    for index, entry in enumerate(document.data.get("expect", [])):
        for key in _OF_KERNELS:
            if key in entry:
                raise _idle(document, ("expect", index, key))
    return HostPart(source, data.get("skeleton", False))


def _check_compilers(document: Document, axes: Mapping[str, Values]) -> None:
    if COMPILER_AXIS not in axes:
        raise UserError(
            f"a host part needs the axis {COMPILER_AXIS!r}",
            where=document.origin(("host",)),
            hint=f"axes: {{{COMPILER_AXIS}: [{', '.join(HOST_COMPILERS)}]}}",
        )
    for index, value in enumerate(axes[COMPILER_AXIS]):
        if value not in HOST_COMPILERS:
            raise UserError(
                f"no compiler {value!r}; {suggest(str(value), HOST_COMPILERS)}",
                where=document.origin(("axes", COMPILER_AXIS, index)),
            )


def _idle(document: Document, path: NodePath) -> UserError:
    return UserError(
        f"{path[-1]!r} has no meaning beside 'host': no kernel is asked", where=document.origin(path)
    )
