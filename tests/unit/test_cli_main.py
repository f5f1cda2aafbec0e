"""The command line: what is run, printed, written, and the exit status."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from plugin_support import kernel, kernel_run, rejected, row, run_of

from harness import pipeline
from harness.cli import main
from harness.errors import InfrastructureError
from harness.model import Case, Compiler, Run
from harness.options import Obtained
from harness.plan import RunOptions
from harness.report import FORMATS

PROGRAM = 'SEC("socket") int f(void *c) { return {{ n }}; }\n'
MANIFEST = "title: t\npitfall: N99\nclaim: c\naxes: {n: [0, 1]}\nexpect: []\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one program, whose kernels and guests are not real."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BPFMATRIX_CACHE", str(tmp_path / "cache"))
    (tmp_path / "kernels.yaml").write_text(
        'kernels:\n  "5.10": {source: mainline, version: v5.10.1, default: true}\n'
    )
    folder = tmp_path / "programs" / "family"
    folder.mkdir(parents=True)
    (folder / "one.bpf.c.j2").write_text(PROGRAM)
    (folder / "one.yaml").write_text(MANIFEST)
    clang = Compiler("clang-19", Path("/usr/bin/clang-19"), "19.1.7")
    monkeypatch.setattr("harness.cli.run.find_compilers", lambda names: (clang,))
    monkeypatch.setattr("harness.cli.run.obtain", lambda *_: Obtained((kernel(),)))
    return tmp_path


def answer(monkeypatch: pytest.MonkeyPatch, run: Run | BaseException) -> list[RunOptions]:
    """Have the pipeline give `run`; returns the options it was called with."""
    called: list[RunOptions] = []

    def fake(options: RunOptions, _progress: Any) -> Run:
        called.append(options)
        if isinstance(run, BaseException):
            raise run
        return run

    monkeypatch.setattr(pipeline, "run", fake)
    return called


def test_a_run_as_expected(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called = answer(monkeypatch, run_of(row()))
    assert main(["run", "--accel", "tcg", "--fresh-guest", "--jobs", "3", "--time-limit", "2.5"]) == 0
    out = capsys.readouterr().out
    assert "1024-raw" in out
    assert "written: reports/run.json" in out
    assert "next:" not in out
    assert sorted(file.name for file in (project / "reports").iterdir()) == [
        "matrix.html",
        "matrix.md",
        "run.json",
    ]
    (options,) = called
    assert (options.guest.accel, options.guest.fresh_guest) == ("tcg", True)
    assert (options.jobs, options.time_limit_s) == (3, 2.5)
    assert [program.name for program in options.programs] == ["programs/family/one"]


def test_verdicts_that_differ(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, run_of(rejected()))
    assert main(["run", "--out", "elsewhere"]) == 1
    assert (
        "next: bpfmatrix run --kernel 5.10 --clang clang-19 -k 'programs/maps/size[1024-raw]'"
        in capsys.readouterr().out
    )
    assert json.loads((project / "elsewhere" / "run.json").read_text())["cases"]


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("keyword", "kept"),
    [("n99", ["0", "1"]), ("[1]", ["1"]), ("one.bpf.c.j2 and not [1]", ["0"]), ("@5.10", ["0", "1"])],
)
def test_keyword_filters_the_cases(monkeypatch: pytest.MonkeyPatch, keyword: str, kept: list[str]) -> None:
    called = answer(monkeypatch, run_of(row()))
    assert main(["run", "-k", keyword]) == 0
    (options,) = called
    (program,) = options.programs
    assert [v.name for v in program.variants if options.keep(Case(program, v, "5.10"))] == kept


@pytest.mark.usefixtures("project")
def test_a_keyword_that_matches_nothing_boots_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called = answer(monkeypatch, run_of(row()))
    assert main(["run", "-k", "nothing"]) == 2
    assert "no case matches -k 'nothing'" in capsys.readouterr().err
    assert not called


@pytest.mark.usefixtures("project")
def test_an_interrupted_run_is_written_and_says_so(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, run_of(row(), partial=True))
    assert main(["run"]) == 128 + signal.SIGINT
    assert json.loads((project / "reports" / "run.json").read_text())["run"]["partial"] is True
    assert "interrupted" in capsys.readouterr().out


@pytest.mark.usefixtures("project")
def test_sigterm_ends_a_run_like_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def fake(_options: RunOptions, _progress: Any) -> Run:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        except KeyboardInterrupt:
            return run_of(row(), partial=True)
        raise AssertionError("not interrupted")

    monkeypatch.setattr(pipeline, "run", fake)
    assert main(["run"]) == 143
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("problem", "status", "words"),
    [
        (
            InfrastructureError("QEMU is gone", hint="bpfmatrix doctor"),
            3,
            "bpfmatrix: QEMU is gone\n  next: bpfmatrix doctor",
        ),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 3, "/x: no space left on the disk"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 3, "/x: Permission denied"),
        (KeyboardInterrupt(), 130, "bpfmatrix: interrupted"),
    ],
)
def test_problems_become_words(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    problem: BaseException,
    status: int,
    words: str,
) -> None:
    answer(monkeypatch, problem)
    assert main(["run"]) == status
    assert words in capsys.readouterr().err


@pytest.mark.usefixtures("project")
def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, OSError(errno.EBADF, "Bad file descriptor"))
    with pytest.raises(OSError, match="Bad file descriptor"):
        main(["run"])


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--bogus"], "No such option"),
        (["run", "--accel", "warp"], "'auto', 'kvm', 'tcg'"),
        (["run", "--jobs", "0"], "0 is not in the range"),
        (["run", "--kernel", "5.1"], "known: 5.10"),
        (["run", "-k", "a and"], "at column 6"),
        (["run", "--programs", "nowhere"], "nothing at this path"),
        (["nonsense"], "No such command"),
        (["report"], "name a run file or --features"),
        (["report", "nowhere.json"], "cannot be read"),
        (["report", "kernels.yaml"], "not JSON"),
        (["kernels", "add", "5.4"], "Missing option '--image'"),
        (["kernels", "add", "5.4", "--image", "kernels.yaml"], "kernels.yaml"),
        (["shell", "all"], "not in all"),
    ],
)
def test_mistakes_of_the_person(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    called = answer(monkeypatch, run_of(row()))
    assert main(arguments) == 2
    assert words in capsys.readouterr().err
    assert not called


@pytest.mark.usefixtures("project")
def test_broken_yaml_names_file_and_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "programs" / "family" / "one.yaml").write_text(MANIFEST + "claims: twice\n")
    assert main(["run"]) == 2
    assert "one.yaml:6" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["run"], ["kernels"], ["kernels", "fetch"], ["doctor"], ["report"], ["shell"]]
)
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--help"]) == 0
    assert "Usage: bpfmatrix" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("bpfmatrix, version ")


@pytest.mark.parametrize("form", FORMATS)
def test_report_prints_or_writes(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from harness.record.runfile import write  # noqa: PLC0415 - only this test makes a run file

    monkeypatch.chdir(tmp_path)
    write(run_of(replace(rejected(), pitfall="N01")), Path("run.json"))
    assert main(["report", "run.json", "--format", form]) == 0
    printed = capsys.readouterr().out
    assert "1024-raw" in printed
    assert main(["report", "run.json", "--format", form, "-o", "out.txt"]) == 0
    assert Path("out.txt").read_bytes().decode().rstrip("\n") == printed.rstrip("\n")
    assert list(tmp_path.glob(".*")) == [], "no draft left"


def test_kernels_list(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kernels", "list"]) == 0
    out = capsys.readouterr().out
    assert "mainline v5.10.1" in out
    assert str(project / "cache") in out


def test_prune_leaves_nothing_of_what_was_built(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("agent", "guest", "objects", "snapshots"):
        (project / "cache" / name).mkdir(parents=True)
        (project / "cache" / name / "file").write_bytes(bytes(1 << 20))
    assert main(["kernels", "prune"]) == 0
    assert capsys.readouterr().out == "freed 4 MiB\n"
    assert not [path for path in (project / "cache").rglob("*") if path.is_file() and path.suffix != ".lock"]


@pytest.mark.usefixtures("project")
def test_prune_of_an_empty_cache(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kernels", "prune"]) == 0
    assert capsys.readouterr().out == "freed 0 MiB\n"


@pytest.mark.usefixtures("project")
def test_a_kernel_that_failed_makes_status_3(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, run_of(row(), kernels=(kernel_run(), kernel_run("6.1", problem="no guest"))))
    assert main(["run"]) == 3


def test_a_missing_python_package_is_told_in_words() -> None:
    program = "import sys; sys.modules['virtme_ng'] = None; from harness.cli import main; sys.exit(main())"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert answer.stderr.startswith("bpfmatrix: the Python package 'virtme_ng' is missing\n  next: ")
