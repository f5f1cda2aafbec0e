"""The baseline: what every case is known to give, one file per kernel series, moved by one command only.

Files stand below `reports/baseline/`, named after the kernel (`6.12.txt`, `host.txt`), and are committed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote, unquote

from harness.errors import UserError
from harness.model import HOST, Run
from harness.record.atomic import replacing
from harness.record.baselinefile import SCHEMA, dump, load, schema_of
from harness.record.changes import Thresholds
from harness.record.snapshot import CaseRecord, KernelState, Snapshot, snapshot

LABEL = "baseline"
FOLDER = Path("reports/baseline")
_SUFFIX = ".txt"
_MAKE = "bpfmatrix run, then bpfmatrix baseline update"
_TAG = re.compile(r"\+[^+\[\]]*\]$")


@dataclass(frozen=True, slots=True)
class Move:
    """What an update does to one file, and what it leaves as it was."""

    kernel: str
    path: Path
    old: str  # the text before, "" where there was none
    new: str
    kept: tuple[str, ...] = ()  # cases of the catalogue the run has no answer for: as before
    flaky: tuple[str, ...] = ()  # gave several answers: as before

    def diff(self) -> str:
        """Return the unified diff; "" when nothing moves."""
        lines = difflib.unified_diff(
            self.old.splitlines(keepends=True),
            self.new.splitlines(keepends=True),
            f"a/{self.path.name}" if self.old else "/dev/null",
            f"b/{self.path.name}",
            n=0,
        )
        return "".join(lines)


def baseline_path(folder: Path, kernel: str) -> Path:
    """Return the file of a kernel series; names are written so that none leads elsewhere."""
    return folder / f"{quote(kernel, safe='+')}{_SUFFIX}"


def baseline_kernels(folder: Path) -> tuple[str, ...]:
    """Return the kernels there is a baseline of, the host's rows left out."""
    names = sorted(unquote(path.name.removesuffix(_SUFFIX)) for path in folder.glob(f"*{_SUFFIX}"))
    return tuple(name for name in names if name != HOST)


def read_baseline(folder: Path, kernels: Iterable[str] | None = None) -> Snapshot:
    """Read the baseline of `kernels` (default: of all there are) and of the host.

    UserError for a kernel without one, a damaged file, or one of another schema.
    """
    wanted = tuple(kernels) if kernels is not None else baseline_kernels(folder)
    if not wanted and not baseline_path(folder, HOST).exists():
        raise UserError("there is no baseline yet", where=str(folder), hint=_MAKE)
    states: dict[str, KernelState] = {}
    cases: dict[tuple[str, str], CaseRecord] = {}
    for name in (*wanted, HOST):
        path = baseline_path(folder, name)
        if name == HOST and not path.exists():
            continue
        kernel, records = _read(path, name)
        cases.update({(kernel, item.case): item for item in records})
        if name != HOST:
            states[kernel] = _state(kernel, records)
    return Snapshot(LABEL, MappingProxyType(states), MappingProxyType(cases))


def plan_update(
    folder: Path,
    run: Run,
    keep: Callable[[str], bool] = lambda _id: True,
    catalogue: frozenset[str] | None = None,
    kernels: Iterable[str] | None = None,
) -> tuple[Move, ...]:
    """Work out what moving the baseline to `run` changes; nothing is written.

    Only cases whose id (with the kernel) `keep` wants move, on `kernels` only where they are named. A case
    the run has no one answer for stays as it was, unless `catalogue` (ids without kernel) no longer has it.
    """
    taken = snapshot(run)
    names = tuple(dict.fromkeys(kernel for kernel, _ in taken.cases))
    wanted = set(names if kernels is None else kernels)
    return tuple(_move(folder, taken, name, keep, catalogue) for name in names if name in wanted)


def write_update(moves: Iterable[Move]) -> None:
    """Write the files that change, each atomically."""
    for move in moves:
        if move.new != move.old:
            with replacing(move.path) as file:
                file.write(move.new)


def _read(path: Path, kernel: str) -> tuple[str, tuple[CaseRecord, ...]]:
    if not path.is_file():
        raise UserError(
            f"there is no baseline of kernel {kernel}",
            where=str(path),
            hint=f"bpfmatrix run --kernel {kernel}, then bpfmatrix baseline update --kernel {kernel}",
        )
    name, records = load(_text(path), path)
    if name != kernel:
        raise UserError(f"this is the baseline of kernel {name!r}, not of {kernel!r}", where=str(path))
    return name, records


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UserError(f"cannot be read: {reason}", where=str(path)) from error


def _state(kernel: str, records: Iterable[CaseRecord]) -> KernelState:
    """Describe the kernel most cases were measured on."""
    seen = [item.under for item in records]
    most = max(seen, key=seen.count, default=None) if len(set(seen)) > 1 else next(iter(seen), None)
    return KernelState(kernel, most.version, most.release) if most else KernelState(kernel)


def _move(
    folder: Path,
    taken: Snapshot,
    kernel: str,
    keep: Callable[[str], bool],
    catalogue: frozenset[str] | None,
) -> Move:
    path = baseline_path(folder, kernel)
    text, old = _before(path, kernel)
    measured = {case: item for (name, case), item in taken.cases.items() if name == kernel}
    programs = {case.partition("[")[0] for case in measured}
    new = dict(old)
    for case in old:
        if case not in measured and keep(f"{case}@{kernel}") and _gone(case, catalogue, programs):
            del new[case]
    chosen = {case: item for case, item in measured.items() if keep(f"{case}@{kernel}")}
    for case, item in chosen.items():
        if item.answer.known and not item.flaky:
            new[case] = _quiet(old.get(case), item)
    return Move(
        kernel,
        path,
        text,
        dump(kernel, new.values()) if new else "",
        kept=tuple(case for case in new if case in old and _not_measured(case, measured, kernel, keep)),
        flaky=tuple(case for case, item in chosen.items() if item.flaky),
    )


def _before(path: Path, kernel: str) -> tuple[str, Mapping[str, CaseRecord]]:
    """Return a file's text and records; of an older schema only the text, to be replaced whole."""
    if not path.exists():
        return "", {}
    text = _text(path)
    if schema_of(text, path) < SCHEMA:
        return text, {}
    return text, {item.case: item for item in _read(path, kernel)[1]}


def _gone(case: str, catalogue: frozenset[str] | None, programs: set[str]) -> bool:
    """Whether a case does not exist any more, as far as the catalogue and the run's programs tell."""
    if catalogue is None or _TAG.sub("]", case) in catalogue:
        return False
    program = case.partition("[")[0]
    return program in programs or program.startswith("programs/")


def _not_measured(
    case: str, measured: Mapping[str, CaseRecord], kernel: str, keep: Callable[[str], bool]
) -> bool:
    item = measured.get(case)
    return keep(f"{case}@{kernel}") and (item is None or not item.answer.known)


def _quiet(old: CaseRecord | None, new: CaseRecord) -> CaseRecord:
    """Keep the old time where the new one is no change: times differ in every run, and diffs are read."""
    if old is None or old.time_us is None or new.time_us is None or old.under.accel != new.under.accel:
        return new
    limits = Thresholds()
    least, most = sorted((old.time_us, new.time_us))
    same = most - least < limits.time_floor_us or most <= least * (1 + limits.time_percent / 100)
    return replace(new, time_us=old.time_us) if same else new
