"""The reports: every format from one real run file, hostile text, widths, sizes."""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from rich.cells import cell_len

from harness.errors import UserError
from harness.model import CaseResult, KernelRun, Observation, Outcome, Run, Stage, VerdictKind
from harness.record.runfile import read
from harness.report import FORMATS, render, terminal, write_all
from harness.report.logview import verifier_log
from harness.report.matrix import Mark, build, reproduce
from harness.scenario import Behaviour, CheckResult, Step, StepOp, StepResult

RUN = read(Path(__file__).parent / "test_data" / "sample-run.json")
HOSTILE = "</pre><script>alert(1)</script>\x1b[31m|`\x00\n<img src=x onerror=alert(1)>"


def poisoned(run: Run = RUN) -> Run:
    """Every text a program's author, a compiler or a kernel controls is hostile."""

    def poison(case: CaseResult) -> CaseResult:
        seen = case.observation
        return dataclasses.replace(
            case,
            title=HOSTILE,
            reason=HOSTILE,
            source=HOSTILE,
            build_log="" if seen else HOSTILE,
            verdict=dataclasses.replace(case.verdict, message=HOSTILE, errno=case.verdict.errno and HOSTILE),
            observation=seen
            and dataclasses.replace(
                seen,
                verifier_log=HOSTILE + seen.verifier_log,
                loader_log=HOSTILE,
                fixups=(HOSTILE,),
                kernel_messages=(HOSTILE,),
                console_tail=HOSTILE,
            ),
        )

    kernels = tuple(
        dataclasses.replace(k, title=HOSTILE, release=HOSTILE, source=HOSTILE) for k in run.kernels
    )
    programs = tuple(dataclasses.replace(p, title=HOSTILE, claim=HOSTILE, path=HOSTILE) for p in run.programs)
    return dataclasses.replace(
        run,
        host=HOSTILE,
        command=HOSTILE,
        tools={HOSTILE: HOSTILE},
        kernels=kernels,
        programs=programs,
        cases=tuple(poison(case) for case in run.cases),
    )


def test_columns_are_all_kernels_oldest_first_and_rows_are_complete() -> None:
    matrix = build(dataclasses.replace(RUN, kernels=RUN.kernels[::-1]))
    assert [kernel.name for kernel in matrix.kernels] == ["5.4", "5.10", "6.1", "6.12", "newest"]
    assert all(len(row.cells) == 5 for group in matrix.groups for row in group.rows)
    assert matrix.marks[Mark.NOT_RUN] == 68
    assert matrix.total == 340


def test_a_kernel_that_could_not_be_had_is_a_visible_column_with_its_reason() -> None:
    for fmt in ("markdown", "html"):
        page = render(RUN, fmt)
        assert "5.4.290" in page
        assert "the mainline archive cannot be reached" in page
    assert "– 5.4: not run: cannot be had" in terminal(RUN)


def behaving(run: Run = RUN, words: str = "a zero at the end") -> Run:
    """One program that behaves on 5.10 and misbehaves on 6.1 (as known) and 6.12 (not known)."""
    sample = next(case for case in run.cases if case.observation and case.verdict.kind is VerdictKind.ACCEPT)
    assert sample.observation is not None
    steps = (StepResult(0, message=words), StepResult(1, values=(b"\x05",)), StepResult(2, "ENOENT", words))
    scenario = (
        Step(StepOp.ATTACH, "p", args=(f"kprobe:{words}",)),
        Step(StepOp.READ, "hits", "hits"),
        Step(StepOp.LOOKUP, "m", "v", may_fail=True),
        Step(StepOp.READ, "rest", "rest"),
    )

    def made(kernel: str, got: str, outcome: Outcome) -> CaseResult:
        check = CheckResult("hits", "3", got, got == "3", words)
        assert sample.observation is not None
        return dataclasses.replace(
            sample,
            id=f"{sample.program}[{sample.variant}]@{kernel}",
            kernel=kernel,
            outcome=outcome,
            reason="expected behaves, got misbehaves: hits: expected 3, got 5"
            if outcome is Outcome.UNEXPECTED
            else "",
            behaviour=Behaviour.BEHAVES if check.holds else Behaviour.MISBEHAVES,
            checks=(CheckResult("x", "1", "1", True), check),
            scenario=scenario,
            observation=dataclasses.replace(sample.observation, steps=steps),
        )

    cases = (
        made("5.10", "3", Outcome.AS_EXPECTED),
        made("6.1", "5", Outcome.AS_EXPECTED),
        made("6.12", "5", Outcome.UNEXPECTED),
    )
    return dataclasses.replace(run, cases=cases)


