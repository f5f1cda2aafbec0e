"""`-k` means what it means in pytest."""

from __future__ import annotations

import re

import pytest
from _pytest.mark.expression import Expression  # private: the reference our own reader is held against
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UserError
from harness.keyword import compile_keyword

NAMES = ("programs/maps/ringbuf_size[1024-raw]@5.10", "N01", "ringbuf_size.bpf.c.j2")


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ("", True),
        ("ringbuf", True),
        ("RingBuf", True),
        ("hash", False),
        ("not hash", True),
        ("ringbuf and hash", False),
        ("hash or ringbuf", True),
        ("not hash and ringbuf", True),
        ("not (hash or ringbuf)", False),
        ("ringbuf or hash and hash", True),  # `and` binds tighter
        ("not ringbuf or N01", True),  # `not` binds tightest
        ("[1024-raw]@5.10", True),
        ("@6.1", False),
        ("'1024-raw'", True),
        ('"and"', False),
        ("n01", True),
    ],
)
def test_meaning(expression: str, answer: bool) -> None:
    assert compile_keyword(expression)(NAMES) is answer


@pytest.mark.parametrize(
    ("expression", "column", "words"),
    [
        ("a and", 6, "a word is expected"),
        ("and a", 1, "a word is expected"),
        ("a b", 3, "'b' is not expected here"),
        ("(a", 3, "')' is expected"),
        ("a)", 2, "is not expected here"),
        ("not", 4, "a word is expected"),
        ("a 'b", 2, "quotation mark"),
        ("not " * 60 + "a", 201, "nested deeper"),
        ("(" * 60, 51, "nested deeper"),
    ],
)
def test_mistakes_name_their_column(expression: str, column: int, words: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"column {column}: ")) as caught:
        compile_keyword(expression)
    assert words in str(caught.value)


_WORD = st.sampled_from(["ringbuf", "raw", "hash", "N01", "x"])
_TREE = st.recursive(
    _WORD,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(" ".join),
        inner.map("not {}".format),
        inner.map("({})".format),
    ),
    max_leaves=8,
)


@given(_TREE)
def test_agrees_with_pytest(expression: str) -> None:
    def matches(name: str, /, **_: str | int | bool | None) -> bool:
        return any(name.lower() in known.lower() for known in NAMES)

    assert compile_keyword(expression)(NAMES) is Expression.compile(expression).evaluate(matches)
