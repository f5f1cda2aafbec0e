"""What a page shows beside its run: comparisons with earlier measurements, the nights before. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from harness.record.changes import Changes
from harness.record.history import Entry


@dataclass(frozen=True, slots=True)
class Beside:
    """All of it is optional; a part that could not be had is told in `notes`."""

    comparisons: tuple[Changes, ...] = ()
    history: Mapping[str, tuple[Entry, ...]] = field(default_factory=lambda: MappingProxyType({}))  # by id
    notes: tuple[str, ...] = ()