def test_behaviour_has_its_own_cells_and_count() -> None:
    matrix = build(behaving())
    assert [cell.text for cell in matrix.groups[0].rows[0].cells] == [
        "–",
        "✓✓ behaves",
        "✓✗ misbehaves",
        "✓✗ misbehaves",
        "–",
    ]
    assert "2 accepted but misbehaving" in terminal(behaving())
    assert "misbehaving" not in terminal(RUN)


def test_markdown_notes_what_was_expected_and_what_came() -> None:
    page = render(behaving(), "markdown")
    row = next(line for line in page.splitlines() if "misbehaves" in line and line.startswith("| `"))
    assert "✓✓ behaves" in row
    assert "✓✗ misbehaves<sup>a</sup>" in row
    assert "**✓✗ misbehaves ≠**<sup>a</sup>" in row
    assert "<sup>a</sup> hits: expected 3, got 5 (a zero at the end)" in page
    assert page.count("<sup>a</sup> hits") == 1


def with_signs(page: str) -> str:
    """The page as a browser reads its signs; panels are written in ASCII. Markup stays escaped."""
    return re.sub(r"&#(\d{3,});", lambda found: chr(int(found[1])), page)


def test_html_lists_checks_and_steps() -> None:
    page = with_signs(render(behaving(), "html"))
    assert '<td class="misbehaves">' in page
    assert "accept, misbehaves" in page
    assert (
        '<li class="broken">✗ <code>hits</code> expected 3, got 5 <small>a zero at the end</small></li>'
        in page
    )
    assert "<li>✓ <code>x</code> expected 1</li>" in page
    assert "<code>attach p to kprobe:a zero at the end</code>" in page
    assert page.count("ENOENT: a zero at the end (it may fail)") == 1
    assert len(re.findall(r'\bsteps\b[^<]*: as on <a href="#r0k1">5\.10</a>', page, re.IGNORECASE)) == 2
    assert '<li class="not-reached"><code>read rest</code>: not reached</li>' in page


@pytest.mark.parametrize("fmt", ["markdown", "html", "csv", "junit"])
def test_hostile_words_of_steps_and_checks_are_inert(fmt: str) -> None:
    page = render(poisoned(behaving(words=HOSTILE)), fmt)
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", page)
    outside_code = re.sub(r"`[^`\n]*`", "", page)
    assert fmt == "csv" or not re.search(r"(?<!\\)<(img|script>alert)", outside_code)


def test_the_terminal_shows_behaviour_in_every_width() -> None:
    assert "✓✓ behaves" in terminal(behaving(), 120)
    narrow = terminal(behaving(), 60)
    assert "✓✗≠" in narrow
    assert max(cell_len(line) for line in narrow.split("\n")) <= 60
    assert "expected behaves, got misbehaves: hits: expected 3, got 5" in terminal(behaving(), 300)


def test_csv_and_junit_tell_the_checks() -> None:
    rows = list(csv.DictReader(io.StringIO(render(behaving(), "csv"))))
    assert [row["behaviour"] for row in rows] == ["behaves", "misbehaves", "misbehaves"]
    assert rows[1]["failed_checks"] == "hits: expected 3, got 5 (a zero at the end)"
    root = ET.fromstring(render(behaving(), "junit"))  # noqa: S314 -- made by ourselves
    (failure,) = root.iter("failure")
    assert "check hits: expected 3, got 5" in (failure.text or "")


def test_counts_add_up() -> None:
    matrix = build(RUN)
    assert sum(matrix.outcomes.values()) == matrix.total
    assert (matrix.outcomes[Outcome.UNEXPECTED], matrix.outcomes[Outcome.CHANGED]) == (1, 1)
    assert matrix.unclassified == 0


@pytest.mark.parametrize("outcome", [Outcome.CRASH, Outcome.HANG, Outcome.SPLAT])
def test_abnormal_cells_have_their_own_mark(outcome: Outcome) -> None:
    case = dataclasses.replace(RUN.cases[0], outcome=outcome)
    matrix = build(dataclasses.replace(RUN, cases=(case,)))
    assert matrix.marks[Mark(outcome.value)] == 1
    assert f"1 {outcome.value}" in " ".join(terminal(dataclasses.replace(RUN, cases=(case,))).split())


def test_several_compilers_are_several_rows() -> None:
    case = RUN.cases[0]
    both = (case, dataclasses.replace(case, compiler="clang-19"))
    rows = build(dataclasses.replace(RUN, cases=both)).groups[0].rows
    assert [row.label for row in rows] == ["unbounded · clang-16", "unbounded · clang-19"]


