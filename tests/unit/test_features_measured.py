"""Measured files: what is written is read, and a broken one is told by its place."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from features_support import feature, finding, kernel

from harness.errors import UserError
from harness.features import measured
from harness.features.datacheck import check_measured
from harness.features.types import FeatureKind, MeasuredFeature, Support

LOOP = MeasuredFeature(
    FeatureKind.HELPER, "bpf_loop", ((finding("yes"), ("kprobe", "xdp")), (finding("no"), ("netfilter",)))
)
ARENA = MeasuredFeature(FeatureKind.MAP_TYPE, "BPF_MAP_TYPE_ARENA", ((finding("no"), ()),))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    made = kernel("6.12", "6.12.117", [LOOP, ARENA])
    path = measured.write(made, tmp_path)
    check_measured(path)
    assert path == tmp_path / "6.12.json"
    read = measured.read(path)
    assert read == made
    assert list(read.features()) == [LOOP, ARENA]
    assert list(tmp_path.iterdir()) == [path]


def test_one_feature_stands_on_one_line(tmp_path: Path) -> None:
    lines = measured.to_text(kernel("6.12", "6.12.117", [LOOP, ARENA])).splitlines()
    assert sum('"bpf_loop"' in line for line in lines) == 1
    assert next(line for line in lines if '"bpf_loop"' in line).endswith("]]]")


def test_a_kernel_without_features_is_written_and_read(tmp_path: Path) -> None:
    made = kernel("6.12", "6.12.117", [])
    assert list(measured.read(measured.write(made, tmp_path)).features()) == []


def test_the_head_is_read_alone(tmp_path: Path) -> None:
    made = kernel("6.12", "6.12.117", [LOOP])
    head = measured.read_head(measured.write(made, tmp_path))
    assert head == replace(made, raw={})


def test_some_features_are_read_without_the_rest(tmp_path: Path) -> None:
    more = feature(FeatureKind.HELPER, "bpf_loop_more", "no", "xdp")
    path = measured.write(kernel("6.12", "6.12.117", [LOOP, ARENA, more]), tmp_path)
    some = measured.read_some(path, FeatureKind.HELPER, ["bpf_loop", "bpf_none"])
    assert list(some.features()) == [LOOP]
    assert list(measured.read_some(path, FeatureKind.HELPER, ["bpf_loop_more"]).features()) == [more]
    assert list(measured.read_some(path, FeatureKind.MAP_TYPE, [ARENA.name]).features()) == [ARENA]
    assert list(measured.read_some(path, FeatureKind.MAP_TYPE, ["bpf_loop"]).features()) == []
    assert list(measured.read_some(path, FeatureKind.KFUNC, ["bpf_loop"]).features()) == []


def test_a_file_in_another_layout_is_read_whole(tmp_path: Path) -> None:
    path = measured.write(kernel("6.12", "6.12.117", [LOOP, ARENA]), tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")), indent=4), encoding="utf-8")
    some = measured.read_some(path, FeatureKind.HELPER, ["bpf_loop"])
    assert some.feature(FeatureKind.HELPER, "bpf_loop") == LOOP
    assert measured.read_head(path).kernel == "6.12"


def test_answers_by_program_type_and_overall() -> None:
    assert LOOP.support("xdp") is Support.YES
    assert LOOP.support("netfilter") is Support.NO
    assert LOOP.support("lsm") is Support.UNKNOWN
    assert LOOP.support() is Support.YES
    assert LOOP.program_types(Support.NO) == ("netfilter",)
    assert ARENA.support() is Support.NO
    assert ARENA.support("xdp") is Support.NO


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (("no", "unknown"), Support.UNKNOWN),
        (("no", "no"), Support.NO),
        (("unknown", "yes"), Support.YES),
        (("unknown",), Support.UNKNOWN),
    ],
)
def test_no_is_said_only_where_all_say_no(answers: tuple[str, ...], expected: Support) -> None:
    findings = tuple((finding(answer), (f"type{at}",)) for at, answer in enumerate(answers))
    assert MeasuredFeature(FeatureKind.HELPER, "bpf_x", findings).support() is expected


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"schema": 1', '"schema": 2', ":1: not a file of measured features: schema version 2"),
        ('"release"', '"relase"', "the key 'release' is missing"),
        ('["yes", "created"', '["yess", "created"', "bpf_loop: 'yess' by 'created' is no answer"),
        ('["yes", "created"', '["yes", "guessed"', "bpf_loop: 'yes' by 'guessed' is no answer"),
        ('["kprobe", "xdp"]', '"kprobe"', "bpf_loop: a finding is"),
        ('"helper"', '"helpers"', "'helpers' is no kind of feature"),
        ('"features": {', '"features": [', "not JSON"),
        ('"date": "2026', '"date": "26', "date"),
    ],
)
def test_a_broken_file_is_told_by_its_place(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = measured.write(kernel("6.12", "6.12.117", [LOOP]), tmp_path)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        check_measured(path)
    assert words in str(caught.value)
    assert f"{path}:" in str(caught.value)


def test_the_line_of_a_broken_feature_is_named(tmp_path: Path) -> None:
    path = measured.write(kernel("6.12", "6.12.117", [LOOP, ARENA]), tmp_path)
    text = path.read_text(encoding="utf-8").replace(
        '["no", "created", "what it said", []]', '["maybe", "created", "", []]'
    )
    line = next(at for at, words in enumerate(text.splitlines(), 1) if "maybe" in words)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=rf"6\.12\.json:{line}: BPF_MAP_TYPE_ARENA"):
        measured.read(path)


def test_kernels_of_ones_own_stand_beside_the_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured.write(kernel("mine", "6.1.0", [LOOP]), tmp_path)
    monkeypatch.setenv(measured.FOLDER_VARIABLE, str(tmp_path))
    assert measured.files()["mine"] == tmp_path / "mine.json"
    found = measured.measured_kernel("mine")
    assert found is not None
    assert found.feature(FeatureKind.HELPER, "bpf_loop") == LOOP
    assert "mine" in [head.kernel for head in measured.heads()]


@pytest.mark.parametrize("path", sorted(measured.FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_the_packages_measured_files_are_in_order(path: Path) -> None:
    check_measured(path)
