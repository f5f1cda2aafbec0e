"""`python -m benchmarks.asking`: how long a program waits for `harness.features.supports`.

Printed, never asserted: import in a fresh process, the first question, and questions after it.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

from tabulate import tabulate

REPEATS = 9
_QUESTIONS = (
    ("bpf_loop", "5.15", "xdp"),
    ("bpf_loop", "6.12", "xdp"),
    ("BPF_MAP_TYPE_RINGBUF", ">=5.4,<7", None),
)
_CODE = """
import time
begin = time.perf_counter()
from harness.features import supports
imported = time.perf_counter()
supports({name!r}, kernel={kernel!r}, program_type={program_type!r})
first = time.perf_counter()
for _ in range(100):
    supports({name!r}, kernel={kernel!r}, program_type={program_type!r})
print(imported - begin, first - imported, (time.perf_counter() - first) / 100)
"""


def measure(name: str, kernel: str, program_type: str | None) -> tuple[float, ...]:
    """Medians in milliseconds: import, first question, each question after it."""
    code = _CODE.format(name=name, kernel=kernel, program_type=program_type)
    runs = []
    for _ in range(REPEATS):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        runs.append([float(word) * 1000 for word in done.stdout.split()])
    return tuple(statistics.median(column) for column in zip(*runs, strict=True))


def main() -> None:
    """Print the table."""
    print(asking_text())


def asking_text() -> str:
    """The table."""
    rows = [
        [
            f"{name} on {kernel}" + (f" in {program_type}" if program_type else ""),
            *map("{:.2f}".format, found),
        ]
        for name, kernel, program_type in _QUESTIONS
        for found in [measure(name, kernel, program_type)]
    ]
    headers = ["question", "import, ms", "first question, ms", "each after it, ms"]
    rows.append(["target", "≤ 300", "≤ 50", "≤ 50"])
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)


if __name__ == "__main__":
    main()
