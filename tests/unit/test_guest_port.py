"""Deadlines, dead guests and confused ones, against a scripted peer on a socket pair."""

import socket
import threading
import time

import pytest

from harness.guest.errors import GuestConfused, GuestGone, GuestSilent
from harness.guest.port import Port
from harness.guest.wire import Decoder, Message, MessageType, encode, number

PEERS = []


@pytest.fixture
def lines():
    pairs = [socket.socketpair(), socket.socketpair()]
    yield pairs
    for ours, _ in pairs:
        ours.close()  # its peer's thread, if there is one, reads the end and stops
    for thread in PEERS:
        thread.join(5)
    PEERS.clear()
    for _, theirs in pairs:
        theirs.close()


def serve(sock, answer):
    """Answer every message with what `answer` makes of it, until the socket closes."""

    def loop():
        decoder = Decoder()
        while data := sock.recv(65536):
            for message in decoder.feed(data):
                sock.sendall(answer(message))

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    PEERS.append(thread)


def soon():
    return time.monotonic() + 5


def test_the_line_that_speaks_first_is_the_guests_line(lines):
    port = Port([pair[0] for pair in lines])
    lines[1][1].sendall(encode(Message(MessageType.HELLO, 0)))
    assert port.hello(soon()).type == MessageType.HELLO
    assert port.line == 1


def test_a_ping_must_come_back_with_its_nonce(lines):
    serve(lines[0][1], lambda m: encode(Message(MessageType.HELLO, m.id, ((1, number(99)),))))
    port = Port([pair[0] for pair in lines], line=0)
    assert port.ping(99, soon()).number(1) == 99
    with pytest.raises(GuestConfused):
        port.ping(98, soon())


def test_answers_to_forgotten_questions_and_noise_are_passed_over(lines):
    def answer(message):
        stale = encode(Message(MessageType.OK, message.id + 1000))
        return stale + b"noise BPF noise" + encode(Message(MessageType.OK, message.id))

    serve(lines[0][1], answer)
    port = Port([pair[0] for pair in lines], line=0)
    assert port.ask(MessageType.DROP, [], soon()).type == MessageType.OK


def test_an_error_answer_carries_the_agents_words(lines):
    serve(lines[0][1], lambda m: encode(Message(MessageType.ERROR, m.id, ((1, b"no such blob"),))))
    port = Port([pair[0] for pair in lines], line=0)
    with pytest.raises(GuestConfused, match="no such blob"):
        port.ask(MessageType.CASE, [], soon())


def test_silence_ends_at_the_deadline(lines):
    port = Port([pair[0] for pair in lines], line=0)
    start = time.monotonic()
    with pytest.raises(GuestSilent):
        port.ask(MessageType.PING, [], start + 0.1)
    assert time.monotonic() - start < 3


def test_a_guest_that_does_not_read_is_silent_not_endless(lines):
    port = Port([pair[0] for pair in lines], line=0)
    with pytest.raises(GuestSilent, match="does not read"):
        port.send(Message(MessageType.PUT, 1, ((2, bytes(8 << 20)),)), time.monotonic() + 0.2)


def test_a_closed_port_means_the_guest_is_gone(lines):
    port = Port([pair[0] for pair in lines], line=0)
    lines[0][1].close()
    with pytest.raises(GuestGone):
        port.receive(soon())
