"""Order of Debian package versions, as Debian Policy section 5.6.12 defines it. Pure."""

from __future__ import annotations

import re
from functools import cmp_to_key
from itertools import zip_longest

_CHUNK = re.compile(r"([^0-9]*)([0-9]*)")


def compare(left: str, right: str) -> int:
    """Return < 0, 0 or > 0 as `left` is older than, the same as, or newer than `right`."""
    for a, b in zip(_split(left), _split(right), strict=True):
        order = _compare_part(a, b)
        if order:
            return order
    return 0


sort_key = cmp_to_key(compare)


def _split(version: str) -> tuple[str, str, str]:
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, dash, revision = rest.rpartition("-")
    return (epoch, upstream, revision) if dash else (epoch, rest, "")


def _compare_part(left: str, right: str) -> int:
    for (text_a, digits_a), (text_b, digits_b) in zip_longest(
        _CHUNK.findall(left), _CHUNK.findall(right), fillvalue=("", "")
    ):
        a = ([_weight(char) for char in text_a] + [0], int(digits_a or 0))
        b = ([_weight(char) for char in text_b] + [0], int(digits_b or 0))
        if a != b:
            return -1 if a < b else 1
    return 0


def _weight(char: str) -> int:
    """`~` sorts before the end of a part (0), letters before everything else."""
    if char == "~":
        return -1
    return ord(char) if char.isalpha() else ord(char) + 256
