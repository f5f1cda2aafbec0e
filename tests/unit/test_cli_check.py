"""`bpfmatrix check NAME`: its words, its JSON, its exit statuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from features_support import feature, finding, kernel

from harness.cli import main
from harness.features import measured
from harness.features.types import FeatureKind, MeasuredFeature

KERNELS = [
    kernel("old", "5.4.1", [feature(FeatureKind.MAP_TYPE, "BPF_MAP_TYPE_RINGBUF", "no")]),
    kernel(
        "new",
        "6.12.117",
        [
            feature(FeatureKind.MAP_TYPE, "BPF_MAP_TYPE_RINGBUF", "yes"),
            feature(FeatureKind.HELPER, "bpf_arena_alloc", "unknown"),
            MeasuredFeature(
                FeatureKind.HELPER,
                "bpf_loop",
                ((finding("yes"), ("kprobe", "xdp")), (finding("no", "\x1b[31munknown func"), ("lsm",))),
            ),
        ],
    ),
]


@pytest.fixture(autouse=True)
def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two measured kernels and no others, in a folder without kernels.yaml."""
    for each in KERNELS:
        measured.write(each, tmp_path / "measured")
    monkeypatch.setattr(measured, "FOLDER", tmp_path / "measured")
    monkeypatch.chdir(tmp_path)


def check(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(["check", *arguments])
    out, err = capsys.readouterr()
    return status, out, err


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("map:ringbuf", "--kernel", "new"), 0),
        (("map:ringbuf", "--kernel", "old"), 1),
        (("map:ringbuf", "--kernel", "new", "--kernel", "old"), 1),
        (("map:ringbuf", "bpf_loop", "--kernel", "new"), 0),
        (("bpf_loop", "--kernel", "new", "--program-type", "lsm"), 1),
        (("bpf_loop", "--kernel", "4.18.0-1.el8"), 3),
        (("bpf_loop", "map:ringbuf", "--kernel", "4.18.0-1.el8", "--kernel", "old"), 1),
        (("bpf_loop",), 0),
        (("bpf_arena_alloc",), 3),
        (("bpf_loop", "--kernel", ">=5.4,<6"), 1),
        (("bpf_loop", "--kernel", ">=5.17"), 0),
        ((), 2),
        (("bpf_looop",), 2),
        (("xdp",), 2),
        (("bpf_loop", "--kernel", "nope"), 2),
        (("bpf_loop", "--program-type", "nope"), 2),
        (("bpf_loop", "--live"), 2),
        (("bpf_loop", "--host", "--kernel", "new"), 2),
        (("bpf_loop", "."), 2),
        (("--list", "nope"), 2),
    ],
)
def test_exit_statuses(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int) -> None:
    assert check(capsys, *arguments)[0] == status


def test_a_missing_feature_is_told_with_since_measurements_and_alternative(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, out, _ = check(capsys, "map:ringbuf", "--kernel", "old")
    assert "old (5.4.1-test): no — measured absent on 2026-11-25 (created: what it said)" in out
    assert "documented: since 5.8, commit 457f44363a88" in out
    assert "measured: absent on old; present on new" in out
    assert "instead: BPF_MAP_TYPE_PERF_EVENT_ARRAY" in out


def test_without_a_kernel_the_table_of_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = check(capsys, "bpf_loop")
    assert "since 5.17" in out
    assert "first measured to have it: new (6.12.117-test)" in out
    assert "2, not lsm" in out
    assert "\x1b" not in out


def test_json_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = check(capsys, "bpf_loop", "map:ringbuf", "--kernel", "new", "--kernel", "5.4", "--json")
    loop, ringbuf = json.loads(out)["features"]
    assert (loop["name"], loop["kind"], loop["support"]) == ("bpf_loop", "helper", "no")
    assert [answer["support"] for answer in loop["answers"]] == ["yes", "no"]
    assert [answer["basis"] for answer in loop["answers"]] == ["measured", "documented"]
    assert loop["answers"][0]["program_types"] == {"yes": ["kprobe", "xdp"], "no": ["lsm"]}
    assert loop["documented"]["since"] == "5.17"
    assert ringbuf["alternative"]["needs"][0] == {"kind": "helper", "name": "bpf_perf_event_output"}


def test_a_contradiction_nobody_explained_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = check(capsys, "bpf_loop", "--kernel", "new", "--program-type", "lsm")
    assert "contradiction: documented for lsm programs since 5.17, yet measured absent; nobody" in out


def test_the_names_of_a_kind_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = check(capsys, "--list", "map_type")
    assert status == 0
    assert "BPF_MAP_TYPE_RINGBUF" in out.splitlines()


def test_a_broken_measured_file_is_told_by_its_place(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "measured" / "old.json").write_text("{", encoding="utf-8")
    status, _, err = check(capsys, "bpf_loop")
    assert status == 2
    assert "old.json:1: not JSON" in err
