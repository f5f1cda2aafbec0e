"""What is kept of virtme-ng's plan, and when it is asked again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from harness.errors import InfrastructureError, UserError
from harness.guest import vng
from harness.model import Kernel, KernelVersion


def kernel(tmp_path: Path) -> Kernel:
    return Kernel("6.12", KernelVersion(6, 12), "6.12.0", "image", "0" * 64, tmp_path / "vmlinuz")


def test_a_plan_whose_qemu_is_gone_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BPFMATRIX_CACHE", str(tmp_path))
    lines = [f"{tmp_path}/qemu-system-gone -kernel a", f"{sys.executable} -kernel a # qemu-system"]
    monkeypatch.setattr(vng, "_ask", lambda _command: lines.pop(0))
    monkeypatch.setattr(vng, "keep_platform", lambda line: tuple(line.split()[:3]))
    first = vng.platform_arguments(kernel(tmp_path), kvm=False)
    second = vng.platform_arguments(kernel(tmp_path), kvm=False)
    third = vng.platform_arguments(kernel(tmp_path), kvm=False)
    assert first[0].endswith("qemu-system-gone")
    assert second[0] == sys.executable
    assert third == second
    assert not lines


def test_a_damaged_plan_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BPFMATRIX_CACHE", str(tmp_path))
    monkeypatch.setattr(vng, "_ask", lambda _command: f"{sys.executable}/qemu-system -kernel a")
    vng.platform_arguments(kernel(tmp_path), kvm=False)
    (entry,) = (tmp_path / "guest").iterdir()
    for broken in ("", "[]", "{", "3"):
        entry.write_text(broken)
        vng.platform_arguments(kernel(tmp_path), kvm=False)
        assert json.loads(entry.read_text())[1:] == ["-kernel", "a"]


def test_a_line_that_is_no_qemu_command_is_refused() -> None:
    with pytest.raises(InfrastructureError, match="no QEMU command line but: nonsense"):
        vng.keep_platform("nonsense")


def test_virtme_ng_that_cannot_plan_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import sys; print('cannot find qemu for x86_64', file=sys.stderr)"
    with pytest.raises(UserError, match="cannot find qemu for x86_64") as problem:
        vng._ask([sys.executable, "-c", script, "--"])
    assert "doctor --install" in str(problem.value)
