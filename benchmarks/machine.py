"""What the figures are measured on, and what is being measured."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import click

from harness.pipeline import timestamp, tool_versions


def machine() -> str:
    """What the figures were measured on."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next(
        (line.partition(":")[2].strip() for line in info if line.startswith("model name")), "unknown CPU"
    )
    memory = next(
        line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal")
    )
    tools = ", ".join(f"{name} {version}" for name, version in tool_versions(()).items())
    gib = int(memory.split()[1]) / (1 << 20)
    size = f"{os.cpu_count()} CPUs, {gib:.0f} GiB, Linux {platform.release()}"
    return f"{cpu}, {size}; emulation (TCG); {tools}; {timestamp()}."


def say(text: str) -> None:
    """Tell what is being measured, on standard error."""
    click.echo(f"… {text}", err=True)
