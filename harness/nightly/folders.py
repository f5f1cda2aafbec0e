"""The nights on disk: a folder each, made somewhere hidden and renamed into place when whole.

    nightly/.lock                one night at a time; the kernel lets go of it when its holder dies
    nightly/.work/               the night being made: plan.json, kernels/ (those done), night/ (its files)
    nightly/.gone/               nights that are being removed
    nightly/2026-11-25/          a finished night; a second one of the same date is 2026-11-25-2
    nightly/index.html           the page over all of them

Whatever moment a night is killed at, a folder with a date in its name is complete.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from harness.errors import InfrastructureError
from harness.nightly.types import KernelNight, NightRecord, Selection
from harness.record.atomic import replacing

SCHEMA = 1
RECORD = "night.json"
_NAME = re.compile(r"\d{4}-\d\d-\d\d(-\d+)?")


@contextlib.contextmanager
def only_night(nights: Path) -> Iterator[None]:
    """Hold the folder of the nights for oneself; InfrastructureError while another night is being made."""
    nights.mkdir(parents=True, exist_ok=True)
    lock = FileLock(nights / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InfrastructureError(
            "another night is being made", where=str(nights), hint="wait until it has ended"
        ) from error
    try:
        for draft in nights.glob(".*.tmp"):  # of a page whose writer was killed
            draft.unlink(missing_ok=True)
        yield
    finally:
        lock.release()


def finished(nights: Path) -> tuple[NightRecord, ...]:
    """Records of the nights there are, the latest first; folders without a readable one are passed over."""
    if not nights.is_dir():
        return ()
    found = [read(folder) for folder in nights.iterdir() if _NAME.fullmatch(folder.name)]
    return tuple(sorted((record for record in found if record), key=lambda night: -night.number))


def read(folder: Path) -> NightRecord | None:
    """Read a night's record; None where there is none of a schema we know."""
    try:
        data: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if data.pop("schema") != SCHEMA:
            return None
        chosen: dict[str, Any] = data["selection"]
        data |= {
            "name": folder.name,
            "selection": Selection(chosen["keyword"], tuple(chosen["programs"]), tuple(chosen["clang"])),
            "kernels": tuple(KernelNight(**kernel) for kernel in data["kernels"]),
            "notes": tuple(data["notes"]),
        }
        return NightRecord(**data)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_record(record: NightRecord, folder: Path) -> None:
    """Write `night.json`; its folder's name is not in it, which a person may rename."""
    data = {"schema": SCHEMA, **asdict(record)}
    del data["name"]
    with replacing(folder / RECORD) as file:
        file.write(json.dumps(data, indent=1, ensure_ascii=True) + "\n")


def free_name(nights: Path, date: str) -> str:
    """Return the name of the next night of `date`."""
    name, number = date, 1
    while (nights / name).exists():
        number += 1
        name = f"{date}-{number}"
    return name


def work_folder(nights: Path) -> Path:
    """Where the night that is being made lies."""
    return nights / ".work"


def draft_folder(nights: Path) -> Path:
    """Return a new, empty folder for the files of a night; what a killed night left there goes."""
    draft = work_folder(nights) / "night"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    return draft


def publish(draft: Path, nights: Path, name: str) -> Path:
    """Rename a finished draft into its place, which survives a power cut, and forget the work."""
    target = nights / name
    _sync(draft)
    draft.rename(target)
    _sync(nights)
    shutil.rmtree(work_folder(nights), ignore_errors=True)
    return target


def forget(nights: Path, records: Sequence[NightRecord], keep: int) -> None:
    """Remove all but the latest `keep` nights of each selection.

    `records` are the nights there are, the latest first. A night leaves its place by a rename: killed at any
    moment, no half of one is left there. Raises InfrastructureError where the folder does not allow it.
    """
    gone = nights / ".gone"
    seen: Counter[Selection] = Counter()
    try:
        for record in records:
            seen[record.selection] += 1
            if seen[record.selection] > keep:
                gone.mkdir(exist_ok=True)
                (nights / record.name).rename(gone / f"{record.number}-{record.name}")
    except OSError as error:
        raise InfrastructureError(f"cannot be removed: {error.strerror}", where=str(nights)) from error
    finally:
        shutil.rmtree(gone, ignore_errors=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
