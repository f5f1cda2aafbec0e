"""RESULT and HELLO as domain types."""

import struct
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.guest.errors import GuestConfused
from harness.guest.exchange import UNLIMITED, LoadRequest, case_fields, facts_of, observation_of
from harness.guest.tables import ALL_CAPABILITIES, capability_mask, errno_name, map_type_name
from harness.guest.wire import Message, MessageType, number
from harness.model import Loader, LoadSettings, ObservationStatus, Stage


def result(*fields):
    return Message(MessageType.RESULT, 1, fields)


def test_a_rejection_keeps_stage_errno_log_and_numbers():
    stats = (
        b"processed 12 insns (limit 1000000) max_states_per_insn 0 total_states 3 peak_states 2 mark_read 1"
    )
    observation = observation_of(
        result(
            (1, number(1)), (2, number(4)), (3, number(13)), (4, b"R1 bad \xff"), (5, number(1)),
            (6, number(5)), (8, number(900)), (9, number(1200)), (11, b"a fix-up"), (12, b"kernel line"),
            (14, number(12)), (16, stats),
        ),
        5000,
    )  # fmt: skip
    assert (observation.status, observation.stage, observation.errno) == ("failed", Stage.LOAD, "EACCES")
    assert observation.verifier_log == "R1 bad �"
    assert observation.log_truncated
    assert (observation.insns_processed, observation.total_states, observation.peak_states) == (12, 3, 2)
    assert (observation.kernel_time_us, observation.bpf_time_us, observation.wall_us) == (900, 1200, 5000)
    assert observation.fixups == ("a fix-up",)
    assert observation.kernel_messages == ("kernel line",)


def test_maps_carry_what_was_declared_and_what_was_created():
    raw = struct.pack("<7I", 27, 0, 0, 4096, 0, 0, 1000) + b"events"
    unknown = struct.pack("<7I", 99, 4, 4, 1, 0, 22, 0xFFFFFFFF) + b"odd"
    first, second = observation_of(result((1, number(0)), (10, raw), (10, unknown)), 1).maps
    assert (first.name, first.type, first.max_entries, first.declared_entries) == (
        "events",
        "ringbuf",
        4096,
        1000,
    )
    assert first.errno is None
    assert (second.type, second.errno, second.declared_entries) == ("type 99", "EINVAL", None)


@pytest.mark.parametrize(("status", "want"), [(2, ObservationStatus.HANG), (3, ObservationStatus.CRASH)])
def test_a_case_that_had_no_answer_is_never_loaded(status, want):
    observation = observation_of(result((1, number(status)), (13, number(9))), 1)
    assert observation.status is want
    assert observation.note


def test_a_result_that_is_none_is_refused():
    with pytest.raises(GuestConfused):
        observation_of(Message(MessageType.OK, 1), 1)
    with pytest.raises(GuestConfused):
        observation_of(result((1, number(0)), (10, b"short")), 1)


def test_a_result_without_a_status_is_a_crash_not_an_accept():
    assert observation_of(result(), 1).status is ObservationStatus.CRASH


def test_case_fields_state_every_limit():
    settings = LoadSettings(
        Loader.RAW, memlock=4096, capabilities=("CAP_BPF",), time_limit_s=1.5, log_bytes=777
    )
    fields = dict(case_fields(LoadRequest(Path("x"), "0", "prog", settings), (1, b"blob"), "btf"))
    as_number = {tag: int.from_bytes(value, "little") for tag, value in fields.items()}
    assert (fields[1], fields[2], fields[8]) == (b"blob", b"prog", b"btf")
    assert [as_number[tag] for tag in (3, 4, 5, 6, 7)] == [1, 4096, 1 << 39, 1500, 777]
    default = dict(case_fields(LoadRequest(Path("x"), "0", "prog", LoadSettings()), (10, b"bytes"), None))
    assert int.from_bytes(default[4], "little") == UNLIMITED
    assert 8 not in default


def test_hello_becomes_facts_that_answer_needs():
    hello = Message(
        MessageType.HELLO,
        0,
        ((3, b"abc"), (4, b"6.12.1"), (6, b"1.1"), (7, number(1)), (8, b"hash"), (8, b"ringbuf")),
    )
    facts = facts_of(hello, frozenset({"BPF_JIT"}))
    assert (facts.agent, facts.release, facts.libbpf) == ("abc", "6.12.1", "1.1")
    assert all(
        facts.has(need) for need in ("btf", "map_type.ringbuf", "config.CONFIG_BPF_JIT", "!map_type.arena")
    )
    assert not facts.has("config.BPF_LSM")
    assert facts.has("libbpf.1.1")
    assert facts.has("!libbpf.1.10")


def test_names_of_numbers():
    assert [errno_name(n) for n in (13, 524, 999)] == ["EACCES", "ENOTSUPP", "errno 999"]
    assert [map_type_name(n) for n in (1, 27, 500)] == ["hash", "ringbuf", "type 500"]
    assert capability_mask(None) == ALL_CAPABILITIES
    assert capability_mask(["cap_bpf", "PERFMON"]) == (1 << 39) | (1 << 38)
    with pytest.raises(UserError, match="CAP_NOPE"):
        capability_mask(["CAP_NOPE"])
