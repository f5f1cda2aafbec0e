"""Tests marked `bpf_requires`: skipped where it is measured, failed where nobody knows."""

from __future__ import annotations

from pathlib import Path

import pytest
from features_support import feature, kernel

from harness.features import measured
from harness.features.types import FeatureKind

OURS = ("-p", "harness.pytest_plugin", "-p", "no:cacheprovider", "-rsf")
KERNELS = """
kernels:
  "5.4": {source: mainline, version: v5.4.290}
  lacking: {source: mainline, version: v6.1.1, default: true}
  having: {source: mainline, version: v6.12.1, default: true}
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with its own kernels, of which two were measured."""
    monkeypatch.setenv("BPFMATRIX_CACHE", str(pytester.path / "cache"))
    folder = pytester.path / "measured"
    for name, version, answer in (("lacking", "6.1.1", "no"), ("having", "6.12.1", "yes")):
        measured.write(
            kernel(name, version, [feature(FeatureKind.HELPER, "bpf_loop", answer, "xdp")]), folder
        )
    monkeypatch.setenv(measured.FOLDER_VARIABLE, str(folder))
    pytester.makeini("[pytest]\nfilterwarnings = error\naddopts = --strict-markers\n")
    (pytester.path / "kernels.yaml").write_text(KERNELS)
    return pytester


def write(project: pytest.Pytester, marker: str, arguments: str = "") -> None:
    Path(project.path / "test_it.py").write_text(
        f"import pytest\n\n@pytest.mark.bpf_requires({marker})\ndef test_it({arguments}): pass\n"
    )


def test_a_kernel_that_measurably_lacks_it_skips_with_the_reason(project: pytest.Pytester) -> None:
    write(project, '"bpf_loop", program_type="xdp"')
    result = project.runpytest_inprocess(*OURS, "--kernel", "lacking", "--kernel", "having")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["*lacking (6.1.1-test) lacks bpf_loop (helper) in xdp programs: measured*"])


def test_a_test_that_asks_for_the_kernel_runs_on_the_default_ones(project: pytest.Pytester) -> None:
    write(project, '"bpf_loop"', "bpf_kernel")
    result = project.runpytest_inprocess(*OURS, "-v")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["*test_it?lacking?*SKIPPED*", "*test_it?having?*PASSED*"])


def test_all_kernels_are_those_of_the_file(project: pytest.Pytester) -> None:
    write(project, '"bpf_loop", unknown="run"')
    result = project.runpytest_inprocess(*OURS, "--kernel", "all")
    result.assert_outcomes(passed=2, skipped=1)


def test_where_nobody_measured_a_predicted_no_fails_and_says_what_to_do(project: pytest.Pytester) -> None:
    write(project, '"bpf_loop"')
    result = project.runpytest_inprocess(*OURS, "--kernel", "5.4")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "*5.4 does not have bpf_loop (helper): documented since 5.17; never measured*",
            "*next: bpfmatrix features*",
        ]
    )


def test_where_nobody_measured_a_predicted_yes_runs(project: pytest.Pytester) -> None:
    write(project, '"bpf_map_lookup_elem"')
    project.runpytest_inprocess(*OURS, "--kernel", "5.4").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("policy", "outcomes"),
    [
        ("fail", {"errors": 1}),
        ("run", {"passed": 1}),
        ("skip", {"skipped": 1}),
        ("documented", {"skipped": 1}),
    ],
)
def test_unknown_facts_are_told_what_to_do(
    project: pytest.Pytester, policy: str, outcomes: dict[str, int]
) -> None:
    write(project, f'"bpf_loop", unknown="{policy}"')
    project.runpytest_inprocess(*OURS, "--kernel", "5.4").assert_outcomes(**outcomes)
    write(project, '"bpf_loop"')
    project.runpytest_inprocess(*OURS, "--kernel", "5.4", "--bpf-unknown", policy).assert_outcomes(**outcomes)


def test_going_by_documents_fails_where_there_are_none(project: pytest.Pytester) -> None:
    write(project, '"bpf_loop", kernel="4.18.0-1.el8", unknown="documented"')
    result = project.runpytest_inprocess(*OURS)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*may not have bpf_loop*"])


def test_the_running_kernel_is_asked_where_none_is_named(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.release", lambda: "6.1.1-test")
    write(project, '"bpf_loop"')
    project.runpytest_inprocess(*OURS).assert_outcomes(skipped=1)
    write(project, '"bpf_loop", kernel="running"')
    project.runpytest_inprocess(*OURS, "--kernel", "having").assert_outcomes(skipped=1)


def test_a_test_that_parametrizes_its_kernel_itself_is_left_to_it(project: pytest.Pytester) -> None:
    (project.path / "test_it.py").write_text(
        "import pytest\n\n"
        '@pytest.mark.parametrize("bpf_kernel", ["lacking", "having"])\n'
        '@pytest.mark.bpf_requires("bpf_loop")\ndef test_it(bpf_kernel): assert bpf_kernel == "having"\n'
    )
    project.runpytest_inprocess(*OURS, "--kernel", "5.4").assert_outcomes(passed=1, skipped=1)


def test_several_features_and_markers_are_all_needed(project: pytest.Pytester) -> None:
    write(project, '"bpf_map_lookup_elem", "bpf_loop"')
    project.runpytest_inprocess(*OURS, "--kernel", "lacking").assert_outcomes(skipped=1)


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ('"bpf_looop"', "*unknown feature 'bpf_looop'; did you mean bpf_loop*"),
        ('"bpf_loop", kernel="nope"', "*unknown kernel 'nope'*"),
        ('"bpf_loop", program_type="nope"', "*unknown program type 'nope'*"),
    ],
)
def test_names_that_do_not_exist_fail(project: pytest.Pytester, marker: str, words: str) -> None:
    write(project, marker)
    result = project.runpytest_inprocess(*OURS)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([words])


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ("", "*it needs names of features*"),
        ('"bpf_loop", programtype="xdp"', "*no argument 'programtype'*"),
        ('"bpf_loop", unknown="x"', "*unknown='x'; valid: fail, run, skip, documented*"),
    ],
)
def test_a_marker_with_wrong_arguments_is_refused(project: pytest.Pytester, marker: str, words: str) -> None:
    write(project, marker)
    result = project.runpytest_inprocess(*OURS)
    assert result.ret != 0
    result.stdout.fnmatch_lines([words])


def test_a_session_without_kernels_yaml_marks_by_the_running_kernel(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.path / "kernels.yaml").unlink()
    monkeypatch.setattr("platform.release", lambda: "6.12.1-test")
    write(project, '"bpf_loop"')
    project.runpytest_inprocess(*OURS).assert_outcomes(passed=1)
