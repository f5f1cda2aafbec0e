"""One kernel measured: everything asked of its guest, and the file that says so."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from harness.features.documented import documented
from harness.features.measured import MeasuredKernel, raw_features
from harness.features.probe.environment import environment
from harness.features.probe.kinds import PROBES
from harness.features.probe.respondent import Respondent
from harness.features.probe.subject import Subject
from harness.features.types import FeatureKind, MeasuredFeature
from harness.model import Kernel
from harness.verdict.splat import splat_lines

_ARCH = "x86_64"  # of every guest (harness.guest.qemu)
_SOURCES = ("*.py", "../data/probe/*.yaml")
# How guests are started, replaced and shared out changes no answer.
_NO_PART = ("measure.py", "crew.py", "respondent.py", "environment.py")


class Watch(Protocol):
    """Whoever watches; called from several threads."""

    def starting(self, kernel: str) -> None:
        """A guest is being booted or restored."""

    def ready(self, kernel: str, text: str) -> None:
        """It answers; `text` says which release it is and how it came up."""

    def asking(self, kernel: str, kind: FeatureKind) -> None:
        """Everything of a kind is being asked."""

    def asked(self, kernel: str, kind: FeatureKind, features: list[MeasuredFeature], seconds: float) -> None:
        """It was asked."""

    def told(self, kernel: str, text: str) -> None:
        """Something a person has to know: a guest that was lost, a kernel in trouble, one that never came."""


class Unwatched:
    """A watch nobody looks at."""

    def starting(self, kernel: str) -> None:
        """Ignore it."""

    def ready(self, kernel: str, text: str) -> None:
        """Ignore it."""

    def asking(self, kernel: str, kind: FeatureKind) -> None:
        """Ignore it."""

    def asked(self, kernel: str, kind: FeatureKind, features: list[MeasuredFeature], seconds: float) -> None:
        """Ignore it."""

    def told(self, kernel: str, text: str) -> None:
        """Ignore it."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """A kernel's answers, the seconds each kind took, and what went wrong meanwhile."""

    measured: MeasuredKernel
    seconds: Mapping[FeatureKind, float]
    losses: tuple[str, ...]  # why guests were lost
    broken: int  # batches that a load ended
    splats: tuple[str, ...]  # the kernel's own words of trouble


def measure(kernel: Kernel, respondents: Sequence[Respondent], watch: Watch) -> Measurement:
    """Ask a kernel everything, kinds side by side in as many guests as there are respondents.

    InfrastructureError when no guest of it starts, or too many were lost. `seconds` of the result begin when
    the guests are ready, booted or restored.
    """
    watch.starting(kernel.name)
    with ThreadPoolExecutor(len(respondents)) as pool:
        guest, *_ = pool.map(lambda one: one.guest, respondents)
        how = f"{guest.assets.accel}, restored" if guest.restored else guest.assets.accel
        watch.ready(kernel.name, f"{guest.facts.release} ready in {guest.ready_seconds:.1f} s ({how})")
        started = time.monotonic()
        subject = Subject(respondents[0], kernel.btf.read_bytes() if kernel.btf else None)
        subjects = [subject, *map(subject.beside, respondents[1:])]
        kinds = deque(PROBES)
        parts = list(pool.map(lambda one: _ask(kernel.name, one, kinds, watch), subjects))
        # A QEMU does not outlive the thread that started it.
        settings = environment(respondents[0], kernel) | {"accel": guest.assets.accel}
        took = time.monotonic() - started
    features = [feature for part in parts for found, _ in part.values() for feature in found]
    measured = _record(kernel, guest.facts.release, guest.assets.agent, features, settings, took)
    seconds = {kind: spent for part in parts for kind, (_, spent) in part.items()}
    return Measurement(
        measured,
        {kind: seconds[kind] for kind in FeatureKind if kind in seconds},
        tuple(loss for one in respondents for loss in one.losses),
        sum(one.broken for one in subjects),
        splat_lines(line for one in subjects for line in one.kernel_messages),
    )


def _ask(
    kernel: str, subject: Subject, kinds: deque[FeatureKind], watch: Watch
) -> dict[FeatureKind, tuple[list[MeasuredFeature], float]]:
    """Take kinds off the list, which others take from as well, until there are none; seconds with each."""
    done: dict[FeatureKind, tuple[list[MeasuredFeature], float]] = {}
    try:
        while kinds:
            kind = kinds.popleft()
            watch.asking(kernel, kind)
            began = time.monotonic()
            found = PROBES[kind](subject)
            done[kind] = (found, time.monotonic() - began)
            watch.asked(kernel, kind, *done[kind])
    except BaseException:
        kinds.clear()  # nobody goes on for nothing
        raise
    return done


def _record(
    kernel: Kernel,
    release: str,
    agent: str,
    features: list[MeasuredFeature],
    settings: Mapping[str, str],
    seconds: float,
) -> MeasuredKernel:
    return MeasuredKernel(
        kernel=kernel.name,
        version=kernel.version,
        release=release,
        arch=_ARCH,
        source=kernel.source,
        package=kernel.package,
        package_version=kernel.package_version,
        sha256=kernel.sha256,
        config_sha256=config_sha256(kernel.config),
        date=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        agent=agent,
        probe=probe_digest(),
        seconds=round(seconds, 1),
        environment=MappingProxyType(dict(settings)),
        raw=raw_features(features),
    )


def config_sha256(config: Path | None) -> str | None:
    """The hash of a kernel's configuration; None where there is none."""
    return hashlib.sha256(config.read_bytes()).hexdigest() if config and config.is_file() else None


@cache
def probe_digest() -> str:
    """A hash of what is asked and how it is read: the probe's modules and data, the documented names."""
    hasher = hashlib.sha256()
    here = Path(__file__).parent
    for pattern in _SOURCES:
        for file in sorted(path for path in here.glob(pattern) if path.name not in _NO_PART):
            hasher.update(file.name.encode() + b"\0" + file.read_bytes())
    for (kind, name), record in sorted(documented().items()):
        hasher.update(f"{kind} {name} {record.id}\n".encode())
    return hasher.hexdigest()[:32]
