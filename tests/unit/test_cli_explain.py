"""`bpfmatrix explain`: what is read, printed and answered with which exit status."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from plugin_support import rejected, row, run_of

from harness.cli import explain as command
from harness.cli import main
from harness.model import Stage, Verdict, VerdictKind
from harness.record.runfile import write

LEAK = "load program: invalid argument: Unreleased reference id=2 alloc_insn=14 (130 line(s) omitted)\n"


@pytest.fixture(autouse=True)
def _in_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project of its own, without reports."""
    (tmp_path / "kernels.yaml").write_text("kernels: {}\n")
    monkeypatch.chdir(tmp_path)


def piped(monkeypatch: pytest.MonkeyPatch, data: bytes, *, tty: bool = False) -> None:
    """Put `data` on standard input."""
    stdin = io.TextIOWrapper(io.BytesIO(data))
    monkeypatch.setattr(stdin, "isatty", lambda: tty, raising=False)
    monkeypatch.setattr(sys, "stdin", stdin)


def save(path: Path) -> Path:
    """A run with a row refused for a leak, and one accepted."""
    leak = Verdict(
        VerdictKind.REJECT, Stage.LOAD, "EINVAL", "unreleased-reference", "Unreleased reference id=2"
    )
    write(run_of(rejected(variant="leak", verdict=leak), row(variant="fine")), path)
    return path


def test_a_file_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "error.txt").write_text(LEAK)
    assert main(["explain", "error.txt"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "unreleased-reference: A reserved record or reference is not released on every path\n"
    )
    for words in (
        "said         Unreleased reference id=2 alloc_insn=14",
        "where        load, EINVAL",
        "acquired at  14 (the log does not show it)",
        "left out     130 lines of the log, by cilium/ebpf; it prints all with %+v",
        "fix          Discard or release it before each return",
        "In the matrix: there is no reports/run.json. Make one: bpfmatrix run, or name another with --run.",
        "Pitfalls: N11 (docs/pitfalls.md#n11).",
        "next: bpfmatrix run -k N11",
    ):
        assert words in out


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_standard_input_is_explained(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    piped(monkeypatch, LEAK.encode())
    assert main(["explain", *arguments]) == 0
    assert "unreleased-reference" in capsys.readouterr().out


def test_what_no_rule_knows_is_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    piped(monkeypatch, b"0: (95) exit\nthe moon is full\nprocessed 1 insns (limit 1000000)\n")
    assert main(["explain"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("unclassified: ")
    assert "said         the moon is full" in out
    assert "instruction  0: (95) exit" in out
    assert "causes.yaml has room for a rule" in out


def test_the_rows_of_the_matrix(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "error.txt").write_text(LEAK)
    run = save(tmp_path / "mine.json")
    assert main(["explain", "error.txt", "--run", str(run)]) == 0
    out = capsys.readouterr().out
    assert f"In the matrix ({run}, measured " in out
    assert "  leak  ✗≠ load EINVAL" in out
    assert "  fine  ✓" in out
    (tmp_path / "reports").mkdir()
    save(tmp_path / "reports" / "run.json")
    assert main(["explain", "error.txt"]) == 0
    assert "In the matrix (reports/run.json, measured " in capsys.readouterr().out


def test_a_run_without_such_a_row_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "error.txt").write_text("R0 !read_ok\n")
    assert main(["explain", "error.txt", "--run", str(save(tmp_path / "mine.json"))]) == 0
    assert "no row was refused for this" in capsys.readouterr().out


def test_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "error.txt").write_text(LEAK)
    assert main(["explain", "--json", "error.txt", "--run", str(save(tmp_path / "mine.json"))]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["recognised"] is True
    assert document["cause"]["id"] == "unreleased-reference"
    assert (document["stage"], document["errno"], document["omitted_lines"]) == ("load", "EINVAL", 130)
    assert document["acquired"] == {"index": 14, "text": ""}
    assert [one["variant"] for one in document["matrix"]["rows"]] == ["leak", "fine"]
    (tmp_path / "error.txt").write_text("hello\n")
    assert main(["explain", "--json", "error.txt"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["recognised"], document["cause"]["id"]) == (False, "unclassified")
    assert document["matrix"]["problem"].startswith("there is no reports/run.json")


def test_hints(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "error.txt").write_text("it failed\n")
    assert main(["explain", "error.txt", "--errno", "-7", "--stage", "map_create"]) == 0
    assert capsys.readouterr().out.startswith("map-too-large: ")
    (tmp_path / "error.txt").write_text("operation not permitted (MEMLOCK may be too low)\n")
    assert main(["explain", "error.txt", "--kernel", "6.12.1-amd64"]) == 0
    assert capsys.readouterr().out.startswith("missing-capability: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.txt"], "nowhere.txt: cannot be read: No such file or directory"),
        (["."], ".: cannot be read: Is a directory"),
        (["permission denied: R0 !read_ok"], "next: echo 'permission denied: …' | bpfmatrix explain"),
        (["a\0b"], "cannot be read: "),
        (["empty.txt"], "empty.txt: empty: there is nothing to explain"),
        (["nuls.txt"], "nuls.txt: empty: there is nothing to explain"),
        (["error.txt", "--errno", "EFOO"], "--errno 'EFOO': did you mean"),
        (["error.txt", "--errno", "4711"], "--errno '4711'"),
        (["error.txt", "--stage", "boot"], "'boot' is not one of"),
        (["error.txt", "--kernel", "new"], "--kernel: no kernel version in 'new'"),
        (["error.txt", "--run", "nowhere.json"], "nowhere.json: cannot be read"),
        (["error.txt", "--run", "error.txt"], "error.txt:1: not JSON"),
        (["error.txt", "another.txt"], "unexpected extra argument"),
    ],
)
def test_usage_errors(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "error.txt").write_text(LEAK)
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "nuls.txt").write_bytes(b"\0" * 4096)
    assert main(["explain", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_terminal_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    piped(monkeypatch, b"", tty=True)
    assert main(["explain"]) == 2
    assert "there is no text to explain" in capsys.readouterr().err


def test_a_damaged_default_run_is_said_and_no_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "error.txt").write_text(LEAK)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "run.json").write_text("{")
    assert main(["explain", "error.txt"]) == 0
    assert "In the matrix: not JSON" in capsys.readouterr().out


