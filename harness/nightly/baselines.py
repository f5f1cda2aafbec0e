"""The baseline as a night reads it: a damaged or outdated file costs its kernel's comparison only."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from harness.errors import UserError
from harness.record.baseline import baseline_kernels, read_baseline
from harness.record.snapshot import Snapshot
from harness.verdict.text import one_line


@dataclass(frozen=True, slots=True)
class BaselineRead:
    """What could be read; `problems` are files that should have been and could not."""

    snapshot: Snapshot | None
    problems: tuple[str, ...] = ()
    without: tuple[str, ...] = ()  # kernels of tonight nobody made a baseline of


def read_for(folder: Path, kernels: Collection[str]) -> BaselineRead:
    """Read all there is of the baseline; a file of an older schema or a damaged one becomes a problem."""
    there = baseline_kernels(folder) if folder.is_dir() else ()
    if not there:
        return BaselineRead(None)
    without = tuple(name for name in kernels if name not in there)
    try:
        return BaselineRead(read_baseline(folder), without=without)
    except UserError:
        return replace(_one_by_one(folder, there), without=without)


def _one_by_one(folder: Path, names: Collection[str]) -> BaselineRead:
    found: Snapshot | None = None
    problems: list[str] = []
    for name in names:
        try:
            read = read_baseline(folder, [name])
        except UserError as problem:
            hint = f"; next: bpfmatrix baseline update --kernel {name}"
            problems.append(one_line(f"the baseline of {name} is left out: {problem.what}{hint}", 500))
            continue
        found = read if found is None else _joined(found, read)
    return BaselineRead(found, tuple(problems))


def _joined(one: Snapshot, other: Snapshot) -> Snapshot:
    return replace(
        one,
        kernels=MappingProxyType({**one.kernels, **other.kernels}),
        cases=MappingProxyType({**one.cases, **other.cases}),
    )
