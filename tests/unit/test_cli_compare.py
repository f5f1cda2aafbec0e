"""`compare`, `baseline`, `history` and `bisect` on the command line: words, files and exit statuses."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from plugin_support import REJECT, kernel, kernel_run, row, run_of

from harness.cli import main
from harness.errors import InfrastructureError, UserError
from harness.execute import describe_kernel
from harness.kernels.errors import KernelUnavailable
from harness.model import (
    BuiltObject,
    Case,
    Compiler,
    Observation,
    ObservationStatus,
    Outcome,
    Run,
    Verdict,
    VerdictKind,
)
from harness.options import Obtained
from harness.record.history import Entry, Night
from harness.record.runfile import write
from harness.record.snapshot import snapshot
from harness.report.historytable import history_text, write_plot

CASE = "programs/family/one[0]"
KERNELS = """
kernels:
  "5.10": {source: mainline, version: v5.10.1, default: true}
  "6.1": {source: mainline, version: v6.1.1}
  "6.12": {source: mainline, version: v6.12.1}
  "7.3": {source: mainline, version: v7.3.1}
"""


def measured(verdict: Verdict | None = None, number: int = 1, **changes: Any) -> Run:
    seen = Observation(ObservationStatus.LOADED, insns_processed=40 * number, kernel_time_us=900)
    known = {"id": f"{CASE}@5.10", "program": "programs/family/one", "observation": seen}
    if verdict is not None:
        known["verdict"] = verdict
    case = row("0", **(known | changes))
    return replace(run_of(case), id=f"run-{number}", start=f"2026-01-{number:02d}T01:00:00Z")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BPFMATRIX_CACHE", str(tmp_path / "cache"))
    (tmp_path / "kernels.yaml").write_text(KERNELS)
    folder = tmp_path / "programs" / "family"
    folder.mkdir(parents=True)
    (folder / "one.bpf.c.j2").write_text('SEC("socket") int f(void *c) { return {{ n }}; }\n')
    (folder / "one.yaml").write_text("title: t\npitfall: N99\nclaim: c\naxes: {n: [0, 1]}\nexpect: []\n")
    write(measured(), tmp_path / "a.json")
    write(measured(REJECT, 2), tmp_path / "b.json")
    write(replace(measured(), kernels=(kernel_run(problem="it never booted"),)), tmp_path / "broken.json")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["a.json", "b.json"], 1, "1 regression: 1 new rejection"),
        (["b.json", "a.json"], 0, "nothing is worse: 1 newly accepted"),
        (["a.json", "a.json"], 0, "no difference"),
        (["a.json", "broken.json"], 3, "not everything could be measured"),
        (["a.json", "b.json", "--as", "5.10"], 1, "a.json → b.json: 1 cases compared on 5.10"),
        (["b.json", "a.json", "--insns", "1", "1"], 0, "newly accepted"),
        (["a.json", "b.json", "-k", "one and not 6.1"], 1, "new rejection"),
    ],
)
def test_compare(
    project: Path, capsys: pytest.CaptureFixture[str], words: list[str], status: int, said: str
) -> None:
    assert main(["compare", *words]) == status
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.json", "none.json"], "none.json"),
        (["a.json", "b.json", "--as", "5.10=6.99"], "b.json has no kernel '6.99'"),
        (["baseline", "baseline"], "not compared with itself"),
        (["baseline", "a.json"], "bpfmatrix baseline update"),
        (["a.json"], "takes 2 values"),
        (["a.json", "b.json", "-k", "two"], "no case on either side matches"),
    ],
)
def test_compare_refuses(
    project: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(["compare", *words]) == 2
    assert said in capsys.readouterr().err


def test_compare_as_json(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "a.json", "b.json", "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    (change,) = data["changes"]
    assert (change["id"], change["kind"], change["regression"]) == (f"{CASE}@5.10", "new rejection", True)
    assert change["reasons"] == [{"what": "nothing known changed", "words": ""}]


def test_the_baseline_is_moved_shown_and_compared_with(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["baseline", "update", "--run", "a.json", "--dry-run"]) == 0
    assert not (project / "reports" / "baseline").exists()
    assert "would change" in capsys.readouterr().out
    assert main(["baseline", "update", "--run", "a.json"]) == 0
    assert f"+{CASE}  accept" in capsys.readouterr().out
    assert main(["compare", "baseline", "a.json"]) == 0
    assert main(["compare", "baseline", "b.json"]) == 1
    capsys.readouterr()
    assert main(["baseline", "update", "--run", "b.json", "-k", "one and 5.10", "--kernel", "5.10"]) == 0
    out = capsys.readouterr().out
    assert f"-{CASE}  accept" in out
    assert f"+{CASE}  reject/load/EACCES" in out
    assert main(["compare", "baseline", "b.json"]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--kernel", "6.1"], "the run has no kernel '6.1'"),
        (["-k", "nonsense"], "no case of the run matches"),
        (["-k", "(("], "at column"),
    ],
)
def test_baseline_update_refuses(
    project: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(["baseline", "update", "--run", "a.json", *words]) == 2
    assert said in capsys.readouterr().err
    assert not (project / "reports" / "baseline").exists()


def test_history(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.json", "b.json", "a.json"):
        assert main(["history", "--record", name]) == 0
    assert capsys.readouterr().err.split(": a.json")[1].endswith("recorded before")
    assert main(["history", f"{CASE}@5.10", "--plot", "p.png"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if line.startswith(" 2026")]
    assert [cells[0] for cells in rows] == ["2026-01-01T01:00:00Z", "2026-01-02T01:00:00Z"]
    assert [cells[2] for cells in rows] == ["accept", "!"]
    assert [cells[-1].count("█") for cells in rows] == [15, 30]
    assert (project / "p.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "which case?"),
        (["programs/family/on[0]"], f"did you mean '{CASE}'"),
        ([f"{CASE}@6.1"], "on the kernels asked for"),
        ([CASE, "--plot", "p.nonsense"], "--plot FILE.png"),
        ([CASE, "--file", "none.sqlite"], "no history yet"),
    ],
)
def test_history_refuses(
    project: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(["history", "--record", "a.json"]) == 0
    assert main(["history", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_plot_without_matplotlib_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UserError, match=r"bpfmatrix\[plot\]"):
        write_plot("x", (), tmp_path / "p.png")


def test_a_history_in_which_the_clock_went_backwards_says_so() -> None:
    (record,) = snapshot(measured()).cases.values()
    entries = [
        Entry(Night(1, "a", "2026-01-02T00:00:00Z"), record),
        Entry(Night(2, "b", "2026-01-01T00:00:00Z", clock_back=True), record),
    ]
    text = history_text("case", entries)
    assert text.index("2026-01-02") < text.index("2026-01-01T00:00:00Z*")
    assert "* the clock went backwards" in text


class Session:
    """Answers by the kernel: accepted from 6.12 on."""

    def __init__(self, machine: Any, _options: Any, _warm: Any = None) -> None:
        self.machine = machine

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def start(self) -> Any:
        if self.machine.name in BROKEN:
            raise InfrastructureError("it never became ready")
        return replace(describe_kernel(self.machine), boot_seconds=1.0)

    def run(self, case: Case, _built: object) -> Any:
        fine = case.kernel in ("6.12", "7.3")
        verdict = Verdict(VerdictKind.ACCEPT) if fine else REJECT
        return row("0", case.kernel, id=case.id, verdict=verdict, outcome=Outcome.NO_EXPECTATION)


BROKEN: set[str] = set()


@pytest.fixture
def guests(project: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Kernels that answer without being there; what is put into the set does not boot."""
    clang = Compiler("clang-19", Path("/usr/bin/clang-19"), "19.1.7")

    def obtain(specs: Any, *_: Any, **__: Any) -> Obtained:
        lacking = [spec for spec in specs if f"no {spec.name}" in BROKEN]
        if lacking:
            raise KernelUnavailable(lacking[0].name, "mainline", "the archive cannot be reached")
        return Obtained(tuple(kernel(spec.name) for spec in specs))

    def built(options: Any, _progress: Any) -> Any:
        case = Case(options.programs[0], options.programs[0].variants[0], "5.10", clang)
        return [type("P", (), {"case": case, "built": BuiltObject(Path("x.o"), "0", "", clang, ("f",))})]

    monkeypatch.setattr("harness.cli.bisect.obtain", obtain)
    monkeypatch.setattr("harness.cli.bisect.find_compilers", lambda _names: (clang,))
    monkeypatch.setattr("harness.cli.bisect.KernelSession", Session)
    monkeypatch.setattr("harness.cli.bisect.build_cases", built)
    monkeypatch.setattr("harness.cli.bisect.warm_object", lambda: None)
    BROKEN.clear()
    return BROKEN


