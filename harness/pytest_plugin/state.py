"""What a matrix session knows, kept in pytest's stash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.model import Compiler, Kernel, Program
from harness.options import Choice
from harness.pytest_plugin.against import Against
from harness.pytest_plugin.guests import Guests, Workshop
from harness.pytest_plugin.targets import Targets


@dataclass
class Matrix:
    """The plan of one pytest process. On an xdist controller nothing of it is collected or run."""

    choice: Choice
    targets: Targets
    kernels: tuple[Kernel, ...]
    missing: tuple[tuple[str, str], ...]
    compilers: tuple[Compiler, ...]
    programs: Mapping[Path, Program]
    out: Path
    arguments: tuple[str, ...]  # of pytest, as typed
    guests: Guests
    workshop: Workshop
    against: Against | None = None  # the baseline, with --baseline


TARGETS = pytest.StashKey[Targets]()
MATRIX = pytest.StashKey[Matrix]()


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is one of xdist's workers."""
    return hasattr(config, "workerinput")