def test_control_characters_do_not_reach_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    piped(
        monkeypatch,
        b"libbpf: prog '\x1b]0;owned\x07x\x9b2J': BPF program load failed: Permission denied\n"
        b"; \x1b[2Jx @ a.c:1\n0: (95) exit\xff\xfe\x00\nR0 !read_ok \xe2\x80\xae\n",
    )
    assert main(["explain"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("uninitialised-register")
    assert not any(ord(char) < 32 and char != "\n" for char in out)
    assert "\u202e" not in out
    assert "\x9b" not in out


def test_long_input_is_bounded_and_what_is_missing_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "_CHUNK", 1000)
    monkeypatch.setattr(command, "_HEAD", 2000)
    monkeypatch.setattr(command, "_LIMIT", 10_000)
    log = b"".join(b"%d: (bf) r1 = r2\n" % n for n in range(4000))
    head = b"libbpf: prog 'p': BPF program load failed: Permission denied\n"
    piped(monkeypatch, head + log + b"4000: (95) exit\nR0 !read_ok\n")
    assert main(["explain"]) == 0
    out = capsys.readouterr().out
    total = len(head) + len(log) + len(b"4000: (95) exit\nR0 !read_ok\n")
    assert f"cut          {total - 10_000} bytes in the middle of {total} were not looked at" in out
    assert "where        load, EACCES, program p" in out
    assert "instruction  4000: (95) exit" in out


def test_endless_input_ends(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command, "_CHUNK", 1 << 16)
    monkeypatch.setattr(command, "_READ", 1 << 20)
    assert main(["explain", "/dev/urandom"]) == 1
    assert "reading stopped after 1 MiB" in capsys.readouterr().out
    assert main(["explain", "/dev/zero"]) == 2
