"""What is asked with system calls, as `data/probe/calls.yaml` has it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from harness.catalog.yamlfile import load
from harness.features.documented import documented
from harness.features.probe.attempts import DATA
from harness.features.probe.compose import Step
from harness.features.types import FeatureKind

_MAP_CREATE = "BPF_MAP_CREATE"


@dataclass(frozen=True, slots=True)
class Question:
    """How one feature is asked about.

    The last step is `step`, or the making of `thing`; `program` is loaded before it and is its `@program`.
    `speaker` is the feature on whose behalf the steps are made, mostly the one asked about. `flag` and
    `unknown` are what a flag's question sets besides the step, and a flag no kernel has.
    """

    kind: FeatureKind
    name: str
    number: int | None
    step: Step = field(default_factory=dict)
    thing: str = ""
    program: Step = field(default_factory=dict)
    otherwise: Step = field(default_factory=dict)  # another last step, for kernels that have not the first
    speaker: tuple[str, int | None] = ("", None)
    known: frozenset[str] = frozenset()
    function: str = ""
    flag: Mapping[str, Any] = field(default_factory=dict)
    unknown: Mapping[str, Any] = field(default_factory=dict)
    unseen_number: bool = False  # the calls may not look at the number: one no kernel has is tried as well


@dataclass(frozen=True, slots=True)
class Catalog:
    """All questions of the file, and the things their steps refer to."""

    things: Mapping[str, Step]
    questions: tuple[Question, ...]
    functions: Mapping[str, str]

    def of(self, kind: FeatureKind) -> tuple[Question, ...]:
        """The questions about one kind, in the file's order."""
        return tuple(question for question in self.questions if question.kind is kind)


@cache
def catalog(path: Path = DATA / "calls.yaml") -> Catalog:
    """The file's questions; UserError where it is against its schema."""
    schema = json.loads(path.with_suffix(".schema.json").read_text(encoding="utf-8"))
    data: Mapping[str, Any] = load(path, schema).data
    found = [
        _question(kind, name, entry or {}, data)
        for kind in (
            FeatureKind.MAP_TYPE,
            FeatureKind.MAP_FLAG,
            FeatureKind.PROGRAM_FLAG,
            FeatureKind.COMMAND,
            FeatureKind.ATTACH_TYPE,
            FeatureKind.LINK_TYPE,
        )
        for name, entry in data[f"{kind}s"].items()
    ]
    return Catalog(data["things"], tuple(found), data["functions"])


def number_of(kind: FeatureKind, name: str) -> int | None:
    """A feature's documented number in the UAPI's enumeration."""
    record = documented().get((kind, name))
    return record.id if record else None


def _question(kind: FeatureKind, name: str, entry: Mapping[str, Any], data: Mapping[str, Any]) -> Question:
    speaker = (name, number_of(kind, name))
    said = entry
    if kind is FeatureKind.MAP_TYPE:
        said = {"bpf": _MAP_CREATE, "with": {"map_type": "$number", **entry}}
    if "like" in entry:
        speaker = (entry["like"], number_of(FeatureKind.ATTACH_TYPE, entry["like"]))
        said = data["attach_types"][entry["like"]]
    step, program = _step(said, data)
    otherwise = step.get("otherwise", "")
    return Question(
        kind=kind,
        name=name,
        number=number_of(kind, name),
        step=step,
        thing=said.get("thing", ""),
        program=program,
        otherwise=data["ways"][otherwise] if otherwise and kind is FeatureKind.ATTACH_TYPE else {},
        speaker=speaker,
        known=frozenset(entry.get("known", ())),
        function=data["functions"].get(name, ""),
        flag=entry.get("flag", {}),
        unknown=entry.get("unknown", {}),
        unseen_number=entry.get("unseen_number", False),
    )


def _step(said: Mapping[str, Any], data: Mapping[str, Any]) -> tuple[Step, Step]:
    """The last step, and the program loaded before it, which is attached as what is asked about."""
    program = said.get("program", {})
    if isinstance(program, str):
        return said, {}
    program = {"attach": "$name", **program} if program else {}
    if "way" in said:
        return data["ways"][said["way"]], program
    step = {key: value for key, value in said.items() if key != "program"}
    return step if "bpf" in step or "call" in step else {}, program
