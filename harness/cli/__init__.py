"""The command `bpfmatrix`. `main()` is the only thing others need."""

from harness.cli.app import main

__all__ = ["main"]
