"""Hashes that tell why an answer may have changed: of what a program's author wrote, and of the harness."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from harness.model import Case, CaseResult, Claim, LoadSettings
from harness.record.scenariocodec import step_to_json
from harness.scenario import Check

_SHORT = 12  # hex digits, where a person reads them
# What takes part in a verdict. Reports, commands and records do not: they may change freely.
_ROOMS = ("build", "catalog", "guest", "model", "verdict")
_MODULES = ("crew.py", "execute.py", "pipeline.py", "plan.py", "scenario.py")
_SUFFIXES = (".py", ".c", ".h", ".yaml", ".json")
# Options of a run rather than the author's words, or places in files.
_NOT_THE_AUTHORS = ("time_limit_s", "line", "origin", "why")


def short(digest: str) -> str:
    """Return as much of a hash as a person compares."""
    return digest[:_SHORT]


def source_of(case: CaseResult) -> str:
    """Return the hash of what the author wrote; "" in files from before it was recorded."""
    return case.source_sha256


def source_digest(case: Case, text: str, object_sha256: str | None = None) -> str:
    """Hash what its author wrote of `case`: the rendered text, settings, scenario, checks and claims.

    `object_sha256` stands for the text of an object that was compiled elsewhere. Values that are as usual
    are left out, so a field that is added one day changes nothing for programs that do not use it.
    """
    variant = case.variant
    words = {
        "text": text or object_sha256 or "",
        "program": variant.bpf_program,
        "settings": _unusual(variant.settings),
        "scenario": [step_to_json(step) for step in variant.scenario],
        "checks": [_unusual(check) for check in variant.checks],
        "claims": [_unusual(claim) for claim in variant.claims],
    }
    plain = json.dumps(words, sort_keys=True, default=str)
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()


@cache
def harness_digest(root: Path | None = None) -> str:
    """Hash the harness's own files that take part in a verdict, the guest's agent among them."""
    hasher = hashlib.sha256()
    root = root or Path(__file__).parents[1]
    for file in _files(root):
        hasher.update(file.relative_to(root).as_posix().encode() + b"\0")
        hasher.update(hashlib.sha256(file.read_bytes()).digest())
    return hasher.hexdigest()


def _files(root: Path) -> Iterator[Path]:
    found = [root / name for name in _MODULES]
    for room in _ROOMS:
        found += [file for file in (root / room).rglob("*") if file.suffix in _SUFFIXES]
    yield from sorted(file for file in found if file.is_file() and "__pycache__" not in file.parts)


def _unusual(thing: LoadSettings | Check | Claim) -> dict[str, Any]:
    """Return the fields that are not at their default."""
    return {
        field.name: getattr(thing, field.name)
        for field in fields(thing)
        if field.name not in _NOT_THE_AUTHORS and getattr(thing, field.name) != field.default
    }
