"""What to use instead: of features that exist, and older than what they stand in for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.features.alternatives import FILE, alternatives
from harness.features.ask import number
from harness.features.datacheck import check_lines
from harness.features.documented import documented
from harness.features.names import Feature
from harness.features.types import FeatureKind


def test_the_alternatives_are_in_order() -> None:
    check_lines(FILE, "alternatives")


@pytest.mark.parametrize("feature", alternatives(), ids=str)
def test_an_alternative_needs_only_what_is_older(feature: Feature) -> None:
    records = documented()
    since = number(records[feature.kind, feature.name].since)
    for need in alternatives()[feature].needs:
        assert number(records[need.kind, need.name].since) < since


def test_the_ring_buffers_alternative_is_the_perf_buffer() -> None:
    found = alternatives()[Feature(FeatureKind.HELPER, "bpf_ringbuf_output")]
    assert Feature(FeatureKind.HELPER, "bpf_perf_event_output") in found.needs


@pytest.mark.parametrize(
    "record",
    [
        {"name": "bpf_x", "kind": "helpers", "instead": "y", "source": "z"},
        {"name": "bpf_x", "kind": "helper", "source": "z"},
        {"name": "bpf_x", "kind": "helper", "instead": "y", "source": "z", "needs": [["helper"]]},
        [],
    ],
)
def test_a_broken_line_is_told_by_its_place(tmp_path: Path, record: object) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(record) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"a\.jsonl:1: not an alternative"):
        alternatives(path)
