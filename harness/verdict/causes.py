"""The named causes of `causes.yaml`: loading them, and finding the one that fits the evidence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from harness.catalog.yamlfile import Document, NodePath, load
from harness.errors import UserError
from harness.model import KernelVersion, Stage, VersionRange

UNCLASSIFIED = "unclassified"
LACKS_CLAIM = "variant-lacks-claim"  # of an object that is not what its manifest says; never as expected


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a rule may look at: where it ended, the errno's name, the words, and computed facts.

    `text` holds sentences only (reasons, loader's log, a tool's message), never a listing of the program.
    """

    stage: Stage | None
    errno: str | None = None
    text: str = ""
    facts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Sample:
    """A quoted rejection with its origin; the tests classify every one."""

    text: str
    origin: str
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Wording:
    """One way a kernel or a tool says it, and the kernels that say it so."""

    pattern: re.Pattern[str]
    kernels: VersionRange


@dataclass(frozen=True, slots=True)
class Cause:
    """Why something was rejected, in words for a person: what happened, and what to do."""

    id: str
    title: str
    stages: frozenset[Stage]
    errnos: frozenset[str]
    facts: frozenset[str]
    wordings: tuple[Wording, ...]
    kernels: VersionRange
    explanation: str
    fix: str
    pitfalls: tuple[str, ...]
    samples: tuple[Sample, ...]

    def fits(self, evidence: Evidence) -> bool:
        """Whether stage and errno agree and, where any are named, a fact holds or a wording is found."""
        if evidence.stage is not None and evidence.stage not in self.stages:
            return False
        if self.errnos and evidence.errno not in self.errnos:
            return False
        if not self.facts and not self.wordings:
            return True
        if self.facts & evidence.facts:
            return True
        return any(wording.pattern.search(evidence.text) for wording in self.wordings)

    def said(self, text: str, kernel: KernelVersion | None = None) -> tuple[Wording, re.Match[str]] | None:
        """Return the first wording in `text`, one that `kernel` uses before others, and where it stands."""
        found = [(wording, match) for wording in self.wordings if (match := wording.pattern.search(text))]
        known = (pair for pair in found if kernel is None or kernel in pair[0].kernels)
        return next(known, found[0] if found else None)


_UNKNOWN = Cause(
    id=UNCLASSIFIED,
    title="No rule knows this rejection",
    stages=frozenset(Stage),
    errnos=frozenset(),
    facts=frozenset(),
    wordings=(),
    kernels=VersionRange("*"),
    explanation="Stage, errno and log are all there is; harness/verdict/causes.yaml has room for a rule.",
    fix="Read the log.",
    pitfalls=(),
    samples=(),
)


def find_cause(evidence: Evidence) -> Cause:
    """Return the first cause in the file's order that fits, else the one called `unclassified`."""
    return next((cause for cause in all_causes() if cause.fits(evidence)), _UNKNOWN)


def cause_by_id(name: str) -> Cause:
    """Return the cause called `name`; an unknown id (another version's run file) counts as unclassified."""
    return _by_id().get(name, _UNKNOWN)


@cache
def _by_id() -> Mapping[str, Cause]:
    return {cause.id: cause for cause in all_causes()}


@cache
def all_causes() -> tuple[Cause, ...]:
    """Every cause of the shipped file, in order."""
    return load_causes(Path(str(resources.files("harness.verdict").joinpath("causes.yaml"))))


def load_causes(path: Path) -> tuple[Cause, ...]:
    """Read a causes file; UserError with file:line for whatever is against the schema, or a bad pattern."""
    schema = json.loads(resources.files("harness.verdict").joinpath("causes.schema.json").read_text("utf-8"))
    document = load(path, schema)
    causes = tuple(_cause(document, index, raw) for index, raw in enumerate(document.data["causes"]))
    seen: set[str] = {UNCLASSIFIED}
    for index, cause in enumerate(causes):
        if cause.id in seen:
            raise UserError(
                f"the id {cause.id!r} is taken",
                where=document.origin(("causes", index, "id")),
                hint="rename it",
            )
        seen.add(cause.id)
    return causes


def _cause(document: Document, index: int, raw: Mapping[str, Any]) -> Cause:
    here = ("causes", index)
    kernels = _range(document, (*here, "kernels"), raw.get("kernels", "*"))
    return Cause(
        id=raw["id"],
        title=raw["title"],
        stages=frozenset(Stage(name) for name in raw["stages"]),
        errnos=frozenset(raw.get("errnos", ())),
        facts=frozenset(raw.get("facts", ())),
        wordings=tuple(_wordings(document, here, raw, kernels)),
        kernels=kernels,
        explanation=raw["explanation"],
        fix=raw["fix"],
        pitfalls=tuple(raw.get("pitfalls", ())),
        samples=tuple(_sample(raw, sample) for sample in raw["samples"]),
    )


def _wordings(
    document: Document, here: NodePath, raw: Mapping[str, Any], kernels: VersionRange
) -> Iterator[Wording]:
    """Yield the cause's patterns, which occur in the cause's range, then those with a range of their own."""
    for number, text in enumerate(raw.get("patterns", ())):
        yield Wording(_pattern(document, (*here, "patterns", number), text), kernels)
    for number, wording in enumerate(raw.get("wordings", ())):
        path = (*here, "wordings", number)
        yield Wording(
            _pattern(document, (*path, "pattern"), wording["pattern"]),
            _range(document, (*path, "kernels"), wording["kernels"]),
        )


def _range(document: Document, path: NodePath, text: str) -> VersionRange:
    try:
        return VersionRange.parse(text)
    except ValueError as error:
        raise UserError(str(error), where=document.origin(path)) from error


def _pattern(document: Document, path: NodePath, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.MULTILINE)
    except re.error as error:
        raise UserError(f"not a regular expression: {error}", where=document.origin(path)) from error


def _sample(cause: Mapping[str, Any], raw: Mapping[str, Any]) -> Sample:
    evidence = Evidence(
        stage=Stage(raw.get("stage", cause["stages"][0])),
        errno=raw.get("errno"),
        text=raw["text"],
        facts=frozenset(raw.get("facts", ())),
    )
    return Sample(raw["text"], raw["origin"], evidence)
