"""Contradictions between documents and kernels: found, explained, and loud when they are news."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from features_support import feature, finding, kernel

from harness.cli import main
from harness.errors import UserError
from harness.features import disagreements as room
from harness.features import measured
from harness.features.datacheck import check_lines
from harness.features.disagreements import disagreements, explain, explanations, unexplained, unused
from harness.features.documented import documented
from harness.features.types import FeatureKind, MeasuredFeature, Support
from harness.report.disagreements import render

HELPER, MAP = FeatureKind.HELPER, FeatureKind.MAP_TYPE
BACKPORT = {
    "kind": "helper",
    "names": ["bpf_lo*"],
    "measured": "yes",
    "reason": "backport",
    "why": "this kernel took the helper from 5.17",
    "source": "its changelog, or so we say",
    "kernels": ["old"],
}


@pytest.fixture
def old() -> measured.MeasuredKernel:
    """A 5.10 with a backport, a map type left out, and program types that lack a helper."""
    return kernel(
        "old",
        "5.10.1",
        [
            feature(HELPER, "bpf_loop", "yes", "kprobe"),
            feature(MAP, "BPF_MAP_TYPE_RINGBUF", "no"),
            feature(MAP, "BPF_MAP_TYPE_HASH", "yes"),
            feature(MAP, "BPF_MAP_TYPE_ARENA", "unknown"),
            MeasuredFeature(
                HELPER, "bpf_ktime_get_ns", ((finding("yes"), ("kprobe",)), (finding("no"), ("xdp", "lsm")))
            ),
        ],
    )


def write(path: Path, *records: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_contradictions_are_found_whole_or_by_program_type(old: measured.MeasuredKernel) -> None:
    found = disagreements(documented(), [old])
    assert [
        (each.feature.name, each.predicted, str(each.measured), each.program_types) for each in found
    ] == [
        ("bpf_ktime_get_ns", "documented for these programs since 5.7", "no", ("lsm",)),
        ("bpf_ktime_get_ns", "documented for these programs since 4.8", "no", ("xdp",)),
        ("bpf_loop", "documented since 5.17", "yes", ()),
        ("BPF_MAP_TYPE_RINGBUF", "documented since 5.8", "no", ()),
    ]


def test_an_explanation_covers_what_it_names(old: measured.MeasuredKernel, tmp_path: Path) -> None:
    known = explanations(write(tmp_path / "e.jsonl", BACKPORT))
    found = disagreements(documented(), [old])
    loop = next(each for each in found if each.feature.name == "bpf_loop")
    assert explain(loop, known) == known[0]
    assert loop not in unexplained(found, known)
    assert {each.feature.name for each in unexplained(found, known)} == {
        "bpf_ktime_get_ns",
        "BPF_MAP_TYPE_RINGBUF",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"kernels": ["new"]},
        {"measured": "no"},
        {"kind": "kfunc"},
        {"names": ["bpf_l"]},
        {"program_types": ["xdp"]},
    ],
)
def test_an_explanation_of_something_else_does_not(
    old: measured.MeasuredKernel, tmp_path: Path, change: dict[str, object]
) -> None:
    known = explanations(write(tmp_path / "e.jsonl", BACKPORT | change))
    found = disagreements(documented(), [old])
    expected = change.get("program_types") is not None  # it is about no program type, so all are covered
    assert any(explain(each, known) for each in found if each.feature.name == "bpf_loop") is expected
    assert bool(unused(found, known)) is not expected


def test_a_broken_explanation_is_told_by_its_place(tmp_path: Path) -> None:
    path = write(tmp_path / "e.jsonl", BACKPORT, BACKPORT | {"reason": "magic"})
    with pytest.raises(UserError, match=r"e\.jsonl:2: not an explanation"):
        explanations(path)
    with pytest.raises(UserError, match=r"e\.jsonl:2: reason: 'magic' is none of them"):
        check_lines(path, "explanations")


def test_the_packages_explanations_are_in_order() -> None:
    check_lines(room.FILE, "explanations")


def test_the_document_shows_news_first_and_escapes(old: measured.MeasuredKernel, tmp_path: Path) -> None:
    known = explanations(write(tmp_path / "e.jsonl", BACKPORT | {"why": "a | b <script> backported it"}))
    records = documented()
    text = render(records, [old], disagreements(records, [old]), known)
    assert text.index("## Not explained") < text.index("## Backported")
    assert "a \\| b \\<script\\> backported it" in text
    assert "`bpf_loop` (helper)" in text
    assert "bpf_csum_level" in text.partition("## Sources against each other")[2]


def test_the_command_fails_on_news_and_not_on_what_is_explained(
    old: measured.MeasuredKernel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    measured.write(old, tmp_path / "measured")
    monkeypatch.setattr(measured, "FOLDER", tmp_path / "measured")
    assert main(["disagreements", "--write", str(tmp_path / "d.md")]) == 1
    out = capsys.readouterr().out
    assert "old: bpf_loop (helper): documented since 5.17, yet measured yes" in out
    assert "## Not explained" in (tmp_path / "d.md").read_text(encoding="utf-8")
    assert {each.feature.name for each in room.news()} >= {"bpf_loop", "BPF_MAP_TYPE_RINGBUF"}
    measured.write(kernel("old", "5.10.1", [feature(MAP, "BPF_MAP_TYPE_HASH", "yes")]), tmp_path / "measured")
    assert room.news() == ()
    assert main(["disagreements"]) == 0


def test_a_kernels_answer_of_unknown_contradicts_nothing(old: measured.MeasuredKernel) -> None:
    names = {each.feature.name for each in disagreements(documented(), [old])}
    assert "BPF_MAP_TYPE_ARENA" not in names
    assert Support.UNKNOWN not in {each.measured for each in disagreements(documented(), [old])}


def test_the_document_is_what_the_command_writes(tmp_path: Path) -> None:
    committed = Path(__file__).resolve().parents[2] / "docs" / "disagreements.md"
    assert main(["disagreements", "--write", str(tmp_path / "d.md")]) == 0
    assert (tmp_path / "d.md").read_text("utf-8") == committed.read_text("utf-8")
