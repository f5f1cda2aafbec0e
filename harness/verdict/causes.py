"""The named causes of `causes.yaml`: loading them, and finding the one that fits the evidence."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from harness.catalog.yamlfile import Document, load
from harness.errors import UserError
from harness.model import Stage, VersionRange

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
class Cause:
    """Why something was rejected, in words for a person: what happened, and what to do."""

    id: str
    title: str
    stages: frozenset[Stage]
    errnos: frozenset[str]
    facts: frozenset[str]
    patterns: tuple[re.Pattern[str], ...]
    kernels: VersionRange
    explanation: str
    fix: str
    pitfalls: tuple[str, ...]
    samples: tuple[Sample, ...]

    def fits(self, evidence: Evidence) -> bool:
        """Whether stage and errno agree and, where any are named, a fact holds or a pattern is found."""
        if evidence.stage is not None and evidence.stage not in self.stages:
            return False
        if self.errnos and evidence.errno not in self.errnos:
            return False
        if not self.facts and not self.patterns:
            return True
        if self.facts & evidence.facts:
            return True
        return any(pattern.search(evidence.text) for pattern in self.patterns)


_UNKNOWN = Cause(
    id=UNCLASSIFIED,
    title="No rule knows this rejection",
    stages=frozenset(Stage),
    errnos=frozenset(),
    facts=frozenset(),
    patterns=(),
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
    try:
        kernels = VersionRange.parse(raw.get("kernels", "*"))
    except ValueError as error:
        raise UserError(str(error), where=document.origin((*here, "kernels"))) from error
    return Cause(
        id=raw["id"],
        title=raw["title"],
        stages=frozenset(Stage(name) for name in raw["stages"]),
        errnos=frozenset(raw.get("errnos", ())),
        facts=frozenset(raw.get("facts", ())),
        patterns=tuple(
            _pattern(document, (*here, "patterns", number), text)
            for number, text in enumerate(raw.get("patterns", ()))
        ),
        kernels=kernels,
        explanation=raw["explanation"],
        fix=raw["fix"],
        pitfalls=tuple(raw.get("pitfalls", ())),
        samples=tuple(_sample(raw, sample) for sample in raw["samples"]),
    )


def _pattern(document: Document, path: tuple[str | int, ...], text: str) -> re.Pattern[str]:
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