def test_markdown_has_heading_claim_link_table_and_numbered_causes() -> None:
    page = render(RUN, "markdown")
    section = page[page.index("## N11: ") : page.index("## N13: ")]
    assert "> A reserved record that a function touched" in section
    assert "[`programs/refs/ringbuf_leak.bpf.c.j2`](../programs/refs/ringbuf_leak.bpf.c.j2)" in section
    row = next(line for line in section.splitlines() if line.startswith("| `leak`"))
    number = re.search(r"✗ load EINVAL<sup>(\d+)</sup>", row)
    assert number
    assert f"<sup>{number[1]}</sup> [A reserved record or reference" in section
    assert f'<a id="unreleased-reference"></a>**{number[1]}. ' in page
    assert "7.3.4" in page
    assert "booted in 2.4 s (tcg)" in page


def test_markdown_shows_what_is_not_as_expected() -> None:
    page = render(RUN, "markdown")
    assert "**✗ load EACCES ≠**" in page
    assert "- ≠ `global_charptr` on 7.3.4: expected accept, got reject at load with EACCES" in page


def test_hostile_text_is_inert_in_markdown() -> None:
    page = render(poisoned(), "markdown")
    assert "\x1b" not in page
    assert "\x00" not in page
    outside_code = re.sub(r"`[^`\n]*`", "", page)
    assert not re.search(r"(?<!\\)<(?!sup|/sup|a id=\"[a-z-]+\"|/a)", outside_code)
    table = [line for line in page.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} <= {3, 6, 7}


@pytest.mark.parametrize("fmt", ["markdown", "html", "csv", "junit"])
def test_no_control_character_reaches_a_report(fmt: str) -> None:
    page = render(poisoned(), fmt)
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", page)


def test_html_is_self_contained_and_escapes_everything() -> None:
    page = with_signs(render(poisoned(), "html"))
    assert page.count("<script>") == 2
    assert "<img" not in page
    assert "␛[31m" in page
    assert not re.search(r'(?:src|href)="(?!#)', page)
    assert not re.search(r"url\(|@import|https?:", re.sub(r"&lt;.*?&gt;", "", page))
    assert "default-src &#39;none&#39;; style-src &#39;sha256-" in page
    assert "unsafe-inline" not in page


def test_html_holds_the_whole_log_and_source_once() -> None:
    page = render(RUN, "html")
    assert page.count("Resource Lifetime Safety: Unreleased resource") == 1
    case = next(case for case in RUN.cases if case.variant == "leak" and case.kernel == "newest")
    assert case.observation is not None
    for line in case.observation.verifier_log.splitlines():
        assert html.escape(line, quote=False) in page
    assert "<mark>Unreleased reference id=2 alloc_insn=4</mark>" in page
    assert "<mark>16: (95) exit</mark>" in page


@pytest.mark.parametrize("share", [0, 3], ids=["loads", "a third of it scenarios"])
def test_a_page_of_300_rows_and_12_kernels_stays_under_6_mb(share: int) -> None:
    scenario = tuple(Step(StepOp.TRIGGER, "mkdirat", args=(f"/tmp/step/{n}",), count=3) for n in range(8))
    checks = tuple(CheckResult(f"result.{n}", "3", "3", True, "once for each call") for n in range(4))
    base = [case for case in RUN.cases if case.kernel == "newest" and case.observation]
    kernels = tuple(
        KernelRun(f"k{n}", f"6.{n}.1", f"6.{n}.1", f"6.{n}.1", "debian", "ab" * 32) for n in range(12)
    )
    cases = []
    for row in range(300):
        case = base[row % len(base)]
        seen = case.observation
        assert seen is not None
        for kernel in kernels:
            log = seen.verifier_log.replace("(", f"({kernel.name} ", 1)
            cases.append(
                dataclasses.replace(
                    case,
                    id=f"{row}@{kernel.name}",
                    variant=f"variant-{row}",
                    kernel=kernel.name,
                    source=case.source + f"// {row}\n" * 20,
                    observation=dataclasses.replace(seen, verifier_log=log),
                )
            )
    for index, case in enumerate(cases if share else ()):
        if index // 12 % share == 0 and case.observation:
            steps = tuple(StepResult(n, numbers=(3, index)) for n in range(8))
            seen = dataclasses.replace(case.observation, steps=steps)
            cases[index] = dataclasses.replace(case, scenario=scenario, checks=checks, observation=seen)
    page = render(dataclasses.replace(RUN, kernels=kernels, cases=tuple(cases)), "html")
    assert page.count('<section class="tab') == 3600
    assert len(page.encode()) <= 6_000_000


