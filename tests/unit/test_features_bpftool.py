"""bpftool's answers beside the probe's: reading them, what differs, why."""

import json

import pytest
from features_support import finding

from harness.errors import InfrastructureError, UserError
from harness.features.bpftool.answers import Point, parse
from harness.features.bpftool.compare import FILE, differences, in_common, only_one, reason_of, reasons
from harness.features.types import FeatureKind, MeasuredFeature
from harness.model import KernelVersion

SAID = {
    "system_config": {
        "unprivileged_bpf_disabled": 2,
        "bpf_jit_harden": 0,
        "CONFIG_BPF": "y",
        "CONFIG_NET": None,
    },
    "program_types": {
        "have_xdp_prog_type": True,
        "have_tracing_prog_type": True,
        "have_kprobe_prog_type": True,
    },
    "map_types": {"have_ringbuf_map_type": False},
    "helpers": {
        "xdp_available_helpers": ["bpf_redirect", "bpf_loop"],
        "kprobe_available_helpers": ["bpf_loop"],
        "tracing_available_helpers": [],
    },
    "misc": {"have_bounded_loops": True},
}


def answers(known=()):
    return parse(json.dumps(SAID), known)


def helper(name, *groups):
    return MeasuredFeature(
        FeatureKind.HELPER, name, tuple((finding(support, words), types) for support, words, types in groups)
    )


def test_what_it_lists_is_a_yes_and_what_it_leaves_out_a_no():
    said = answers(("bpf_skb_pull_data",)).said
    assert said[Point(FeatureKind.HELPER, "bpf_redirect", "xdp")] is True
    assert said[Point(FeatureKind.HELPER, "bpf_redirect", "kprobe")] is False
    assert said[Point(FeatureKind.HELPER, "bpf_skb_pull_data", "xdp")] is False
    assert said[Point(FeatureKind.MAP_TYPE, "BPF_MAP_TYPE_RINGBUF")] is False
    assert said[Point(FeatureKind.CONFIG, "CONFIG_NET")] is False
    assert said[Point(FeatureKind.CONFIG, "bpf_jit_harden")] is False
    assert said[Point(FeatureKind.LANGUAGE, "bounded_loops")] is True


def test_a_type_it_lists_nothing_of_was_not_asked():
    found = answers()
    assert found.not_asked == ("tracing",)
    assert not [point for point in found.said if point.program_type == "tracing"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"program_types": 1}'])
def test_what_is_no_answer_of_its(text):
    with pytest.raises(InfrastructureError, match="cannot be read"):
        parse(text)


def test_unknown_differs_from_yes_and_equal_answers_do_not():
    features = [
        helper("bpf_redirect", ("unknown", "?", ("xdp",)), ("no", "words", ("kprobe",))),
        helper("bpf_loop", ("yes", "words", ("xdp",)), ("no", "words", ("kprobe",))),
    ]
    found = [(each.point.name, each.point.program_type) for each in differences(answers(), features)]
    assert found == [("bpf_loop", "kprobe"), ("bpf_redirect", "xdp")]
    assert in_common(answers(), features) == {FeatureKind.HELPER: 4}


def test_what_only_one_knows():
    alone, missing = only_one(answers(), [helper("bpf_new", ("yes", "words", ("xdp",)))])
    assert Point(FeatureKind.HELPER, "bpf_loop", "xdp") in alone
    assert missing == ((FeatureKind.HELPER, "bpf_new"),)


def test_the_reasons_are_read_and_cover_only_what_they_say():
    words = "program of this type cannot use helper bpf_loop#181"
    (found,) = differences(answers(), [helper("bpf_loop", ("no", words, ("kprobe",)))])
    assert reason_of(found, KernelVersion(7, 3, 4), reasons()) is not None
    assert reason_of(found, KernelVersion(5, 10, 262), reasons()) is None
    (other,) = differences(answers(), [helper("bpf_loop", ("no", "words nobody knows", ("kprobe",)))])
    assert reason_of(other, KernelVersion(7, 3, 4), reasons()) is None


def test_every_reason_has_its_source():
    assert all(each.why and each.source for each in reasons(FILE))


def test_a_line_that_is_no_reason(tmp_path):
    path = tmp_path / "reasons.jsonl"
    path.write_text('{"kind": "helper"}\n')
    with pytest.raises(UserError, match=r"reasons.jsonl:1: not a reason"):
        reasons(path)
