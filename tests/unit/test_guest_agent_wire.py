"""The agent's C decoder against the host's Python one: compiled natively, fed the same bytes."""

import ctypes
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.guest import wire
from harness.guest.wire import MAX_BODY, Decoder, Message, MessageType, encode

AGENT = Path(wire.__file__).parent / "agent"

# What the test needs of wire.h, as plain functions.
GLUE = """
#include "wire.h"
#include <string.h>
static struct decoder d;
int start(void) { return d.data ? (decoder_forget(&d), 1) : decoder_init(&d); }
void feed(const uint8_t *data, size_t length)
{
	while (length > 0) {
		size_t room;
		uint8_t *to = decoder_room(&d, &room);
		size_t now = length < room ? length : room;
		memcpy(to, data, now);
		decoder_filled(&d, now);
		data += now;
		length -= now;
	}
}
int next(uint32_t *type, uint32_t *id, const uint8_t **body, uint32_t *length)
{
	struct frame frame = {0};
	const char *why;
	enum decoded got = decoder_next(&d, &frame, &why);
	*type = frame.type;
	*id = frame.id;
	*body = frame.body;
	*length = frame.length;
	return got;
}
void give_up(void) { decoder_give_up(&d); }
int adds_up(const uint8_t *body, size_t length) { return fields_add_up(body, length); }
"""
NOTHING, FRAME, COMPLAINT = 0, 1, 2


class Native:
    """The C decoder."""

    def __init__(self, library):
        self._library = library
        assert library.start()

    def feed(self, data):
        """Frames as (type, id, body), and the number of complaints."""
        self._library.feed(data, ctypes.c_size_t(len(data)))
        frames, complaints = [], 0
        kind, ident, length = ctypes.c_uint32(), ctypes.c_uint32(), ctypes.c_uint32()
        body = ctypes.POINTER(ctypes.c_uint8)()
        while True:
            got = self._library.next(
                ctypes.byref(kind), ctypes.byref(ident), ctypes.byref(body), ctypes.byref(length)
            )
            if got == NOTHING:
                return frames, complaints
            if got == COMPLAINT:
                complaints += 1
            else:
                frames.append((kind.value, ident.value, ctypes.string_at(body, length.value)))

    def give_up(self):
        """What the agent does after five silent seconds."""
        self._library.give_up()
        return self.feed(b"")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wire")
    (folder / "glue.c").write_text(GLUE)
    subprocess.run(
        [
            *("gcc", "-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", "-Wall", "-Werror"),
            *(f"-I{AGENT}", "-o", "wire.so", "glue.c", str(AGENT / "wire.c"), "-lz"),
        ],
        cwd=folder,
        check=True,
    )
    return ctypes.CDLL(str(folder / "wire.so"))


@pytest.fixture
def native(library):
    return Native(library)


MESSAGES = st.builds(
    Message,
    st.sampled_from([int(kind) for kind in MessageType]),
    st.integers(0, 2**32 - 1),
    st.lists(st.tuples(st.integers(0, 2**16 - 1), st.binary(max_size=40)), max_size=4).map(tuple),
)


def as_native(messages):
    return [(m.type, m.id, encode(m)[20:]) for m in messages]


@settings(max_examples=200, deadline=None)
@given(messages=st.lists(MESSAGES, max_size=5), cuts=st.lists(st.integers(1, 60), max_size=20))
def test_whole_messages_arrive_however_they_are_cut(library, messages, cuts):
    native, stream, got = Native(library), b"".join(map(encode, messages)), []
    for cut in [*cuts, len(stream)]:
        piece, stream = stream[:cut], stream[cut:]
        frames, complaints = native.feed(piece)
        assert complaints == 0
        got += frames
    assert got == as_native(messages)


@settings(max_examples=300, deadline=None)
@given(
    parts=st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.just(b"BPFM"),
            st.just(b"BP"),
            MESSAGES.map(encode),
            st.tuples(MESSAGES.map(encode), st.integers(0, 200), st.integers(0, 255)).map(
                lambda t: t[0][: t[1] % len(t[0])] + bytes([t[2]]) + t[0][t[1] % len(t[0]) + 1 :]
            ),
        ),
        max_size=8,
    )
)
def test_both_decoders_find_the_same_messages_in_noise(library, parts):
    stream = b"".join(parts)
    frames, _ = Native(library).feed(stream)
    # The agent tells a body whose fields do not add up from a damaged frame; the host skips both.
    sound = [frame for frame in frames if library.adds_up(frame[2], ctypes.c_size_t(len(frame[2])))]
    if sound == frames:
        assert frames == as_native(Decoder().feed(stream))


def test_a_run_of_garbage_is_complained_of_once(native):
    assert native.feed(b"\xff" * 5000) == ([], 1)
    assert native.feed(b"BPFM" + b"\xff" * 5000) == ([], 0)
    good = Message(MessageType.PING, 7, ((1, bytes(8)),))
    assert native.feed(encode(good)) == (as_native([good]), 0)
    assert native.feed(b"\xff")[1] == 1  # a new run


def test_a_damaged_length_does_not_swallow_what_follows(native):
    good = Message(MessageType.PING, 7, ((1, bytes(8)),))
    damaged = bytearray(encode(good))
    damaged[12:16] = (MAX_BODY + 1).to_bytes(4, "little")
    assert native.feed(bytes(damaged) + encode(good)) == (as_native([good]), 1)


def test_a_cut_frame_is_given_up_and_what_it_hid_is_found(native):
    good = Message(MessageType.PING, 7, ((1, bytes(8)),))
    cut = encode(Message(MessageType.PUT, 8, ((2, bytes(500)),)))[:100]
    assert native.feed(cut + encode(good)) == ([], 0)
    assert native.give_up()[0] == as_native([good])


def test_the_largest_frame_fits_and_the_next_one_too(native):
    large = Message(MessageType.PUT, 1, ((2, bytes(MAX_BODY - 6)),))
    small = Message(MessageType.PING, 2, ((1, bytes(8)),))
    frame = encode(large)
    assert native.feed(frame[:-1]) == ([], 0)
    assert native.feed(frame[-1:])[0] == as_native([large])
    assert native.feed(encode(small))[0] == as_native([small])


def test_the_agent_knows_the_same_messages_as_the_host():
    header = (AGENT / "wire.h").read_text()
    listing = header.partition("enum message_type {")[2].partition("}")[0]
    names = [
        word.strip().removeprefix("MSG_").removesuffix(" = 1") for word in listing.split(",") if word.strip()
    ]
    assert names == [kind.name for kind in MessageType]
    assert f"#define WIRE_VERSION {wire.PROTOCOL_VERSION}\n" in header