def test_a_capped_log_keeps_both_ends_and_counts_the_rest() -> None:
    log = "".join(f"{n}: (b7) r0 = 0\n" for n in range(1000)) + "R0 !read_ok\n"
    shown = str(verifier_log(log, 2000))
    assert shown.startswith("0: (b7)")
    assert "<mark>R0 !read_ok</mark>" in shown
    omitted = re.search(r"… (\d+) lines omitted", shown)
    assert omitted
    assert shown.count("\n") + int(omitted[1]) == 1001
    assert len(shown) < 2400
    one_huge_line = "x" * 100_000
    assert str(verifier_log(one_huge_line, 2000)).count("x") == 100_000


@pytest.mark.parametrize("width", [24, 40, 60, 80, 100, 140, 200])
def test_the_terminal_matrix_fits_the_width(width: int) -> None:
    lines = terminal(RUN, width).split("\n")
    assert max(cell_len(line) for line in lines) <= width


def test_the_terminal_matrix_shrinks_before_it_splits() -> None:
    assert "✗ load EACCES" in terminal(RUN, 120)
    medium = terminal(RUN, 85)
    assert "✗ EACCES" in medium
    assert "load EACCES" not in medium.split("✗≠")[0].split("≈")[0]
    assert terminal(RUN, 30).count("variant") > 1


def test_terminal_text_holds_escapes_only_when_asked() -> None:
    assert "\x1b" not in terminal(poisoned(), 100)
    assert "\x1b[34m" in terminal(RUN, 100, color=True)


def test_terminal_lists_every_difference() -> None:
    assert "≠ programs/functions/global_arg[global_charptr]@newest: expected accept" in terminal(RUN, 300)


def test_csv_has_a_row_per_case_and_no_formulas() -> None:
    rows = list(csv.DictReader(io.StringIO(render(RUN, "csv"))))
    assert len(rows) == len(RUN.cases)
    assert rows[0]["errno"] == "EACCES"
    evil = dataclasses.replace(RUN.cases[0], reason="=cmd|'/c calc'!A0")
    row = next(csv.DictReader(io.StringIO(render(dataclasses.replace(RUN, cases=(evil,)), "csv"))))
    assert row["reason"] == "'=cmd|'/c calc'!A0"


def test_junit_is_a_suite_per_kernel_with_failures_and_logs() -> None:
    for run in (RUN, poisoned()):
        root = ET.fromstring(render(run, "junit"))  # noqa: S314 -- made by ourselves a line before
        suites = {suite.get("name"): suite for suite in root}
        assert set(suites) == {"5.4", "5.10", "6.1", "6.12", "newest"}
        assert [suites["newest"].get(key) for key in ("tests", "failures")] == ["68", "2"]
    text = render(RUN, "junit")
    failure = ET.fromstring(text).find(".//failure[@type='unexpected']")  # noqa: S314 -- ours
    assert failure is not None
    assert "invalid access to memory, mem_size=1" in (failure.text or "")


def test_json_is_the_run_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(render(RUN, "json"))
    assert read(path) == RUN


def test_unknown_format_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"did you mean 'html'.*markdown, html, json, csv, pitfalls, junit"):
        render(RUN, "htm")
    assert FORMATS == ("markdown", "html", "json", "csv", "pitfalls", "junit")


def test_write_all_writes_three_files_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "new" / "reports"
    paths = write_all(RUN, out)
    assert [path.name for path in paths] == ["matrix.md", "matrix.html", "run.json"]
    assert sorted(out.iterdir()) == sorted(paths)
    assert read(paths[2]) == RUN


def test_an_empty_or_partial_run_has_reports_too(tmp_path: Path) -> None:
    empty = dataclasses.replace(RUN, cases=(), kernels=(), programs=(), partial=True)
    write_all(empty, tmp_path)
    assert "interrupted" in render(empty, "markdown")
    assert "interrupted" in render(empty, "html")
    assert "0 cases" in terminal(empty)


def test_the_command_that_reproduces_a_case_is_quoted_for_a_shell() -> None:
    matrix = build(RUN)
    info = matrix.groups[0].info
    assert reproduce(RUN.cases[0], info) == (
        "bpfmatrix run --kernel 5.10 --clang clang-16 -k 'programs/bounds/output_size[unbounded]'"
    )
    foreign = dataclasses.replace(RUN.cases[0], pitfall="", compiler=None, program="x.bpf.o", variant="$(rm)")
    line = reproduce(foreign, dataclasses.replace(info, path="dir with space/x.bpf.o"))
    assert line == "bpfmatrix run --kernel 5.10 --programs 'dir with space/x.bpf.o' -k 'x.bpf.o[$(rm)]'"


def test_build_failures_show_their_log() -> None:
    case = next(case for case in RUN.cases if case.verdict.stage is Stage.COMPILE)
    assert isinstance(case.observation, Observation | None)
    assert "Looks like the BPF stack limit" in render(dataclasses.replace(RUN, cases=(case,)), "html")
