"""Batches of system calls: their bytes, and what an answer is believed."""

import struct

import pytest

from harness.guest.calls import (
    ARGUMENTS,
    MOST_CALLS,
    Answers,
    Call,
    Called,
    Ending,
    Patch,
    PatchKind,
    Sys,
    answers_of,
    argument,
    calls_fields,
)
from harness.guest.errors import GuestConfused
from harness.guest.wire import Message, MessageType, decode_fields, number


def result(value, log=b"", out=b""):
    return (2, struct.pack("<q2I", value, len(log), len(out)) + log + out)


def test_a_call_is_a_head_then_blobs_then_patches():
    call = Call(
        Sys.BPF,
        (5, 0, 120),
        (b"attr", b"insns"),
        (Patch(0, 8, PatchKind.ADDRESS, 1), argument(1)),
        log_bytes=4096,
        log_tail=100,
        out=0,
        close=True,
    )
    (limit, one) = calls_fields([call], 2.5)
    assert limit == (1, number(2500))
    fields = decode_fields(one[1])
    assert [tag for tag, _ in fields] == [1, 2, 2, 3, 3]
    assert struct.unpack("<6I6Q", fields[0][1]) == (321, 1, 4096, 100, 0, 0, 5, 0, 120, 0, 0, 0)
    assert struct.unpack("<4I", fields[3][1]) == (0, 8, 0, 1)
    assert struct.unpack("<4I", fields[4][1]) == (ARGUMENTS, 1, 0, 0)


def test_a_negative_argument_is_the_same_64_bits():
    head = decode_fields(calls_fields([Call(1, (-1,))], 1)[1][1])[0][1]
    assert struct.unpack("<6I6Q", head)[6] == 2**64 - 1
    assert struct.unpack("<6I6Q", head)[4] == 2**32 - 1  # no blob comes back


def test_too_many_calls_are_refused_here():
    with pytest.raises(ValueError, match="at most"):
        calls_fields([Call(1)] * (MOST_CALLS + 1), 1)


def test_results_are_values_or_errno_names():
    message = Message(
        MessageType.CALLED,
        1,
        ((1, number(1)), result(-22, b"words"), result(7, b"", b"out"), (3, number(9)), (4, b"line")),
    )
    assert answers_of(message) == Answers(
        (Called(-1, "EINVAL", "words"), Called(7, None, "", b"out")), Ending.EARLY, 9, ("line",)
    )


@pytest.mark.parametrize(
    "fields",
    [
        (),
        ((1, number(9)),),
        ((1, number(0)), (2, b"short")),
        ((1, number(0)), (2, struct.pack("<q2I", 0, 5, 0) + b"1234")),
    ],
)
def test_what_is_no_answer_is_not_believed(fields):
    with pytest.raises(GuestConfused):
        answers_of(Message(MessageType.CALLED, 1, fields))
