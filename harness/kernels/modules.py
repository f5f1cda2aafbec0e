"""Which modules a guest needs before its virtio-serial port exists, and in which order.

Dependencies come from each module's own `.modinfo` section: distribution packages carry no
modules.dep (depmod writes that when a package is installed).
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from harness.errors import UserError

# The transport (virtio over PCI) and the port's driver; virtio and virtio_ring follow as dependencies.
NEEDED = ("virtio_pci", "virtio_console")
_CONFIG = {"virtio_pci": "CONFIG_VIRTIO_PCI", "virtio_console": "CONFIG_VIRTIO_CONSOLE"}
_MODULE_FILE = re.compile(r"(?P<name>[^/]+)\.ko(\.(xz|gz|zst))?")


@dataclass(frozen=True, slots=True)
class ModuleInfo:
    """A module's own words about itself."""

    depends: tuple[str, ...]
    release: str  # the kernel it was built for, first word of vermagic


class MissingModule(Exception):  # noqa: N818  # says what happened; callers turn it into a message
    """A module is neither built in nor among those at hand."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(name)


def module_name(path: str) -> str | None:
    """Name of the module in a file `…/virtio_pci.ko.xz`, with underscores; None for another file."""
    match = _MODULE_FILE.fullmatch(PurePosixPath(path).name)
    return match["name"].replace("-", "_") if match else None


def read_modinfo(data: bytes, name: str) -> ModuleInfo:
    """Read the `.modinfo` section of a decompressed module; raises UserError if it has none."""
    try:
        section = ELFFile(io.BytesIO(data)).get_section_by_name(".modinfo")
    except ELFError as error:
        raise UserError(f"module {name} is damaged: {error}") from error
    if section is None:
        raise UserError(f"module {name} is damaged: no .modinfo section")
    pairs = [item.partition(b"=") for item in section.data().split(b"\0")]
    fields = {key.decode(): value.decode("utf-8", "replace") for key, _, value in pairs}
    depends = tuple(word.replace("-", "_") for word in fields.get("depends", "").split(",") if word)
    return ModuleInfo(depends, fields.get("vermagic", "").split(" ", 1)[0])


def built_in(listing: str) -> frozenset[str]:
    """Names in a `modules.builtin` file."""
    return frozenset(name for line in listing.splitlines() if (name := module_name(line.strip())))


def built_in_by_config(config: str) -> frozenset[str]:
    """Which of `NEEDED` a configuration says are built in (`=y`)."""
    lines = frozenset(config.splitlines())
    return frozenset(name for name, option in _CONFIG.items() if f"{option}=y" in lines)


def load_order(
    available: Mapping[str, Collection[str]], builtin: Collection[str], wanted: Collection[str] = NEEDED
) -> tuple[str, ...]:
    """Order `wanted` and all they depend on so that each comes after its dependencies.

    `available` maps a module to the modules it depends on; built-in ones are left out. Raises
    MissingModule for one that is neither.
    """
    order: list[str] = []

    def visit(name: str) -> None:
        if name in builtin or name in order:
            return
        if name not in available:
            raise MissingModule(name)
        for dependency in available[name]:
            visit(dependency)
        order.append(name)

    for name in wanted:
        visit(name)
    return tuple(order)
