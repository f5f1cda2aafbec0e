"""A kernel's configuration: the file its package brought, or what the guest shows in /proc/config.gz."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Mapping

from harness.features.probe.subject import Subject

_SET = re.compile(r'^CONFIG_(\w+)=("?)(.*?)\2$', re.MULTILINE)
_MOST = 2 << 20  # bytes of a configuration; those of today have 300 KiB
IN_GUEST = "/proc/config.gz"


class KernelConfig:
    """The symbols of one configuration."""

    def __init__(self, text: str) -> None:
        self._values: Mapping[str, str] = {name: value for name, _, value in _SET.findall(text)}

    def value(self, symbol: str) -> str | None:
        """`y`, `m`, a number or a text; None for a symbol that is not set or that there is not."""
        return self._values.get(symbol)

    def words(self, symbol: str) -> str:
        """The line as the file has it, for evidence."""
        value = self.value(symbol)
        return f"CONFIG_{symbol} is not set" if value is None else f"CONFIG_{symbol}={value}"


def kernel_config(subject: Subject) -> KernelConfig | None:
    """The configuration of the kernel in the guest; None where nobody has it."""
    path = subject.guest.assets.kernel.config
    if path is not None:
        return KernelConfig(path.read_text(encoding="utf-8", errors="replace"))
    try:
        packed = subject.guest.read_file(IN_GUEST)
        return KernelConfig(zlib.decompressobj(31).decompress(packed, _MOST).decode("utf-8", "replace"))
    except (OSError, zlib.error, gzip.BadGzipFile):
        return None
