"""Typed values of a manifest as the bytes a map, a global variable or a program gets.

`{u32: 5}`, `{text: "abc", size: 16}`, `{hex: "61 62"}`, `{ip4: "10.0.0.1"}`, or a list of such, joined.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from harness.catalog.schemacheck import suggest
from harness.catalog.steptable import INTEGERS, VALUE_TYPES
from harness.catalog.texts import Node, whole

MAX_BYTES = 1 << 16  # of one value; a run file keeps it with every case


def value_of(node: Node, key: str) -> bytes:
    """Return the bytes of the value under `key`: a mapping, or a list of mappings joined."""
    raw = node.data.get(key)
    if isinstance(raw, Mapping):
        return _bounded(node, key, typed(node.child(key)))
    if not isinstance(raw, list) or not raw:
        raise node.error(f"{key}: expected a value such as {{u32: 5}}, or a list of them", key)
    pieces = []
    for index, item in enumerate(raw):
        if not isinstance(item, Mapping):
            raise node.error(f"{key}: item {index} is no value such as {{u32: 5}}", key)
        pieces.append(typed(node.child(key, index)))
    return _bounded(node, key, b"".join(pieces))


def typed(node: Node, also: tuple[str, ...] = ()) -> bytes:
    """Return the bytes of a mapping with one type's key; the keys `also` belong to somebody else."""
    kinds = [kind for kind in node.data if kind in VALUE_TYPES]
    for key in node.data:
        if key not in (*VALUE_TYPES, "size", *also):
            raise node.error(f"unknown type {key!r}; {suggest(key, VALUE_TYPES, 'types')}", key)
    if len(kinds) != 1:
        said = "no type" if not kinds else f"{' and '.join(kinds)} at once"
        raise node.error(f"a value has one type, here {said}; types: {', '.join(VALUE_TYPES)}")
    (kind,) = kinds
    if "size" in node.data and kind != "text":
        raise node.error("size belongs to a text; a number's is its type's", "size")
    if kind in INTEGERS:
        return _integer(node, kind)
    return {"text": _text, "hex": hex_bytes, "ip4": _address, "ip6": _address}[kind](node, kind)


def hex_bytes(node: Node, key: str) -> bytes:
    """Return the bytes a text of hexadecimal digits writes; blanks between bytes are fine."""
    text = node.text(key)
    try:
        return _bounded(node, key, bytes.fromhex(text))
    except ValueError as error:
        raise node.error(f'{key}: {text[:40]!r} is no row of bytes such as "61 62 00"', key) from error


def _integer(node: Node, kind: str) -> bytes:
    size, signed, little = INTEGERS[kind]
    number = whole(node.text(kind))
    if number is None:
        raise node.error(f"{kind}: {node.text(kind)!r} is no whole number", kind)
    try:
        return number.to_bytes(size, "little" if little else "big", signed=signed)
    except OverflowError as error:
        raise node.error(f"{number} does not fit {kind}", kind) from error


def _text(node: Node, kind: str) -> bytes:
    """UTF-8 with a NUL behind it, or filled with NULs up to `size`; exactly `size` bytes have none."""
    raw = node.text(kind).encode("utf-8", "surrogateescape")
    size = node.number("size", 1, MAX_BYTES, default=len(raw) + 1)
    if len(raw) > size:
        raise node.error(f"the text has {len(raw)} bytes, size is {size}", kind)
    return raw.ljust(size, b"\0")


def _address(node: Node, kind: str) -> bytes:
    """In network order."""
    text = node.text(kind)
    try:
        return (IPv4Address if kind == "ip4" else IPv6Address)(text).packed
    except AddressValueError as error:
        raise node.error(f"{kind}: {text!r} is no address ({error})", kind) from error


def _bounded(node: Node, key: str, value: bytes) -> bytes:
    if len(value) > MAX_BYTES:
        raise node.error(f"{key}: {len(value)} bytes; at most {MAX_BYTES}", key)
    return value
