"""What a kernel in a question means, and what measured and documented facts answer together."""

from __future__ import annotations

import pytest
from features_support import feature, finding, kernel

from harness.errors import UserError
from harness.features.ask import Answer, Basis, ask, overall, predict
from harness.features.documented import documented
from harness.features.kernels import known_series, targets
from harness.features.names import Feature
from harness.features.types import FeatureKind, MeasuredFeature, Support

HELPER, KFUNC, MAP = FeatureKind.HELPER, FeatureKind.KFUNC, FeatureKind.MAP_TYPE
LOOP = Feature(HELPER, "bpf_loop")
RINGBUF = Feature(MAP, "BPF_MAP_TYPE_RINGBUF")
OLD = kernel(
    "5.10",
    "5.10.262",
    [
        MeasuredFeature(HELPER, "bpf_loop", ((finding("yes"), ("kprobe",)), (finding("no"), ("xdp",)))),
        feature(MAP, "BPF_MAP_TYPE_RINGBUF", "no"),
        feature(MAP, "BPF_MAP_TYPE_ARENA", "unknown"),
        feature(FeatureKind.COMMAND, "BPF_PROG_RUN", "yes"),
    ],
)
NEW = kernel("6.12", "6.12.117", [feature(HELPER, "bpf_loop", "yes", "kprobe", "xdp")])
KERNELS = (OLD, NEW)


def answer(feature_: Feature, kernel_: str, program_type: str | None = None) -> Answer:
    (target,) = targets(kernel_, KERNELS)
    return ask(feature_, target, documented(), program_type)


def test_the_measured_answer_decides() -> None:
    found = answer(LOOP, "6.12", "xdp")
    assert (found.support, found.basis, found.contradiction) == (Support.YES, Basis.MEASURED, "")
    assert "2026-11-25" in found.reason
    assert "created: what it said" in found.reason


def test_a_backport_is_yes_and_told() -> None:
    found = answer(LOOP, "5.10", "kprobe")
    assert (found.support, found.predicted) == (Support.YES, Support.NO)
    assert found.contradiction == "documented since 5.17, yet measured present"


def test_what_a_kernel_was_configured_without_is_no_and_told() -> None:
    found = answer(RINGBUF, "5.10")
    assert (found.support, found.predicted) == (Support.NO, Support.YES)
    assert found.contradiction == "documented since 5.8, yet measured absent"


def test_a_kernel_never_measured_is_predicted_and_says_so() -> None:
    found = answer(LOOP, "5.15")
    assert (found.support, found.basis) == (Support.NO, Basis.DOCUMENTED)
    assert found.reason == "documented since 5.17; never measured"


def test_a_stable_version_nobody_measured_names_its_measured_sibling() -> None:
    found = answer(RINGBUF, "5.10.1")
    assert found.support is Support.YES
    assert found.reason.endswith("never measured (measured in this series: 5.10 (5.10.262))")


def test_where_a_measurement_did_not_decide_the_documents_predict() -> None:
    found = answer(Feature(MAP, "BPF_MAP_TYPE_ARENA"), "5.10")
    assert (found.support, found.basis) == (Support.NO, Basis.DOCUMENTED)
    assert "nothing decided" in found.reason
    assert found.contradiction == ""


def test_a_program_type_that_was_not_asked_is_predicted() -> None:
    found = answer(LOOP, "6.12", "netfilter")
    assert (found.support, found.basis) == (Support.YES, Basis.DOCUMENTED)
    assert "not asked" in found.reason


def test_neither_documented_nor_measured_is_unknown() -> None:
    found = answer(Feature(KFUNC, "bpf_nobody_knows"), "6.12")
    assert (found.support, found.basis) == (Support.UNKNOWN, Basis.NOTHING)


def test_a_feature_is_measured_under_its_other_name() -> None:
    found = answer(Feature(FeatureKind.COMMAND, "BPF_PROG_TEST_RUN"), "5.10")
    assert (found.support, found.basis) == (Support.YES, Basis.MEASURED)


def test_a_distribution_that_backports_is_not_told_no() -> None:
    for release in ("4.18.0-477.10.1.el8_8.x86_64", "4.18.0-1.el8", "5.14.21-150400.24.55-default"):
        found = answer(LOOP, release)
        assert found.support is Support.UNKNOWN
        assert "takes features of later versions" in found.reason
    assert answer(LOOP, "5.4.0-216-generic").support is Support.NO
    assert answer(LOOP, "5.17.1-200.el9").support is Support.YES


