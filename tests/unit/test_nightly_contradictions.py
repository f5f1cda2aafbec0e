"""A night's contradictions: a new one is worse and shown, a known or explained one is not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nightly_fakes
import pytest
from features_support import feature, kernel
from nightly_fakes import make_project

from harness.cli import main
from harness.features.types import FeatureKind
from harness.nightly import contradictions
from harness.record.changes import ChangeKind

OPTIONS: Any = SimpleNamespace(kernels=("a kernel",))
LOST = kernel("7.3", "7.3.4", [feature(FeatureKind.HELPER, "bpf_map_lookup_elem", "no", "xdp")])


def tonight(monkeypatch: pytest.MonkeyPatch, *kernels: Any, failed: Any = ()) -> Any:
    monkeypatch.setattr(contradictions, "measured_tonight", lambda _options: (list(kernels), failed))
    return contradictions.compare_with_documents(OPTIONS)


def test_a_feature_a_kernel_lost_is_a_regression(monkeypatch: pytest.MonkeyPatch) -> None:
    found = tonight(monkeypatch, LOST)
    (change,) = found.regressions
    assert change.id == "features/helper.bpf_map_lookup_elem@7.3"
    assert change.kind is ChangeKind.CONTRADICTION
    assert "documented since 3.19" in change.before
    assert "measured no" in change.after


def test_one_that_the_packages_files_have_is_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    known = contradictions.disagreements(contradictions.documented(), [LOST])
    monkeypatch.setattr(contradictions, "news", lambda: known)
    assert not tonight(monkeypatch, LOST).changes


def test_a_kernel_that_could_not_be_asked_is_no_word_about_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = tonight(monkeypatch, failed=[("6.1", "the guest\ndied")])
    assert not found.regressions
    assert found.broken


def test_the_night_ends_with_1_and_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BPFMATRIX_CACHE", str(tmp_path / "cache"))
    make_project(tmp_path)
    nightly_fakes.install(monkeypatch.setattr)
    made = tonight(monkeypatch, LOST)
    monkeypatch.setattr("harness.nightly.night.compare_with_documents", lambda _options: made)
    assert main(["nightly"]) == 1
    (changes,) = Path("reports/nightly").glob("*/changes.md")
    assert "contradicts the documents" in changes.read_text()
    assert "helper.bpf_map_lookup_elem" in changes.read_text()
    assert main(["nightly", "--no-features"]) == 0
