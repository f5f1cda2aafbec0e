"""The packets a test run can be given by name, byte by byte (RFC 791, 8200, 9293, 768, 792, 826).

All travel from CLIENT to SERVER, are whole (lengths and checksums are right) and carry PAYLOAD. Offsets:

    0   destination MAC, source MAC, EtherType                14 bytes
    14  IPv4 header without options, or IPv6 header           20 or 40 bytes
    34  TCP (20), UDP (8) or ICMP (8) header over IPv4; 54 over IPv6
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address

CLIENT_MAC = bytes.fromhex("02 00 00 00 00 01")  # 02: locally administered
SERVER_MAC = bytes.fromhex("02 00 00 00 00 02")
CLIENT_4, SERVER_4 = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
CLIENT_6, SERVER_6 = IPv6Address("fd00::1"), IPv6Address("fd00::2")
CLIENT_PORT, SERVER_PORT = 40000, 80
PAYLOAD = b"hello"

_IPV4, _IPV6, _ARP = 0x0800, 0x86DD, 0x0806  # EtherTypes
_ICMP, _TCP, _UDP = 1, 6, 17  # protocol numbers
_SYN = 0x02


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071): one's complement of the one's complement sum of 16-bit words."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(word for (word,) in struct.iter_unpack("!H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _ethernet(kind: int, payload: bytes) -> bytes:
    return SERVER_MAC + CLIENT_MAC + struct.pack("!H", kind) + payload


def _ipv4(protocol: int, payload: bytes) -> bytes:
    """Version 4, 5 words of header, no fragment, 64 hops, identification 1."""
    fields = (0x45, 0, 20 + len(payload), 1, 0x4000, 64, protocol)
    addresses = CLIENT_4.packed + SERVER_4.packed
    head = struct.pack("!BBHHHBBH", *fields, 0) + addresses
    return _ethernet(_IPV4, struct.pack("!BBHHHBBH", *fields, checksum(head)) + addresses + payload)


def _ipv6(protocol: int, payload: bytes) -> bytes:
    """Version 6, no traffic class, no flow label, 64 hops."""
    head = struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + CLIENT_6.packed + SERVER_6.packed
    return _ethernet(_IPV6, head + payload)


def _pseudo(client: bytes, server: bytes, protocol: int, length: int) -> bytes:
    """What TCP and UDP checksums also cover. IPv6 writes length and protocol wider; the sum is the same."""
    return client + server + struct.pack("!HH", protocol, length)


def _tcp(client: bytes, server: bytes) -> bytes:
    """A SYN with data: sequence number 1, nothing acknowledged, 5 words of header, window 65535."""

    def segment(total: int) -> bytes:
        return (
            struct.pack("!HHIIBBHHH", CLIENT_PORT, SERVER_PORT, 1, 0, 5 << 4, _SYN, 65535, total, 0) + PAYLOAD
        )

    return segment(checksum(_pseudo(client, server, _TCP, 20 + len(PAYLOAD)) + segment(0)))


def _udp(client: bytes, server: bytes) -> bytes:
    length = 8 + len(PAYLOAD)

    def datagram(total: int) -> bytes:
        return struct.pack("!HHHH", CLIENT_PORT, SERVER_PORT, length, total) + PAYLOAD

    return datagram(checksum(_pseudo(client, server, _UDP, length) + datagram(0)))


def _echo() -> bytes:
    """An ICMP echo request, identifier 1, sequence number 1."""
    head = struct.pack("!BBHHH", 8, 0, 0, 1, 1)
    return struct.pack("!BBHHH", 8, 0, checksum(head + PAYLOAD), 1, 1) + PAYLOAD


def _arp() -> bytes:
    """Who has SERVER_4? Tell CLIENT_4."""
    head = struct.pack("!HHBBH", 1, _IPV4, 6, 4, 1)
    return _ethernet(_ARP, head + CLIENT_MAC + CLIENT_4.packed + bytes(6) + SERVER_4.packed)


PACKETS: Mapping[str, Callable[[], bytes]] = {
    "tcp4": lambda: _ipv4(_TCP, _tcp(CLIENT_4.packed, SERVER_4.packed)),
    "udp4": lambda: _ipv4(_UDP, _udp(CLIENT_4.packed, SERVER_4.packed)),
    "tcp6": lambda: _ipv6(_TCP, _tcp(CLIENT_6.packed, SERVER_6.packed)),
    "udp6": lambda: _ipv6(_UDP, _udp(CLIENT_6.packed, SERVER_6.packed)),
    "icmp4": lambda: _ipv4(_ICMP, _echo()),
    "arp": _arp,
    "ethernet": lambda: _ethernet(_IPV4, b""),  # 14 bytes, the shortest a kernel takes: nothing behind it
}


def packet(name: str) -> bytes:
    """The bytes of the packet called `name`; KeyError for another name."""
    return PACKETS[name]()
