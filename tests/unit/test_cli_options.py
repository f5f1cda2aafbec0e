"""Options declared once, and what they make of kernels.yaml and the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from plugin_support import kernel

from harness.catalog.kernels import ImageSource, KernelSpec
from harness.cli.run import run as run_command
from harness.errors import UserError
from harness.kernels.errors import KernelUnavailable
from harness.model import Kernel
from harness.options import OPTIONS, Choice, by_age, obtain, usable_folder, wanted_kernels

KERNELS = """
kernels:
  "5.4": {source: mainline, version: v5.4.290}
  "5.10": {source: debian, suites: [bullseye], package: "linux-image-5.10-{flavour}", default: true}
  "7.3": {source: debian, suites: [sid], package: "linux-image-7.3-{flavour}", default: true}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BPFMATRIX_CACHE", str(tmp_path / "cache"))
    (tmp_path / "kernels.yaml").write_text(KERNELS)
    return tmp_path


def names(specs: tuple[KernelSpec, ...]) -> list[str]:
    return [spec.name for spec in specs]


def test_the_default_ones(root: Path) -> None:
    assert names(wanted_kernels(Choice(), root)) == ["5.10", "7.3"]


def test_named_ones_and_all(root: Path) -> None:
    assert names(wanted_kernels(Choice(kernel=("5.4",)), root)) == ["5.4"]
    assert names(wanted_kernels(Choice(kernel=("all",)), root)) == ["5.4", "5.10", "7.3"]


def test_unknown_ones_list_the_known_ones(root: Path) -> None:
    with pytest.raises(UserError, match=r"unknown kernel '5\.1'.*5\.4, 5\.10, 7\.3"):
        wanted_kernels(Choice(kernel=("5.1",)), root)


def test_an_image_alone_is_the_only_kernel(root: Path) -> None:
    (root / "bzImage").touch()
    (only,) = wanted_kernels(Choice(kernel_image=(f"5.4={root}/bzImage",)), root)
    assert (only.name, only.source) == ("5.4", ImageSource(root / "bzImage"))


def test_an_image_beside_named_kernels_takes_its_entrys_place(root: Path) -> None:
    (root / "bzImage").touch()
    choice = Choice(kernel=("all",), kernel_image=(f"5.4={root}/bzImage", f"mine={root}/bzImage"))
    specs = wanted_kernels(choice, root)
    assert names(specs) == ["5.4", "5.10", "7.3", "mine"]
    assert isinstance(specs[0].source, ImageSource)


@pytest.mark.parametrize("pair", ["5.4", "=x", "5.4=", ""])
def test_an_image_needs_name_and_path(root: Path, pair: str) -> None:
    with pytest.raises(UserError, match="is not NAME=PATH"):
        wanted_kernels(Choice(kernel_image=(pair,)), root)


def test_an_image_that_is_not_there(root: Path) -> None:
    with pytest.raises(UserError, match="there is no file /no/such"):
        wanted_kernels(Choice(kernel_image=("5.4=/no/such",)), root)


class Store:
    """A store that has everything but 5.4."""

    def ensure(self, spec: KernelSpec, **_: Any) -> Kernel:
        if spec.name == "5.4":
            raise KernelUnavailable("5.4", "mainline v5.4.290", "offline")
        if spec.name == "broken":
            raise UserError("not a kernel image")
        return kernel(spec.name)


def test_missing_kernels_end_the_run_or_are_named(root: Path) -> None:
    specs = tuple(reversed(wanted_kernels(Choice(kernel=("all",)), root)))
    with pytest.raises(KernelUnavailable, match=r"kernels add 5\.4"):
        obtain(specs, "error", store=Store())  # type: ignore[arg-type]
    got = obtain(specs, "skip", store=Store())  # type: ignore[arg-type]
    assert [found.name for found in got.kernels] == ["5.10", "7.3"], "oldest first"
    assert got.missing == (("5.4", "cannot be had: mainline v5.4.290: offline"),)


def test_skipping_is_for_missing_kernels_only() -> None:
    spec = KernelSpec("broken", ImageSource(Path("x")))
    with pytest.raises(UserError, match="not a kernel image"):
        obtain((spec,), "skip", store=Store())  # type: ignore[arg-type]


def test_by_age_compares_numbers_and_puts_the_nameless_last() -> None:
    specs = [KernelSpec(name, ImageSource(Path("x"))) for name in ("mine", "6.12", "5.10", "6.1")]
    assert [spec.name for spec in by_age(specs)] == ["5.10", "6.1", "6.12", "mine"]


def test_a_folder_that_cannot_be_written_is_told_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="reports cannot be written here"):
        usable_folder(tmp_path / "file" / "reports")
    assert list(usable_folder(tmp_path / "a" / "b").iterdir()) == []


def test_command_line_and_pytest_offer_the_same_options(pytestconfig: pytest.Config) -> None:
    known = {parameter.opts[0]: parameter for parameter in run_command.params}
    for option in OPTIONS:
        assert option.flag in known
        assert hasattr(pytestconfig.option, f"matrix_{option.key}")
        assert option.key in Choice.__dataclass_fields__
