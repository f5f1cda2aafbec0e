"""The documented facts: which upstream kernel first had a feature, from public sources named in each record.

The files are `data/documented/<kind>.jsonl`, one record per line in alphabetical order of names, so that a
correction is a change of one line. `data/documented/README.md` says what the fields mean. What is read here
is checked as far as an answer depends on it; `harness.features.datacheck` checks all of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.errors import UserError
from harness.features.types import FeatureKind
from harness.model import KernelVersion, Origin

FOLDER = Path(__file__).parent / "data" / "documented"
COMMIT_URL = "https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/commit/?id="
_NO_VERSIONS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Documented:
    """One record. Versions are upstream's ("5.8"); distributions backport, so they predict and do not decide.

    Program types are short lower-case names; an empty tuple says that nothing is documented about them.
    """

    kind: FeatureKind
    name: str
    since: str
    source: str
    commit: str | None = None
    subkind: str = ""  # what a language feature is about: "isa", "btf", "helper_flag", …
    id: int | None = None  # the number in the UAPI's enumeration
    aliases: tuple[str, ...] = ()
    note: str = ""
    agree: tuple[str, ...] = ()
    verified_by: tuple[str, ...] = ()
    disagreement: Mapping[str, str] = field(default_factory=lambda: _NO_VERSIONS)  # source -> its version
    program_types: tuple[str, ...] = ()
    program_types_since: Mapping[str, str] = field(default_factory=lambda: _NO_VERSIONS)
    program_types_until: Mapping[str, str] = field(default_factory=lambda: _NO_VERSIONS)  # not in this one
    # No source lists these; the oldest measured series whose programs of the type may call it.
    program_types_measured: Mapping[str, str] = field(default_factory=lambda: _NO_VERSIONS)
    program_types_disputed: tuple[str, ...] = ()  # one source lists them, the others do not
    map_types: tuple[str, ...] = ()
    absent_in: tuple[str, ...] = ()  # series between that lack it
    removed: str | None = None  # the first version without it

    @property
    def commit_url(self) -> str | None:
        """The page of the commit that brought the feature, where one is known."""
        return COMMIT_URL + self.commit if self.commit else None


Records = Mapping[tuple[FeatureKind, str], Documented]


@cache
def documented(folder: Path = FOLDER) -> Records:
    """All records by kind and name.

    Raises UserError with file:line for a line that is no JSON object, has no name, version or source, or
    stands a second time.
    """
    records: dict[tuple[FeatureKind, str], Documented] = {}
    for kind in FeatureKind:
        path = folder / f"{kind}.jsonl"
        if path.is_file():
            _read(path, kind, records)
    return MappingProxyType(records)


def _read(path: Path, kind: FeatureKind, records: dict[tuple[FeatureKind, str], Documented]) -> None:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            record = _record(kind, json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            what = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
            raise UserError(
                f"not a documented feature: {what}",
                where=Origin(path, number),
                hint="data/documented/README.md beside it says how a record looks",
            ) from error
        if (kind, record.name) in records:
            raise UserError(f"{record.name} stands here a second time", where=Origin(path, number))
        records[kind, record.name] = record


def _record(kind: FeatureKind, data: dict[str, Any]) -> Documented:
    for version in (data["since"], *data.get("program_types_since", {}).values()):
        KernelVersion.parse(version)
    return Documented(
        kind=kind,
        name=data["name"],
        since=data["since"],
        source=data["source"],
        commit=data.get("commit"),
        subkind=data.get("subkind", ""),
        id=data.get("id"),
        aliases=tuple(data.get("aliases", ())),
        note=data.get("note", ""),
        agree=tuple(data.get("agree", ())),
        verified_by=tuple(data.get("verified_by", ())),
        disagreement=MappingProxyType(data.get("disagreement", {})),
        program_types=tuple(data.get("program_types", ())),
        program_types_since=MappingProxyType(data.get("program_types_since", {})),
        program_types_until=MappingProxyType(data.get("program_types_until", {})),
        program_types_measured=MappingProxyType(data.get("program_types_measured", {})),
        program_types_disputed=tuple(data.get("program_types_only_in_bcc", ())),
        map_types=tuple(data.get("map_types", ())),
        absent_in=tuple(data.get("absent_in", ())),
        removed=data.get("removed"),
    )