def test_bisect_names_the_first_kernel(guests: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bisect", CASE, "--good", "5.10", "--bad", "7.3"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "6.1 (6.1.0): reject at load with EACCES (bounds)",
        "6.12 (6.12.0): accept",
        "6.12 (6.12.0) is the first with the other answer",
    ]


def test_bisect_from_the_newer_to_the_older(guests: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bisect", f"{CASE}@7.3", "--good", "7.3", "--bad", "5.10"]) == 0
    assert capsys.readouterr().out.endswith("6.1 (6.1.0) is the first with the other answer\n")


@pytest.mark.parametrize(("broken", "why"), [("6.12", "it never became ready"), ("no 6.12", "cannot be had")])
def test_bisect_skips_what_cannot_be_asked(
    guests: set[str], capsys: pytest.CaptureFixture[str], broken: str, why: str
) -> None:
    guests.add(broken)
    assert main(["bisect", CASE, "--good", "5.10", "--bad", "7.3"]) == 0
    captured = capsys.readouterr()
    assert "the first with the other answer is one of: 6.12, 7.3" in captured.out
    assert "  skipped 6.12: " in captured.out
    assert why in captured.out
    assert "6.12" in captured.err


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ([CASE, "--good", "5.10", "--bad", "6.1"], 2, "5.10 and 6.1 answer alike"),
        ([CASE, "--good", "5.10", "--bad", "5.10"], 2, "are both 5.10"),
        ([CASE, "--good", "5.10", "--bad", "6.99"], 2, "unknown kernel '6.99'"),
        (["programs/family/one[7]", "--good", "5.10", "--bad", "7.3"], 2, "there is no case"),
    ],
)
def test_bisect_refuses(
    guests: set[str], capsys: pytest.CaptureFixture[str], words: list[str], status: int, said: str
) -> None:
    assert main(["bisect", *words]) == status
    assert said in capsys.readouterr().err


def test_an_end_that_does_not_boot_is_infrastructure(
    guests: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    guests.add("7.3")
    assert main(["bisect", CASE, "--good", "5.10", "--bad", "7.3"]) == 3
    assert "it never became ready" in capsys.readouterr().err
