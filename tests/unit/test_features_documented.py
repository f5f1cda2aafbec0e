"""The documented facts: every line against the schema, and loud errors with file:line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.features.datacheck import check_documented
from harness.features.documented import FOLDER, documented
from harness.features.types import FeatureKind


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the documented facts to break."""
    return Path(shutil.copytree(FOLDER, tmp_path / "documented"))


def change(path: Path, line: int, text: str) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[line - 1] = text
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_the_documented_facts_are_in_order() -> None:
    check_documented()


def test_every_record_of_the_survey_is_there() -> None:
    counts = {kind: sum(1 for found, _ in documented() if found is kind) for kind in FeatureKind}
    assert counts[FeatureKind.HELPER] == 211
    assert counts[FeatureKind.KFUNC] == 318
    assert sum(counts.values()) == 1164


def test_readme_counts_the_records_of_each_file() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for path in FOLDER.glob("*.jsonl"):
        assert f"| `{path.name}` | {len(path.read_text('utf-8').splitlines())} |" in text


def test_a_record_keeps_what_its_line_says() -> None:
    record = documented()[FeatureKind.HELPER, "bpf_tcp_gen_syncookie"]
    assert (record.since, record.id) == ("5.4", 110)
    assert record.disagreement == {"bcc kernel-versions.md": "5.3"}
    assert "xdp" in record.program_types
    assert record.commit_url is not None
    assert record.commit_url.endswith("70d66244317e958092e9c971b08dd5b7fd29d9cb")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not a documented feature"),
        ("[]", "not a documented feature"),
        ('{"name": "bpf_x", "source": "me"}', "the key 'since' is missing"),
        ('{"name": "bpf_x", "source": "me", "since": "soon"}', "no kernel version in 'soon'"),
    ],
)
def test_reading_refuses_a_broken_line_by_its_place(folder: Path, text: str, words: str) -> None:
    change(folder / "helper.jsonl", 7, text)
    with pytest.raises(UserError) as caught:
        documented(folder)
    assert f"{folder / 'helper.jsonl'}:7: " in str(caught.value)
    assert words in str(caught.value)


def test_reading_refuses_a_name_that_stands_twice(folder: Path) -> None:
    path = folder / "kfunc.jsonl"
    change(path, 9, path.read_text(encoding="utf-8").splitlines()[7])
    with pytest.raises(UserError, match=r"kfunc\.jsonl:9: .* stands here a second time"):
        documented(folder)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("commit", "abc", "40 hexadecimal digits"),
        ("since", "5", "an upstream version like 5.8"),
        ("sinze", "5.8", "did you mean 'since'"),
        ("program_types", ["kprobe", "kprobe"], "non-unique"),
        ("program_types", ["kprobes"], "'kprobes' is no documented program type"),
        ("map_types", ["BPF_MAP_TYPE_X"], "'BPF_MAP_TYPE_X' is no documented map type"),
        ("name", "aaa", "alphabetical order"),
    ],
)
def test_the_check_tells_what_is_wrong_with_a_correction(
    folder: Path, key: str, value: object, words: str
) -> None:
    path = folder / "helper.jsonl"
    record = json.loads(path.read_text(encoding="utf-8").splitlines()[4])
    change(path, 5, json.dumps(record | {key: value}))
    with pytest.raises(UserError) as caught:
        check_documented(folder)
    assert words in str(caught.value)
    assert "helper.jsonl" in str(caught.value)


def test_the_check_refuses_a_file_of_no_kind(folder: Path) -> None:
    (folder / "helpers.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="'helpers' is no kind of feature"):
        check_documented(folder)
