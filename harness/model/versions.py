"""Places in files, versions of kernels, and ranges of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_VERSION = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")
_COMPARISON = re.compile(r"\s*(>=|<=|==|>|<|=)?\s*v?(\d+(?:\.\d+){0,2})\s*")


@dataclass(frozen=True, slots=True)
class Origin:
    """A place in a file a person wrote, for messages (`line` counts from 1)."""

    file: Path
    line: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, order=True)
class KernelVersion:
    """An upstream version; `patch` is 0 where a text names none."""

    major: int
    minor: int
    patch: int = 0

    @classmethod
    def parse(cls, text: str) -> KernelVersion:
        """The first `X.Y[.Z]` in `text` (`v5.4.290`, `6.12.117+deb13-amd64`); ValueError if none."""
        match = _VERSION.search(text)
        if match is None:
            raise ValueError(f"no kernel version in {text!r}")
        major, minor, patch = match.groups()
        return cls(int(major), int(minor), int(patch or 0))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True, slots=True)
class VersionRange:
    """Kernel versions between bounds, written `>=5.8,<6.1`, `5.10` (that series) or `*` (all).

    A bound compares only as many components as it names: `<=5.10` and a bare `5.10` include
    5.10.262, `>5.10` starts with 5.11.
    """

    text: str
    bounds: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @classmethod
    def parse(cls, text: str) -> VersionRange:
        """Raise ValueError with the part that is not a comparison."""
        if text.strip() == "*":
            return cls("*")
        bounds: list[tuple[str, tuple[int, ...]]] = []
        for part in text.split(","):
            match = _COMPARISON.fullmatch(part)
            if match is None:
                raise ValueError(f"{part.strip()!r} is not a comparison like '>=5.8' or '5.10'")
            operator = match[1] or "=="
            bounds.append(("==" if operator == "=" else operator, tuple(map(int, match[2].split(".")))))
        return cls(text.strip(), tuple(bounds))

    def __contains__(self, version: KernelVersion) -> bool:
        full = (version.major, version.minor, version.patch)
        return all(_holds(full[: len(bound)], operator, bound) for operator, bound in self.bounds)

    def __str__(self) -> str:
        return self.text


def _holds(left: tuple[int, ...], operator: str, right: tuple[int, ...]) -> bool:
    match operator:
        case ">=":
            return left >= right
        case "<=":
            return left <= right
        case ">":
            return left > right
        case "<":
            return left < right
        case _:
            return left == right
