"""What the documents say can be done: every link leads somewhere, every command exists as written."""

from __future__ import annotations

import hashlib
import io
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

import click
import pytest

from harness.cli.app import app, main
from harness.record.runfile import read
from harness.report import render

ROOT = Path(__file__).resolve().parents[2]
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)[^)]*\)|!\[[^\]]*\]\(([^)\s]+)[^)]*\)")
_HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
_BLOCK = re.compile(r"^```(?:sh|bash|console|shell)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SEPARATORS = {"|", "||", "&&", ";", "&", ">", ">>", "<", "2>"}


def documents() -> list[Path]:
    """Every Markdown file that is part of the project; generated reports are no documents."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("harness/**/*.md")]
    return sorted(path for path in found if not path.name.startswith("."))


def commands() -> Iterator[tuple[Path, int, list[str]]]:
    """Every command of the shell blocks: file, line, words."""
    for path in documents():
        text = path.read_text(encoding="utf-8")
        for block in _BLOCK.finditer(text):
            first = text.count("\n", 0, block.start(1)) + 1
            yield from ((path, first + number, words) for number, words in _commands_in(block[1]))


def _commands_in(block: str) -> Iterator[tuple[int, list[str]]]:
    console = any(line.startswith("$ ") for line in block.splitlines())
    joined = block.replace("\\\n", "  ")
    for number, line in enumerate(joined.splitlines()):
        if console and not line.startswith("$ "):
            continue  # what a command printed
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word not in _SEPARATORS:
                words.append(word)
                continue
            yield from ((number, found) for found in [_without_environment(words)] if found)
            words = []


def _without_environment(words: list[str]) -> list[str]:
    while words and (re.fullmatch(r"[A-Z_]+=.*", words[0]) or words[0] == "sudo"):
        words = words[1:]
    return [Path(words[0]).name, *words[1:]] if words else []


def commands_of(program: str) -> list[object]:
    """Parameters for the commands that start `program`."""
    return [
        pytest.param(words[1:], id=f"{path.relative_to(ROOT)}:{line}")
        for path, line, words in commands()
        if words[0] == program
    ]


def anchors(path: Path) -> set[str]:
    """The anchors of a file's headings, as forges make them."""
    titles = _HEADING.findall(path.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for match in _LINK.finditer(path.read_text(encoding="utf-8")):
        target = match[1] or match[2]
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = unquote(target).partition("#")
        file = path.parent / name if name else path
        assert file.exists(), f"{path}: {target} does not exist"
        assert not anchor or file.suffix != ".md" or anchor in anchors(file), (
            f"{path}: {target} has no such heading"
        )


@pytest.mark.parametrize("words", commands_of("bpfmatrix"))
def test_commands_of_bpfmatrix_parse(words: list[str]) -> None:
    command: click.Command = app
    context = click.Context(app, info_name="bpfmatrix")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, *words = words
        assert name in command.commands, f"no command {name!r}"
        command = command.commands[name]
        context = click.Context(command, info_name=name, parent=context)
    if not isinstance(command, click.Group):
        with suppress(click.exceptions.Exit):  # --help
            command.parse_args(context, list(words))


@pytest.fixture(scope="module")
def pytest_flags() -> set[str]:
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", ran.stdout))


@pytest.mark.parametrize("words", commands_of("pytest"))
def test_options_of_pytest_exist(words: list[str], pytest_flags: set[str]) -> None:
    flags = [word.partition("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)]
    assert set(flags) <= pytest_flags


@pytest.mark.parametrize("words", commands_of("make"))
def test_targets_of_make_exist(words: list[str]) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {word for word in words if "=" not in word} <= targets


def test_the_readme_shows_how_to_begin() -> None:
    begun = {tuple(words[:2]) for path, _, words in commands() if path == ROOT / "README.md"}
    assert {("make", "matrix"), ("make", "test")} <= begun


def test_the_readme_quotes_the_matrix_to_the_letter() -> None:
    """Of the matrix that was committed with it: a later run on this machine may have newer kernels."""
    shown = subprocess.run(
        ["git", "show", "HEAD:reports/matrix.md"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    program = runpy.run_path(str(ROOT / "scripts" / "fill_readme.py"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.count("<!-- matrix: ") == readme.count("<!-- end -->") >= 5
    assert program["filled"](readme, shown.stdout) == readme, "python3 scripts/fill_readme.py"


# xdpdump_bpf.o of xdp-tools 1.3.1-1 (Debian 12); another version's object has other things to say of.
_OBJECT_SHA256 = "eab6f5910cc3a0cb462d9f0d640b03ae7c9cfcf8e454e3ccd0c905d1f6dc8f83"
_FILL = runpy.run_path(str(ROOT / "scripts" / "fill_readme.py"))


@pytest.mark.parametrize("command", _FILL["commands"]((ROOT / "README.md").read_text(encoding="utf-8")))
def test_the_readme_quotes_what_commands_print(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    program, *words = shlex.split(command)
    for path in (Path(word) for word in words if word.endswith(".o")):
        assert path.exists(), f"{path} is not there: apt install xdp-tools"
        if hashlib.sha256(path.read_bytes()).hexdigest() != _OBJECT_SHA256:
            pytest.skip(f"{path} is of another version of xdp-tools than README.md shows")
    assert program == "bpfmatrix"
    assert main(words) in (0, 1)
    quoted = _FILL["_output"](command, capsys.readouterr().out)
    assert quoted in (ROOT / "README.md").read_text(encoding="utf-8"), "python3 scripts/fill_readme.py"


def test_the_readme_shows_checks_of_a_helper_and_of_an_object() -> None:
    quoted = _FILL["commands"]((ROOT / "README.md").read_text(encoding="utf-8"))
    assert any("bpf_ringbuf_output" in command for command in quoted)
    assert any(".o --kernel" in command for command in quoted)


def test_the_page_of_pitfalls_is_made_of_the_reported_run(tmp_path: Path) -> None:
    committed = ["git", "show", "HEAD:reports/run.json"]  # `make matrix` may have written another one since
    (tmp_path / "run.json").write_bytes(
        subprocess.run(committed, cwd=ROOT, capture_output=True, check=True).stdout
    )
    made = render(read(tmp_path / "run.json"), "pitfalls")
    assert made == (ROOT / "docs" / "pitfalls.md").read_text(encoding="utf-8"), (
        "make it again: bpfmatrix report reports/run.json --format pitfalls -o docs/pitfalls.md"
    )


def explained() -> list[object]:
    """The examples of docs/explain.md: what is echoed, the options, and what the document says it prints."""
    text = (ROOT / "docs" / "explain.md").read_text(encoding="utf-8")
    found = []
    for block in _BLOCK.finditer(text):
        command, _, printed = block[1].partition("\n")
        if command.startswith("$ echo "):
            words = shlex.split(command.removeprefix("$ "))
            pipe = words.index("|")
            found.append(pytest.param(" ".join(words[1:pipe]), words[pipe + 2 :], printed, id=words[1][:40]))
    return found


@pytest.mark.parametrize(("text", "arguments", "printed"), explained())
def test_explanations_are_quoted_to_the_letter(
    text: str,
    arguments: list[str],
    printed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As far as the matrix plays no part, which another run changes."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode() + b"\n")))
    assert main(arguments) == 0
    out = capsys.readouterr().out.partition("In the matrix")[0].rstrip()
    assert printed.partition("In the matrix")[0].rstrip() == out


def test_there_are_examples_of_explanations() -> None:
    assert len(explained()) >= 3
