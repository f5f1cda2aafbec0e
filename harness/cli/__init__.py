"""The command `bpfmatrix`. `main()` is the only thing others need."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status; a broken installation is told in words, too."""
    try:
        from harness.cli.app import main as run  # noqa: PLC0415 - its failure is what is told
    except ModuleNotFoundError as missing:
        print(
            f"bpfmatrix: the Python package {missing.name!r} is missing\n"
            "  next: python3 scripts/setup.py run",
            file=sys.stderr,
        )
        return 2
    return run(arguments)