def test_an_entry_nobody_measured_is_unknown() -> None:
    (target,) = targets("mine", KERNELS, ["mine"])
    found = ask(LOOP, target, documented())
    assert found.support is Support.UNKNOWN
    assert "bpfmatrix features --kernel mine" in found.reason


@pytest.mark.parametrize(
    ("name", "series", "program_type", "expected"),
    [
        ("helper:bpf_loop", (5, 16), None, "no"),
        ("helper:bpf_loop", (5, 17), None, "yes"),
        ("helper:bpf_get_current_pid_tgid", (6, 9), "xdp", "no"),
        ("helper:bpf_get_current_pid_tgid", (6, 10), "xdp", "yes"),
        ("helper:bpf_get_current_pid_tgid", (5, 4), "kprobe", "yes"),
        ("helper:bpf_map_lookup_elem", (6, 3), "netfilter", "no"),  # the program type came with 6.4
        ("helper:bpf_map_lookup_elem", (6, 4), "netfilter", "yes"),
        ("helper:bpf_xdp_output", (6, 12), "xdp", "no"),
        ("helper:bpf_xdp_output", (6, 12), "kprobe", "unknown"),  # sources contradict each other
        ("kfunc:bpf_dynptr_slice", (6, 12), "kprobe", "unknown"),  # one source says nothing of kprobe
        ("kfunc:bpf_dynptr_slice", (6, 3), "kprobe", "no"),
        ("kfunc:hid_bpf_get_data", (6, 10), "tracing", "yes"),
        ("kfunc:hid_bpf_get_data", (6, 11), "tracing", "no"),
        ("kfunc:bpf_stream_vprintk", (6, 18), None, "no"),
        ("kfunc:bpf_stream_vprintk", (7, 0), None, "yes"),
        ("language:bpf_debug_tracepoints", (4, 18), None, "no"),
        ("language:bpf_debug_tracepoints", (4, 17), None, "yes"),
    ],
)
def test_documents_predict(
    name: str, series: tuple[int, int], program_type: str | None, expected: str
) -> None:
    kind, _, word = name.partition(":")
    record = documented()[FeatureKind(kind), word]
    assert predict(record, series, documented(), program_type).support == expected


def test_entries_releases_and_exact_versions_are_the_measured_kernel() -> None:
    for text in ("6.12", "6.12.117", "v6.12.117", "6.12.117-test"):
        (target,) = targets(text, KERNELS)
        assert target.measured is NEW
    assert [target.measured for target in targets("all", KERNELS)] == [OLD, NEW]


def test_a_range_is_the_measured_kernels_in_it_and_the_series_between() -> None:
    found = targets(">=5.9,<6.13", KERNELS)
    assert [target.measured for target in found] == [OLD, NEW, None]
    assert found[-1].title == "5.9, 5.11–6.11 (upstream)"


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        (">=5.4,<6", (5, 4), (5, 19)),
        (">5.4,<=5.8", (5, 5), (5, 8)),
        (">5.4.100,<5.8.0", (5, 4), (5, 7)),
        ("<5.8.3,>5.7", (5, 8), (5, 8)),
        ("==4", (4, 0), (4, 20)),
        ("*", (3, 15), known_series()[-1]),
    ],
)
def test_the_series_of_a_range(text: str, first: tuple[int, int], last: tuple[int, int]) -> None:
    series = targets(text, ())[-1].series
    assert (series[0], series[-1]) == (first, last)


def test_a_range_some_of_which_lack_a_feature_is_no_and_says_which() -> None:
    (target,) = targets(">=5.4,<6", ())
    found = ask(RINGBUF, target, documented())
    assert found.support is Support.NO
    assert "missing in 5.4–5.7" in found.reason
    (target,) = targets(">=5.8,<6", ())
    assert ask(RINGBUF, target, documented()).support is Support.YES


@pytest.mark.parametrize("text", ["9z", "", "5", ">=", ">=x", "5.10.262.1.2", "6.12 or so", ">9"])
def test_what_is_no_kernel_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        targets(text, KERNELS)


def test_an_unknown_kernel_lists_the_measured() -> None:
    with pytest.raises(
        UserError, match=r"unknown kernel '6_12'; did you mean '6\.12'\? measured: 5\.10, 6\.12"
    ):
        targets("6_12", KERNELS)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [(("6.12",), "yes"), (("6.12", "5.15"), "no"), (("6.12", "4.18.0-1.el8"), "unknown"), ((), "unknown")],
)
def test_several_kernels_are_yes_only_together(texts: tuple[str, ...], expected: str) -> None:
    assert overall(answer(LOOP, text) for text in texts) == expected
