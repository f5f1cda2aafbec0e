"""What a person types and what is meant."""

from __future__ import annotations

from contextlib import suppress

import pytest
from features_support import feature, kernel
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UserError
from harness.features.documented import documented
from harness.features.names import Feature, Names, program_type
from harness.features.types import FeatureKind

NEW = feature(FeatureKind.KFUNC, "bpf_brand_new", "yes")
NAMES = Names(documented(), [kernel("7.3", "7.3.4", [NEW])])


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("bpf_ringbuf_output", "helper", "bpf_ringbuf_output"),
        ("ringbuf_output", "helper", "bpf_ringbuf_output"),
        ("BPF_FUNC_ringbuf_output", "helper", "bpf_ringbuf_output"),
        (" BPF_RINGBUF_OUTPUT ", "helper", "bpf_ringbuf_output"),
        ("ringbuf-output", "helper", "bpf_ringbuf_output"),
        ("map ringbuf", "map_type", "BPF_MAP_TYPE_RINGBUF"),
        ("map_type:ringbuf", "map_type", "BPF_MAP_TYPE_RINGBUF"),
        ("map type BPF_MAP_TYPE_RINGBUF", "map_type", "BPF_MAP_TYPE_RINGBUF"),
        ("ringbuf", "map_type", "BPF_MAP_TYPE_RINGBUF"),
        ("prog xdp", "program_type", "BPF_PROG_TYPE_XDP"),
        ("program/xdp", "program_type", "BPF_PROG_TYPE_XDP"),
        ("BPF_XDP", "attach_type", "BPF_XDP"),
        ("fentry", "attach_type", "BPF_TRACE_FENTRY"),
        ("link:xdp", "link_type", "BPF_LINK_TYPE_XDP"),
        ("BPF_MAP_LOOKUP_ELEM", "command", "BPF_MAP_LOOKUP_ELEM"),
        ("bpf_map_lookup_elem", "helper", "bpf_map_lookup_elem"),
        ("BPF_PROG_RUN", "command", "BPF_PROG_TEST_RUN"),
        ("mmapable", "map_flag", "BPF_F_MMAPABLE"),
        ("flag sleepable", "program_flag", "BPF_F_SLEEPABLE"),
        ("bpf_loop", "helper", "bpf_loop"),
        ("loop", "helper", "bpf_loop"),
        ("language:bpf_loop", "language", "bpf_loop"),
        ("bounded_loops", "language", "bounded_loops"),
        ("x86_64", "jit", "x86_64"),
        ("bpf_brand_new", "kfunc", "bpf_brand_new"),
    ],
)
def test_a_name_is_found(text: str, kind: str, name: str) -> None:
    assert NAMES.find(text) == Feature(FeatureKind(kind), name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("xdp", ("BPF_XDP (attach type)", "BPF_PROG_TYPE_XDP (program type)", "name the kind")),
        ("Bpf_Map_Lookup_Elem", ("BPF_MAP_LOOKUP_ELEM (command)", "bpf_map_lookup_elem (helper)")),
    ],
)
def test_an_ambiguous_name_is_told_with_its_kinds(text: str, words: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as caught:
        NAMES.find(text)
    assert f"{text!r} may mean" in str(caught.value)
    for each in words:
        assert each in str(caught.value)


def test_what_a_message_proposes_is_unambiguous() -> None:
    with pytest.raises(UserError) as caught:
        NAMES.find("xdp")
    proposed = str(caught.value).rsplit(" ", 1)[-1]
    assert NAMES.find(proposed).name == proposed.partition(":")[2]


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("bpf_ringbuf_outptu", "bpf_ringbuf_output (helper)"),
        ("map rinbuf", "BPF_MAP_TYPE_RINGBUF (map type)"),
        ("bouned_loops", "bounded_loops (language)"),
        ("BPF_F_MMAPPABLE", "BPF_F_MMAPABLE (map flag)"),
    ],
)
def test_near_misses_are_suggested(text: str, suggestion: str) -> None:
    with pytest.raises(UserError) as caught:
        NAMES.find(text)
    assert "did you mean" in str(caught.value)
    assert suggestion in str(caught.value)


def test_a_kind_restricts_what_is_suggested() -> None:
    with pytest.raises(UserError) as caught:
        NAMES.find("map ringbuf_output")
    assert "unknown map type" in str(caught.value)
    assert "(helper)" not in str(caught.value)


def test_every_documented_name_means_itself() -> None:
    for kind, name in documented():
        assert NAMES.find(f"{kind}:{name}") == Feature(kind, name)
        if kind is not FeatureKind.LANGUAGE:
            assert NAMES.find(name) == Feature(kind, name)


@given(st.text(max_size=300))
def test_any_text_is_found_or_refused(text: str) -> None:
    with suppress(UserError):
        found = NAMES.find(text)
        assert found in NAMES.of_kind(found.kind)


def test_a_message_about_a_long_name_is_short() -> None:
    with pytest.raises(UserError) as caught:
        NAMES.find("x" * 100_000)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("text", "short"),
    [("xdp", "xdp"), ("BPF_PROG_TYPE_SCHED_CLS", "sched_cls"), ("tc", "sched_cls"), ("fentry", "tracing")],
)
def test_program_types_are_forgiven_too(text: str, short: str) -> None:
    assert program_type(text, documented()) == short


def test_an_unknown_program_type_lists_the_known() -> None:
    with pytest.raises(
        UserError, match=r"unknown program type 'kprob'; did you mean 'kprobe'\? known: .*xdp"
    ):
        program_type("kprob", documented())
