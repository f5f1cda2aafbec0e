"""The host's half of the protocol: what goes in comes out, and garbage never does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.guest.wire import (
    HEADER,
    MAGIC,
    MAX_BODY,
    Decoder,
    Message,
    WireError,
    decode_fields,
    encode,
    number,
)

fields = st.lists(st.tuples(st.integers(0, 65535), st.binary(max_size=200)), max_size=8).map(tuple)
messages = st.builds(Message, st.integers(0, 65535), st.integers(0, 2**32 - 1), fields)


@given(st.lists(messages, max_size=5), st.integers(1, 64))
def test_what_is_sent_in_any_pieces_arrives(sent, piece):
    stream = b"".join(map(encode, sent))
    decoder = Decoder()
    got = [m for start in range(0, len(stream), piece) for m in decoder.feed(stream[start : start + piece])]
    assert got == sent
    assert decoder.skipped == 0


@given(st.binary(max_size=300), messages)
def test_garbage_before_a_message_does_not_swallow_it(garbage, message):
    decoder = Decoder()
    clean = garbage.replace(MAGIC, b"")  # a magic in the noise may rightly wait for its body
    got = list(decoder.feed(clean + encode(message)))
    assert got[-1:] == [message]


@given(st.binary(max_size=500))
def test_noise_alone_never_becomes_a_message(noise):
    assert list(Decoder().feed(noise)) == []


@given(messages, st.data())
def test_a_flipped_bit_is_never_believed(message, data):
    frame = bytearray(encode(message))
    position = data.draw(st.integers(0, len(frame) * 8 - 1))
    frame[position // 8] ^= 1 << (position % 8)
    assert message not in list(Decoder().feed(bytes(frame)))


def test_an_oversized_length_is_skipped_and_the_next_message_found():
    liar = bytearray(encode(Message(1, 1)))
    liar[12:16] = (MAX_BODY + 1).to_bytes(4, "little")
    message = Message(7, 2)
    decoder = Decoder()
    assert list(decoder.feed(bytes(liar) + encode(message))) == [message]
    assert decoder.skipped == HEADER.size


def test_a_body_over_the_limit_is_not_sent():
    with pytest.raises(WireError, match="the limit is"):
        encode(Message(3, 1, ((2, bytes(MAX_BODY)),)))


@pytest.mark.parametrize(("body", "words"), [(b"\1\0", "stray"), (b"\1\0\xff\0\0\0ab", "claims 255 bytes")])
def test_fields_that_do_not_add_up_are_refused(body, words):
    with pytest.raises(WireError, match=words):
        decode_fields(body)


def test_a_number_of_the_wrong_width_is_an_error_and_an_absent_one_is_none():
    message = Message(1, 1, ((1, b"\1\2"), (2, number(7))))
    assert message.number(2) == 7
    assert message.number(9) is None
    with pytest.raises(WireError, match="has 2 bytes"):
        message.number(1)
