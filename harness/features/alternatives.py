"""What to use instead of a feature a kernel lacks, where practice has an established answer.

`data/alternatives.jsonl` holds one feature per line with the words, what they are taken from, and the
features the alternative itself needs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.errors import UserError
from harness.features.names import Feature
from harness.features.types import FeatureKind
from harness.model import Origin

FILE = Path(__file__).parent / "data" / "alternatives.jsonl"


@dataclass(frozen=True, slots=True)
class Alternative:
    """What does the same work on older kernels. `source` is where that is done or recommended."""

    text: str
    needs: tuple[Feature, ...]
    source: str


@cache
def alternatives(path: Path = FILE) -> dict[Feature, Alternative]:
    """All of them, by the feature they stand in for. UserError with file:line for a line that is none."""
    found: dict[Feature, Alternative] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            data = json.loads(line)
            needs = tuple(Feature(FeatureKind(kind), name) for kind, name in data.get("needs", ()))
            alternative = Alternative(data["instead"], needs, data["source"])
            found[Feature(FeatureKind(data["kind"]), data["name"])] = alternative
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"not an alternative: {error!r}", where=Origin(path, number)) from error
    return found
