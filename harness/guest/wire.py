"""The host's half of the wire protocol: frames and fields, as `PROTOCOL.md` describes them.

Pure: bytes in, messages out. Nothing here opens a socket. Both directions are bounded, and garbage is
skipped rather than believed.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

MAGIC = b"BPFM"
HEADER = struct.Struct("<4sHHIII")
FIELD = struct.Struct("<HI")
MAX_BODY = 64 << 20
PROTOCOL_VERSION = 3


class MessageType(IntEnum):
    """The `type` of a frame."""

    PING = 1
    HELLO = 2
    PUT = 3
    DROP = 4
    CASE = 5
    RESULT = 6
    OK = 7
    ERROR = 8
    POWEROFF = 9
    WARM = 10
    CALLS = 11
    CALLED = 12


class WireError(ValueError):
    """A message that cannot be sent or understood."""


@dataclass(frozen=True, slots=True)
class Message:
    """One frame: its type, the id that pairs question and answer, and its fields in order."""

    type: int
    id: int
    fields: tuple[tuple[int, bytes], ...] = ()

    def raw(self, tag: int, default: bytes = b"") -> bytes:
        """The first field `tag`, or `default`."""
        return next((value for name, value in self.fields if name == tag), default)

    def all(self, tag: int) -> Iterator[bytes]:
        """Every field `tag`, in order."""
        return (value for name, value in self.fields if name == tag)

    def text(self, tag: int) -> str:
        """Field `tag` as text; bytes that are not UTF-8 are replaced."""
        return self.raw(tag).decode("utf-8", "replace")

    def texts(self, tag: int) -> tuple[str, ...]:
        """Every field `tag` as text."""
        return tuple(value.decode("utf-8", "replace") for value in self.all(tag))

    def number(self, tag: int) -> int | None:
        """Field `tag` as a number, None when absent; WireError when it is not 8 bytes."""
        raw = next((value for name, value in self.fields if name == tag), None)
        if raw is None:
            return None
        if len(raw) != 8:
            raise WireError(f"field {tag} of message {self.type} has {len(raw)} bytes, a number has 8")
        return int.from_bytes(raw, "little")


def number(value: int) -> bytes:
    """A number as the wire carries it."""
    return value.to_bytes(8, "little")


def encode(message: Message) -> bytes:
    """The frame of `message`; WireError when its body exceeds the limit."""
    body = b"".join(FIELD.pack(tag, len(value)) + value for tag, value in message.fields)
    if len(body) > MAX_BODY:
        raise WireError(f"message {message.type} has {len(body)} bytes, the limit is {MAX_BODY}")
    head = struct.pack("<4sHHII", MAGIC, message.type, 0, message.id, len(body))
    return head + zlib.crc32(body, zlib.crc32(head)).to_bytes(4, "little") + body


def decode_fields(body: bytes) -> tuple[tuple[int, bytes], ...]:
    """The fields of a body; WireError when they do not add up to it."""
    fields: list[tuple[int, bytes]] = []
    offset = 0
    while offset < len(body):
        if len(body) - offset < FIELD.size:
            raise WireError(f"{len(body) - offset} stray bytes behind the last field")
        tag, length = FIELD.unpack_from(body, offset)
        offset += FIELD.size
        if length > len(body) - offset:
            raise WireError(f"field {tag} claims {length} bytes, {len(body) - offset} are left")
        fields.append((tag, body[offset : offset + length]))
        offset += length
    return tuple(fields)


@dataclass(slots=True)
class Decoder:
    """Turns a byte stream into messages, skipping what is no frame. `skipped` counts bytes passed over."""

    skipped: int = 0
    _buffer: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> Iterator[Message]:
        """Add bytes and yield every message that is complete now."""
        self._buffer += data
        while (message := self._next()) is not None:
            yield message

    def _next(self) -> Message | None:
        while self._align():
            magic, kind, _flags, ident, length, crc = HEADER.unpack_from(self._buffer)
            if length > MAX_BODY:
                self._drop(len(magic))
                continue
            if len(self._buffer) < HEADER.size + length:
                return None
            body = bytes(self._buffer[HEADER.size : HEADER.size + length])
            intact = zlib.crc32(body, zlib.crc32(self._buffer[:16])) == crc
            fields = _fields_or_none(body) if intact else None
            if fields is None:
                self._drop(len(magic))
                continue
            del self._buffer[: HEADER.size + length]
            return Message(kind, ident, fields)
        return None

    def _align(self) -> bool:
        """Drop bytes up to the next magic; True when a whole header is there."""
        start = self._buffer.find(MAGIC)
        if start < 0:  # keep a tail that may be the beginning of a magic
            keep = next((n for n in (3, 2, 1) if self._buffer.endswith(MAGIC[:n])), 0)
            start = len(self._buffer) - keep
        self._drop(start)
        return len(self._buffer) >= HEADER.size and self._buffer.startswith(MAGIC)

    def _drop(self, count: int) -> None:
        self.skipped += count
        del self._buffer[:count]


def _fields_or_none(body: bytes) -> tuple[tuple[int, bytes], ...] | None:
    try:
        return decode_fields(body)
    except WireError:
        return None
