"""What went before a night: the last answers of each kernel, and releases that are still in the cache."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from harness.catalog.kernels import KernelSpec
from harness.errors import HarnessError
from harness.kernels.store import KernelStore
from harness.model import HOST, Kernel
from harness.nightly.types import NightRecord, Refreshed, Selection
from harness.record import runfile
from harness.record.snapshot import Snapshot, snapshot

RUN = "run.json"
_LOOK_BACK = 14  # nights, for a kernel that was broken in the last ones


def night_before(
    nights: Path, records: Sequence[NightRecord], selection: Selection, kernels: Collection[str]
) -> tuple[Snapshot | None, tuple[str, ...]]:
    """Put the last answers of each kernel together, and say which of them are older than the last night.

    `records` are the nights there are, the latest first; only those of the same selection count. A kernel
    that could not be had in the last night is compared with the last one it ran in.
    """
    alike = [record for record in records if record.selection == selection][:_LOOK_BACK]
    found: Snapshot | None = None
    notes: list[str] = []
    for record in alike:
        if found is not None and set(kernels) <= set(found.kernels):
            break
        useful = {kernel.name for kernel in record.kernels if not kernel.problem}
        if found is not None and not useful & (set(kernels) - set(found.kernels)):
            continue
        try:
            taken = _working(snapshot(runfile.read(nights / record.name / RUN), record.name))
        except HarnessError as problem:
            notes.append(f"the night {record.name} cannot be read: {problem.what}")
            continue
        if found is not None:
            added = [name for name in taken.kernels if name in kernels and name not in found.kernels]
            notes += [f"{name} is compared with {record.name}, the last night it ran in" for name in added]
            taken = _only(taken, added)
        found = taken if found is None else _joined(found, taken)
    return found, tuple(notes)


def release_before(spec: KernelSpec, release: str, store: KernelStore | None = None) -> Kernel | None:
    """Return the kernel of this entry with that release from the cache; None when it is not kept."""
    kept = (store or KernelStore()).kept(spec)
    return next((kernel for kernel in kept if kernel.release == release), None)


def moved(refreshed: Refreshed, last: NightRecord | None) -> str:
    """Say how a kernel moved since the night before, or since the cache had it: `6.12.116 → 6.12.117`."""
    now = refreshed.now
    if now is None:
        return ""
    then = next((kernel for kernel in last.kernels if kernel.name == now.name), None) if last else None
    if then is not None and then.version:
        before, release = then.version, then.release
    elif refreshed.before is not None:
        before, release = str(refreshed.before.version), refreshed.before.release
    else:
        return ""
    if before != str(now.version):
        return f"{before} → {now.version}"
    return f"{release} → {now.release}" if release != now.release else ""


def _working(taken: Snapshot) -> Snapshot:
    """Leave out kernels something was wrong with: they say nothing of what the programs did."""
    return _only(taken, [name for name, state in taken.kernels.items() if state.problem is None], host=True)


def _only(taken: Snapshot, names: Collection[str], *, host: bool = False) -> Snapshot:
    kernels = {name: taken.kernels[name] for name in names}
    cases = {key: item for key, item in taken.cases.items() if key[0] in kernels or (host and key[0] == HOST)}
    return replace(taken, kernels=MappingProxyType(kernels), cases=MappingProxyType(cases))


def _joined(newer: Snapshot, older: Snapshot) -> Snapshot:
    return replace(
        newer,
        kernels=MappingProxyType({**older.kernels, **newer.kernels}),
        cases=MappingProxyType({**older.cases, **newer.cases}),
    )
