"""What a night that was killed had finished: whole kernels, taken over by the next when nothing changed.

`plan.json` says of what a measurement was made (kernels, objects, settings, harness); only a night with the
same plan, begun at most twelve hours later, goes on where the killed one was.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness.errors import HarnessError
from harness.guest.options import GuestOptions
from harness.model import BuiltObject, CaseResult, Kernel, KernelRun, Run
from harness.plan import PlannedCase
from harness.record import runfile
from harness.record.atomic import replacing
from harness.record.fingerprint import harness_digest, source_digest

SCHEMA = 1
_LONGEST = timedelta(hours=12)


class Journal:
    """The finished kernels of the night in `work`. Safe for threads: a kernel is a file of its own."""

    def __init__(self, work: Path, plan: str, now: datetime | None = None) -> None:
        """Take over what lies in `work` where it is of the same plan, else begin anew."""
        self._kernels = work / "kernels"
        self.start = _stamp(now or datetime.now(UTC))
        begun = _begun(work / "plan.json", plan)
        if begun is not None and timedelta() <= (now or datetime.now(UTC)) - begun <= _LONGEST:
            self.start = _stamp(begun)
            return
        shutil.rmtree(work, ignore_errors=True)
        self._kernels.mkdir(parents=True)
        with replacing(work / "plan.json") as file:
            file.write(json.dumps({"schema": SCHEMA, "plan": plan, "start": self.start}) + "\n")

    def keep(self, kernel: KernelRun, rows: Sequence[CaseResult]) -> None:
        """Keep a finished kernel, unless something broke: that is to be tried again."""
        if kernel.problem is None and rows:
            runfile.write(_run_of(kernel, rows, self.start), self._kernels / f"{_safe(kernel.name)}.json")

    def taken_over(self) -> tuple[tuple[KernelRun, tuple[CaseResult, ...]], ...]:
        """Read the kernels that are done; a file that is not whole is no kernel that is done."""
        found = []
        for path in sorted(self._kernels.glob("*.json")):
            try:
                run = runfile.read(path)
            except HarnessError:
                continue
            found.append((run.kernels[0], run.cases))
        return tuple(found)


def plan_of(kernels: Iterable[Kernel], planned: Iterable[PlannedCase], guest: GuestOptions) -> str:
    """Hash everything answers depend on."""
    hasher = hashlib.sha256(harness_digest().encode())
    for kernel in kernels:
        words = (kernel.name, kernel.release, kernel.sha256, kernel.boot_args, kernel.memory_mib, kernel.cpus)
        hasher.update(repr((*words, str(kernel.external_btf or ""))).encode())
    for entry in planned:
        built = entry.built
        digest = built.sha256 if isinstance(built, BuiltObject) else built.message
        hasher.update(
            f"{entry.case.id}\0{source_digest(entry.case, built.source, digest)}\0{digest}\n".encode()
        )
    hasher.update(json.dumps(asdict(guest), sort_keys=True).encode())
    return hasher.hexdigest()


def _begun(path: Path, plan: str) -> datetime | None:
    """When the night with this plan began; None for another plan, or what is no plan."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if (data["schema"], data["plan"]) != (SCHEMA, plan):
            return None
        return datetime.strptime(data["start"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _run_of(kernel: KernelRun, rows: Sequence[CaseResult], start: str) -> Run:
    empty = Run(kernel.name, start, start, "", {}, (), ())
    return replace(empty, kernels=(kernel,), cases=tuple(rows))


def _safe(name: str) -> str:
    return name.replace("/", "_")
