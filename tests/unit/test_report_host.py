"""Rows no kernel has a part in, in every format."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from plugin_support import kernel_run, row, run_of

from harness.model import HOST, Outcome, Run, Stage, Verdict, VerdictKind
from harness.record.runfile import read, write
from harness.report import render, terminal
from harness.report.matrix import Mark, build
from harness.summary import next_command, summary


def on_host(variant: str, **changes: object) -> object:
    plain = {"program": "programs/userspace/skeleton", "id": f"programs/userspace/skeleton[{variant}]@host"}
    return row(variant, HOST, **(plain | {"observation": None, "loader": "none"} | changes))


@pytest.fixture
def run() -> Run:
    refused = Verdict(
        VerdictKind.REJECT, Stage.HOST_COMPILE, None, "host-skeleton-type", "skel.h:24: incomplete type"
    )
    rows = [
        row(),
        row(kernel="6.1"),
        on_host("enum-gcc"),
        on_host("enum-gxx", verdict=refused, build_log="skel.h:24:1: error: no\n"),
        on_host("odd-gxx", outcome=Outcome.UNEXPECTED, reason="expected reject, got accept"),
        on_host(
            "none-clangxx", verdict=Verdict(VerdictKind.NONE), outcome=Outcome.NOT_RUN, reason="no clang++"
        ),
    ]
    return run_of(*rows, kernels=(kernel_run("5.10"), kernel_run("6.1")))  # type: ignore[arg-type]


def test_they_are_no_kernels_column(run: Run) -> None:
    matrix = build(run)
    assert [kernel.name for kernel in matrix.kernels] == ["5.10", "6.1"]
    assert [group.info.name for group in matrix.groups] == ["programs/maps/size"]
    (group,) = matrix.host
    assert [[cell.text for cell in line.cells] for line in group.rows] == [
        ["✓"],
        ["✗ host compile"],
        ["✓"],
        ["–"],
    ]
    assert (matrix.total, matrix.marks[Mark.NOT_RUN]) == (6, 1)


def test_every_format_shows_them_apart(run: Run) -> None:
    words = terminal(run)
    assert "variant         host" in words
    assert "≠ programs/userspace/skeleton[odd-gxx]@host: expected reject" in words
    page = render(run, "markdown")
    assert "## Host and user space" in page
    assert "| `enum-gxx`     | ✗ host compile<sup>1</sup>" in page
    assert "- ≠ `odd-gxx` on host: expected reject" in page
    assert page.index("## Host and user space") > page.index("programs/maps/size")
    web = render(run, "html")
    assert '<h2 class="part">Host and user space</h2>' in web
    assert web.count('<table class="grid"') == 2
    assert "skel.h:24:1: error: no" in web


def test_machines_get_them_too(run: Run, tmp_path: Path) -> None:
    table = list(csv.DictReader(io.StringIO(render(run, "csv"))))
    assert [line["kernel"] for line in table][2:] == ["host"] * 4
    assert table[3]["stage"] == "host_compile"
    suites = ET.fromstring(render(run, "junit")).findall("testsuite")  # noqa: S314 - our own text
    assert [(suite.get("name"), suite.get("tests"), suite.get("skipped")) for suite in suites] == [
        ("5.10", "1", "0"),
        ("6.1", "1", "0"),
        ("host", "4", "1"),
    ]
    write(run, tmp_path / "run.json")
    assert read(tmp_path / "run.json") == run


def test_without_them_nothing_speaks_of_the_host() -> None:
    plain = run_of(row())
    for fmt in ("markdown", "html", "junit"):
        assert "host and" not in render(plain, fmt).lower()
    assert "host" not in " ".join(summary(plain))


def test_the_summary_counts_them_on_their_own_line(run: Run) -> None:
    lines = list(summary(run))
    assert lines[2] == "host  compiled: 2 accepted, 1 rejected; 1 unexpected, 1 not run"
    assert lines[3].startswith("6 cases on 2 kernels and the host: ")
    assert list(summary(run_of(run.cases[2], kernels=())))[-1].startswith("1 case on the host: ")


def test_the_next_command_names_no_kernel(run: Run) -> None:
    assert next_command(run) == ("bpfmatrix run --clang clang-19 -k 'programs/userspace/skeleton[odd-gxx]'")
