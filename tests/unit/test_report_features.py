"""The tables of features in every form: documented and measured facts in, text out."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
from pathlib import Path

import pytest
from feature_tables_support import VERSIONS, obedient, tables
from features_support import feature, finding, kernel

from harness.cli import main
from harness.errors import UserError
from harness.features.disagreements import Explanation, Reason
from harness.features.documented import Documented, Records
from harness.features.types import FeatureKind, MeasuredFeature, Support
from harness.report.features import FORMATS, Tables, build, render, write_all
from harness.report.features.tables import Flag, Row
from harness.report.features.words import counts, runs, types_history, types_words

HOSTILE = "</td><script>alert(1)</script>|`x`\x1b[31m\n<!-- [a](http://b) \u202e"
LOOP = Documented(FeatureKind.HELPER, "bpf_loop", "5.17", "a list", commit="e6f2dd0f8067" + "0" * 28)
OLD = Documented(
    FeatureKind.MAP_TYPE, "BPF_MAP_TYPE_HASH", "3.19", "a list", disagreement={"bcc list": "3.18"}
)
RENAMED = Documented(FeatureKind.KFUNC, "bpf_new_name", "6.1", "a list", aliases=("bpf_old_name",))
RECORDS: Records = {(r.kind, r.name): r for r in (LOOP, OLD, RENAMED)}


def loop(**types: str) -> MeasuredFeature:
    """`bpf_loop` with an answer per program type."""
    return MeasuredFeature(
        FeatureKind.HELPER, "bpf_loop", tuple((finding(support), (name,)) for name, support in types.items())
    )


def row(shown: Tables, name: str) -> Row:
    (found,) = [
        each
        for section in shown.sections
        for each in (*section.rows, *section.documented)
        if each.feature.name == name
    ]
    return found


def test_a_cell_is_yes_no_unknown_or_not_asked() -> None:
    shown = build(
        RECORDS,
        [
            kernel("6.12", "6.12.1", [loop(xdp="no", kprobe="yes")]),
            kernel("5.10", "5.10.1", [loop(xdp="no", kprobe="no")]),
            kernel("6.1", "6.1.1", [loop(xdp="no", kprobe="unknown")]),
            kernel("7.3", "7.3.1", []),
        ],
    )
    found = row(shown, "bpf_loop")
    assert [cell.kernel.kernel for cell in found.cells] == ["5.10", "6.1", "6.12", "7.3"]
    assert [cell.support for cell in found.cells] == [Support.NO, Support.UNKNOWN, Support.YES, None]
    assert found.first is not None
    assert found.first.kernel == "6.12"
    line = next(line for line in render(shown, "markdown").splitlines() if line.startswith("| `bpf_loop`"))
    assert [part.strip() for part in line.strip("|").split("|")] == [
        "`bpf_loop`",
        "[5.17][e6f2dd0f8067]",
        "6.12",
        "✗",
        "?",
        "✓ 1",
        "·",
    ]


def test_what_is_measured_under_an_alias_stands_in_the_records_row() -> None:
    shown = build(
        RECORDS, [kernel("6.1", "6.1.1", [feature(FeatureKind.KFUNC, "bpf_old_name", "yes", "xdp")])]
    )
    assert row(shown, "bpf_new_name").asked
    assert [r.feature.name for r in shown.rows] == ["bpf_new_name"]


def test_what_nobody_documented_has_a_row_without_a_version() -> None:
    shown = build(RECORDS, [kernel("6.1", "6.1.1", [feature(FeatureKind.KFUNC, "bpf_news", "yes", "xdp")])])
    assert row(shown, "bpf_news").record is None
    assert re.search(r"^\| `bpf_news` +\| – ", render(shown, "markdown"), re.MULTILINE)


def test_what_no_kernel_was_asked_about_is_kept_apart() -> None:
    shown = build(RECORDS, [kernel("6.1", "6.1.1", [loop(xdp="yes")])])
    section = next(each for each in shown.sections if each.kind is FeatureKind.MAP_TYPE)
    assert section.rows == ()
    assert [each.feature.name for each in section.documented] == ["BPF_MAP_TYPE_HASH"]
    assert "Documented only, 1: no kernel was asked" in render(shown, "markdown")
    assert "`BPF_MAP_TYPE_HASH` 3.19 ≠ bcc 3.18" in render(shown, "markdown")


@pytest.mark.parametrize(
    ("reason", "flag", "sign"),
    [
        (Reason.BACKPORT, Flag.BACKPORT, "✓ 1 ↓"),
        (Reason.DOCUMENTATION, Flag.EXPLAINED, "✓ 1 ≠"),
        (None, Flag.UNEXPLAINED, "**✓ 1 ≠!**"),
    ],
)
def test_contradictions_are_marked(reason: Reason | None, flag: Flag, sign: str) -> None:
    known = (
        []
        if reason is None
        else [Explanation(FeatureKind.HELPER, ("bpf_l*",), Support.YES, reason, "because of it", "somebody")]
    )
    shown = build(RECORDS, [kernel("5.10", "5.10.1", [loop(xdp="yes")])], known)
    (cell,) = row(shown, "bpf_loop").cells
    assert cell.flag is flag
    text = render(shown, "markdown")
    assert re.search(rf"^\| `bpf_loop` .*\| {re.escape(sign)} *\|$", text, re.MULTILINE)
    words = "because of it" if reason else "not explained so far"
    assert "`bpf_loop` on 5.10: documented since 5.17, yet measured present: " in text
    assert words in text
    assert words in render(shown, "html")
    assert dict(counts(shown))["contradict the documents"] == 1


def test_kernels_of_a_run_are_named_from_to() -> None:
    everyone = [kernel(name, f"{name}.1", []) for name in ("5.10", "6.1", "6.12", "6.16", "7.3")]
    assert runs(everyone[1:4], everyone) == "6.1–6.16"
    assert runs([everyone[0], *everyone[3:]], everyone) == "5.10, 6.16, 7.3"


def test_program_types_are_named_the_short_way() -> None:
    everyone = [f"t{number}" for number in range(9)]
    assert types_words(everyone, everyone) == "all 9"
    assert types_words(everyone[:-1], everyone) == "all but t8"
    assert types_words(["t3", "t1"], everyone) == "t1, t3"
    assert types_words(["t1"], ["t1"]) == "t1"


def test_the_history_of_program_types_tells_changes_only() -> None:
    shown = build(
        RECORDS,
        [
            kernel("5.10", "5.10.1", [loop(xdp="no", kprobe="no")]),
            kernel("6.1", "6.1.1", [loop(xdp="yes", kprobe="no", lsm="no")]),
            kernel("6.12", "6.12.1", [loop(xdp="yes", kprobe="no", lsm="yes")]),
            kernel("7.0", "7.0.1", [loop(xdp="yes", kprobe="no", lsm="yes")]),
            kernel("7.3", "7.3.1", [loop(xdp="no", kprobe="no", lsm="yes")]),
        ],
    )
    history = [(k.kernel, words) for k, words in types_history(row(shown, "bpf_loop"))]
    assert history == [("6.1", "xdp"), ("6.12", "+ lsm"), ("7.3", "− xdp")]


def test_a_program_type_that_is_unknown_neither_comes_nor_goes() -> None:
    shown = build(
        RECORDS,
        [
            kernel("6.1", "6.1.1", [loop(xdp="yes", kprobe="yes")]),
            kernel("6.12", "6.12.1", [loop(xdp="yes", kprobe="unknown")]),
        ],
    )
    assert [words for _, words in types_history(row(shown, "bpf_loop"))] == ["all 2"]


def hostile() -> Tables:
    """Every text a probe or a person wrote, hostile."""
    records = {
        (FeatureKind.HELPER, "bpf_loop"): Documented(
            FeatureKind.HELPER, "bpf_loop", "5.17", HOSTILE, note=HOSTILE, disagreement={HOSTILE: "5.16"}
        )
    }
    features = [
        MeasuredFeature(FeatureKind.HELPER, name, ((finding("yes", HOSTILE), (HOSTILE,)),))
        for name in ("bpf_loop", HOSTILE, HOSTILE + "2")
    ]
    return build(records, [kernel(HOSTILE, "6.1.1", features)])


def test_hostile_texts_stay_text() -> None:
    markdown, html = render(hostile(), "markdown"), render(hostile(), "html")
    for text in (markdown, html):
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert html.count("<script") == 3
    outside = re.sub(r"`[^`\n]*`|\\[<>]", "", markdown)  # code spans and what is escaped are only shown
    assert not re.search(r"<(?!/?(details|summary)>)", outside)
    widths = {line.count("|") - line.count("\\|") for line in markdown.splitlines() if line.startswith("| `")}
    assert len(widths) <= 3  # kernels' settings, features, program types


@pytest.mark.parametrize("shown", [tables("5.10.1", "6.12.1"), hostile()], ids=["obedient", "hostile"])
def test_every_link_of_the_page_has_one_target(shown: Tables) -> None:
    page = render(shown, "html")
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]*)"', page)) <= set(ids)


def test_the_policy_allows_the_pages_own_style_and_script_only() -> None:
    page = render(tables("6.12.1"), "html")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    for tag in ("style", "script"):
        texts = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
        allowed = " ".join(f"&#39;sha256-{digest}&#39;" for digest in digests)
        assert f"{tag}-src {allowed};" in policy[1]
    assert policy[1].startswith("default-src &#39;none&#39;")


def test_the_page_of_twelve_kernels_is_no_larger_than_four_megabytes() -> None:
    shown = tables(*VERSIONS, "7.4.1")
    assert len(shown.kernels) == 12
    assert len(render(shown, "html").encode()) <= 4_000_000


def test_every_commit_of_the_markdown_has_its_address() -> None:
    text = render(tables("6.12.1"), "markdown")
    used = set(re.findall(r"\]\[([0-9a-f]{12})\]", text))
    given = dict(re.findall(r"^\[([0-9a-f]{12})\]: (\S+)$", text, re.MULTILINE))
    assert len(used) > 500
    assert used == set(given)
    assert all(
        url.startswith("https://git.kernel.org/") and f"id={label}" in url for label, url in given.items()
    )


def test_kernels_that_do_as_documented_contradict_nothing() -> None:
    numbers = dict(counts(tables("5.10.1", "6.1.1")))
    assert numbers["contradict the documents"] == 0
    assert numbers["features measured"] + numbers["documented only"] == 1164


def test_csv_has_a_line_per_feature_and_kernel_and_no_formula() -> None:
    evil = kernel("6.1", "6.1.1", [feature(FeatureKind.KFUNC, "=cmd()", "yes", "xdp"), loop(xdp="unknown")])
    lines = list(csv.DictReader(io.StringIO(render(build(RECORDS, [evil]), "csv"))))
    assert [(line["name"], line["support"], line["having"], line["unknown"]) for line in lines] == [
        ("bpf_loop", "unknown", "", "xdp"),
        ("'=cmd()", "yes", "xdp", ""),
    ]


def test_json_keeps_unknown_and_leaves_out_what_was_not_asked() -> None:
    kernels = [kernel("6.1", "6.1.1", [loop(xdp="unknown")]), kernel("7.3", "7.3.1", [])]
    data = json.loads(render(build(RECORDS, kernels), "json"))
    (found,) = [each for each in data["features"] if each["name"] == "bpf_loop"]
    assert {name: answer["support"] for name, answer in found["measured"].items()} == {"6.1": "unknown"}
    assert found["first_measured"] is None
    assert [each["kernel"] for each in data["kernels"]] == ["6.1", "7.3"]


@pytest.mark.parametrize("form", FORMATS)
def test_without_measured_kernels_what_is_documented_remains(form: str) -> None:
    text = render(build(RECORDS, []), form)
    assert form == "csv" or "bpf_loop" in text
    assert form not in ("markdown", "html") or "No kernel was asked so far" in text


def test_an_unknown_format_lists_the_known() -> None:
    with pytest.raises(UserError, match="markdown, html, csv, json"):
        render(build(RECORDS, []), "pdf")


def test_both_files_are_written(tmp_path: Path) -> None:
    paths = write_all(build(RECORDS, [obedient("6.12.1")]), tmp_path / "new")
    assert [path.name for path in paths] == ["features.md", "features.html"]
    assert all(path.stat().st_size > 1000 for path in paths)


def test_the_command_writes_both_or_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--features", "--out", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["features.html", "features.md"]
    assert main(["report", "--features", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == 1


@pytest.mark.parametrize(
    "words", [[], ["run.json", "--features"], ["run.json", "--out", "x"], ["--features", "--format", "junit"]]
)
def test_a_command_that_means_nothing_is_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", *words]) == 2
    assert "next: " in capsys.readouterr().err or "--format" in words
