"""Section names to program types and attach types, as libbpf reads them; the table is data/sections.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any


class AttachCheck(StrEnum):
    """When a program's attach type counts."""

    LOAD = "load"  # the kernel checks it with the program
    ATTACH = "attach"  # only who attaches it needs it
    OPTIONAL = "optional"  # attaching works without


@dataclass(frozen=True, slots=True)
class SectionMeaning:
    """What a section's name says of the program in it; types by UAPI name, attach type "" for none.

    `target` is what the kernel's BTF must hold for the program to be loaded (a function, a typedef), or "".
    `autoload` is False for names that begin with `?`.
    """

    program_type: str
    attach_type: str = ""
    check: AttachCheck = AttachCheck.LOAD
    sleepable: bool = False
    flags: tuple[str, ...] = ()
    target: str = ""
    target_kind: str = ""
    autoload: bool = True


def meaning_of(section: str) -> SectionMeaning | None:
    """What libbpf makes of a section's name; None for one it does not know."""
    name = section.removeprefix("?")
    for entry in table("sections.json")["sections"]:
        prefix = entry["section"]
        plain = prefix.removesuffix("+")
        if name == plain or (plain != prefix and name.startswith(f"{plain}/")):
            return _meaning(entry, name[len(plain) + 1 :], autoload=name == section)
    return None


@cache
def table(name: str) -> Mapping[str, Any]:
    """A data file of this room."""
    parsed: Mapping[str, Any] = json.loads(files(__package__).joinpath("data", name).read_bytes())
    return parsed


def _meaning(entry: Mapping[str, Any], rest: str, *, autoload: bool) -> SectionMeaning:
    return SectionMeaning(
        f"BPF_PROG_TYPE_{entry['program_type']}",
        entry["attach_type"],
        AttachCheck(entry.get("at", "load")),
        entry.get("sleepable", False),
        tuple(entry.get("flags", ())),
        entry["target"].format(rest.partition("+")[0]) if rest and "target" in entry else "",
        entry.get("target_kind", ""),
        autoload,
    )
