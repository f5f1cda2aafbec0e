"""The workflow and the units of docs/ci run as they stand."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
from ruamel.yaml import YAML

from harness.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
CI = ROOT / "docs" / "ci"
UNITS = ("bpfmatrix-nightly.service", "bpfmatrix-nightly.timer")
_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}")


def workflow() -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load((CI / "github-actions.yml").read_text())
    return found


def steps() -> list[dict[str, Any]]:
    (job,) = workflow()["jobs"].values()
    found: list[dict[str, Any]] = job["steps"]
    return found


def checker() -> jsonschema.protocols.Validator:
    """GitHub's own schema of workflows, as check-jsonschema brings it along."""
    folder = resources.files("check_jsonschema").joinpath("builtin_schemas", "vendor")
    schema = json.loads(folder.joinpath("github-workflows.json").read_text(encoding="utf-8"))
    return jsonschema.validators.validator_for(schema)(schema)


def test_the_workflow_is_one_for_github() -> None:
    checker().validate(workflow())


@pytest.mark.parametrize("damage", ["runs-on", "steps", "on"])
def test_a_workflow_that_is_none_is_noticed(damage: str) -> None:
    broken = workflow()
    if damage == "on":
        broken["on"] = {"shedule": [{"cron": "17 2 * * *"}]}
    else:
        broken["jobs"]["nightly"][damage] = 3
    assert not checker().is_valid(broken)


def test_expressions_name_what_there_is() -> None:
    ids = {step["id"] for step in steps() if "id" in step}
    texts = [
        *_EXPRESSION.findall((CI / "github-actions.yml").read_text()),
        *(s.get("if", "") for s in steps()),
    ]
    for text in texts:
        for context, name in re.findall(r"\b(github|steps|env|runner|secrets|inputs)\.(\w+)", text):
            assert context in ("github", "steps")
            assert name in (ids if context == "steps" else {"run_id", "run_attempt"})
    for step in steps():
        if "uses" in step:
            assert re.fullmatch(r"actions/[\w/-]+@v\d+", step["uses"]), "others' actions need a pinned commit"


def scripts() -> list[object]:
    return [pytest.param(step["run"], id=step["name"]) for step in steps() if "run" in step]


@pytest.mark.parametrize("script", scripts())
def test_scripts_are_shell_and_call_what_exists(script: str) -> None:
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    for line in script.splitlines():
        words = shlex.split(line)
        if words[0] == "python3":
            assert (ROOT / words[1]).is_file()
        if Path(words[0]).name == "bpfmatrix":
            parse(words)


def parse(words: list[str]) -> click.Context:
    """Parse a command line of bpfmatrix as it would be, without running it."""
    assert words[0].endswith(".venv/bin/bpfmatrix"), "where the set-up puts it"
    context = click.Context(app, info_name="bpfmatrix")
    command = app.commands[words[1]]
    found = click.Context(command, info_name=words[1], parent=context)
    command.parse_args(found, words[2:])
    return found


def test_what_is_kept_between_nights_is_what_a_night_writes() -> None:
    paths = {
        step["name"]: step["with"]["path"].split() for step in steps() if "cache" in step.get("uses", "")
    }
    assert len(paths) == 2
    for found in paths.values():
        assert found == [workflow()["jobs"]["nightly"]["env"]["BPFMATRIX_CACHE"], "reports/nightly",
                         "reports/history.sqlite"]  # fmt: skip
    after = [step.get("name") for step in steps()].index("The night")
    later = steps()[after + 1 :]
    assert all("always()" in step["if"] for step in later), (
        "a night that found something worse is kept and shown"
    )


def test_the_folder_of_this_night_is_found(tmp_path: Path) -> None:
    """Not one of the nights that were fetched, and none where the night broke before it had one."""
    script = next(step["run"] for step in steps() if step.get("id") == "night")
    (tmp_path / "reports" / "nightly" / "2026-01-01").mkdir(parents=True)
    subprocess.run(["touch", "-d", "yesterday", "reports/nightly/2026-01-01"], cwd=tmp_path, check=True)
    (tmp_path / ".began").touch()
    command = ["bash", "-eo", "pipefail", "-c", script]
    output = tmp_path / "output"
    subprocess.run(
        command, cwd=tmp_path, env={"GITHUB_OUTPUT": str(output), "PATH": "/usr/bin:/bin"}, check=True
    )
    assert output.read_text() == ""
    (tmp_path / "reports" / "nightly" / ".work").mkdir()
    (tmp_path / "reports" / "nightly" / "2026-01-02-2").mkdir()
    subprocess.run(
        command, cwd=tmp_path, env={"GITHUB_OUTPUT": str(output), "PATH": "/usr/bin:/bin"}, check=True
    )
    assert output.read_text() == "folder=reports/nightly/2026-01-02-2\n"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """The root of a machine that has systemd's units, ours, and the project where ours look for it."""
    units = next(p for p in (Path("/usr/lib/systemd/system"), Path("/lib/systemd/system")) if p.is_dir())
    shutil.copytree(units, tmp_path / "usr" / "lib" / "systemd" / "system", symlinks=True)
    target = tmp_path / "etc" / "systemd" / "system"
    target.mkdir(parents=True)
    for name in UNITS:
        shutil.copy(CI / name, target)
    command = tmp_path / "opt" / "bpfmatrix" / ".venv" / "bin" / "bpfmatrix"
    command.parent.mkdir(parents=True)
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    return tmp_path


def verified(root: Path) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", "verify", f"--root={root}", "--man=no", *UNITS]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_systemd_takes_the_units(machine: Path) -> None:
    done = verified(machine)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("unit", "line", "broken"),
    [
        (UNITS[0], "Type=oneshot", "Type=oneshoot"),
        (UNITS[0], "ExecStart=/opt", "ExecStart=/otp"),
        (UNITS[1], "OnCalendar=*-*-* 02:30:00", "OnCalendar=*-*-* 26:30:00"),
    ],
)
def test_units_that_are_broken_are_noticed(machine: Path, unit: str, line: str, broken: str) -> None:
    path = machine / "etc" / "systemd" / "system" / unit
    assert line in path.read_text()
    path.write_text(path.read_text().replace(line, broken))
    done = verified(machine)
    assert done.returncode != 0 or done.stderr


def test_the_service_starts_a_night_that_writes_where_it_may() -> None:
    text = (CI / UNITS[0]).read_text()
    (start,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    assert start.endswith(" $BPFMATRIX_NIGHTLY"), "a word of its own: it is split into options"
    context = parse(shlex.split(start.removesuffix(" $BPFMATRIX_NIGHTLY")))
    states = {
        "/var/lib/" + re.findall(r"^StateDirectory=(.*)$", text, re.MULTILINE)[0],
        "/var/cache/" + re.findall(r"^CacheDirectory=(.*)$", text, re.MULTILINE)[0],
    }
    assert "ProtectSystem=strict" in text
    assert context.params["out"] in states
    assert re.findall(r"^Environment=BPFMATRIX_CACHE=(.*)$", text, re.MULTILINE)[0] in states
