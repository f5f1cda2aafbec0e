"""The host's end of the guest's port: messages over stream sockets, with deadlines.

A guest may answer on either of two lines (virtio-serial, or the second serial port of a kernel without a
virtio console). The first line that brings a message is the guest's line from then on.
"""

from __future__ import annotations

import itertools
import math
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from typing import Self

from harness.guest.errors import GuestConfused, GuestGone, GuestSilent
from harness.guest.wire import Decoder, Message, MessageType, encode, number

_CHUNK = 1 << 18


class Port:
    """Messages to and from one guest. Not thread-safe; owns its sockets."""

    def __init__(self, lines: Sequence[socket.socket], line: int | None = None) -> None:
        """`line` is the index of the guest's line where it is known (a restored guest)."""
        self._lines = list(lines)
        self._decoders = [Decoder() for _ in lines]
        self._pending: deque[Message] = deque()
        self._ids = itertools.count(1)
        self.line = line
        for sock in self._lines:
            sock.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the sockets; safe to call twice."""
        for sock in self._lines:
            sock.close()

    def send(self, message: Message, deadline: float) -> None:
        """Write one frame; `deadline` on `time.monotonic()`. Raise GuestGone or GuestSilent."""
        sock = self._lines[self.line or 0]
        data = memoryview(encode(message))
        while data:
            try:
                data = data[sock.send(data[:_CHUNK]) :]
            except BlockingIOError:
                if not _ready([sock], select.POLLOUT, deadline):
                    raise GuestSilent("the guest does not read its port") from None
            except OSError as error:
                raise GuestGone(f"the port is closed ({error.strerror})") from error

    def receive(self, deadline: float) -> Message:
        """The next message of the guest. Raise GuestGone or GuestSilent."""
        while not self._pending:
            self._read_some(deadline)
        return self._pending.popleft()

    def ask(self, kind: MessageType, fields: Sequence[tuple[int, bytes]], deadline: float) -> Message:
        """Send a request and wait for its answer; answers to earlier requests are passed over."""
        ident = next(self._ids)
        self.send(Message(kind, ident, tuple(fields)), deadline)
        while (answer := self.receive(deadline)).id != ident:
            pass
        if answer.type == MessageType.ERROR:
            raise GuestConfused(f"the agent refused {kind.name}: {answer.text(1)}")
        return answer

    def hello(self, deadline: float) -> Message:
        """Wait for the HELLO a booting guest sends unasked."""
        while True:
            message = self.receive(deadline)
            if message.type == MessageType.HELLO:
                return message

    def ping(self, nonce: int, deadline: float) -> Message:
        """PING and its HELLO, which must repeat the nonce."""
        answer = self.ask(MessageType.PING, [(1, number(nonce))], deadline)
        if answer.type != MessageType.HELLO or answer.number(1) != nonce:
            raise GuestConfused("PING was not answered by its HELLO")
        return answer

    def _read_some(self, deadline: float) -> None:
        listened = range(len(self._lines)) if self.line is None else (self.line,)
        ready = _ready([self._lines[index] for index in listened], select.POLLIN, deadline)
        if not ready:
            raise GuestSilent("no answer within the time limit")
        for index in listened:
            if self._lines[index].fileno() in ready:
                self._read_line(index)

    def _read_line(self, index: int) -> None:
        try:
            data = self._lines[index].recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            raise GuestGone(f"the port is closed ({error.strerror})") from error
        if not data:
            raise GuestGone("QEMU closed the port")
        for message in self._decoders[index].feed(data):
            self.line = index
            self._pending.append(message)


def _ready(sockets: Sequence[socket.socket], event: int, deadline: float) -> frozenset[int]:
    """The descriptors of the sockets that can be used, or have come to their end; none: the time is over."""
    waiting = select.poll()  # an epoll of every wait's own would be four system calls more
    try:
        for sock in sockets:
            waiting.register(sock, event)
    except ValueError as error:  # closed meanwhile
        raise GuestGone("the port is closed") from error
    left = max(0.0, deadline - time.monotonic())
    return frozenset(descriptor for descriptor, _ in waiting.poll(math.ceil(left * 1000)))
