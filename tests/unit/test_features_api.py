"""`supports` for programs, and what importing it brings along."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from features_support import feature, kernel

from harness.errors import UserError
from harness.features import Basis, FeatureKind, Support, answers, measured, supports

HEAVY = ("jsonschema", "rich", "ruamel", "jinja2", "click", "requests", "elftools", "pytest", "tabulate")


@pytest.fixture(autouse=True)
def own_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A measured kernel `mine` of 6.1 that has bpf_loop for xdp only, and a kfunc nobody documents."""
    features = [
        feature(FeatureKind.HELPER, "bpf_loop", "yes", "xdp"),
        feature(FeatureKind.KFUNC, "bpf_mine_only", "yes"),
    ]
    measured.write(kernel("mine", "6.1.99", features), tmp_path)
    monkeypatch.setenv(measured.FOLDER_VARIABLE, str(tmp_path))


def test_supports_answers_in_three_values() -> None:
    assert supports("bpf_loop", kernel="mine", program_type="xdp") is Support.YES
    assert supports("bpf_loop", kernel="5.15", program_type="xdp") is Support.NO
    assert supports("bpf_loop", kernel="4.18.0-477.el8.x86_64") is Support.UNKNOWN


def test_what_only_a_kernel_knows_has_a_name() -> None:
    assert supports("mine_only", kernel="mine") is Support.YES
    with pytest.raises(UserError, match="unknown feature"):
        supports("bpf_mine_only", kernel="5.4.1")


def test_answers_tell_what_they_rest_on() -> None:
    (answer,) = answers("bpf_loop", kernel="mine", program_type="BPF_PROG_TYPE_XDP")
    assert (answer.basis, answer.program_type) == (Basis.MEASURED, "xdp")
    (answer,) = answers("bpf_loop", kernel="5.15")
    assert answer.basis is Basis.DOCUMENTED


@pytest.mark.parametrize(
    ("name", "kernel_", "program_type"),
    [("bpf_x", "5.15", None), ("bpf_loop", "x", None), ("bpf_loop", "5.4", "x")],
)
def test_what_does_not_exist_is_refused(name: str, kernel_: str, program_type: str | None) -> None:
    with pytest.raises(UserError):
        supports(name, kernel=kernel_, program_type=program_type)


def test_importing_and_asking_brings_nothing_heavy_along() -> None:
    code = (
        "import sys; from harness.features import supports; supports('bpf_loop', kernel='5.15'); "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
