"""`-k EXPR`: pytest's keyword expressions, read here.

pytest keeps its own parser private and its words cannot hold the `@` and `,` of case ids, hence this one.
Same meaning: a word matches when it stands anywhere in a name, in upper or lower case; `not` binds
tighter than `and`, `and` tighter than `or`; parentheses group.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from harness.errors import UserError

Matcher = Callable[[Sequence[str]], bool]

_TOKEN = re.compile(r"\s*(\(|\)|'[^']*'|\"[^\"]*\"|[^\s()'\"]+)")
_MAX_DEPTH = 50


def compile_keyword(expression: str) -> Matcher:
    """Turn `expression` into a function of names; the empty expression matches everything.

    Raises UserError with the position for an expression that is none.
    """
    return _Parser(expression).parse()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, int]] = []
        self.depth = 0
        position = 0
        while text[position:].strip():
            match = _TOKEN.match(text, position)
            if match is None:
                raise self.error("a quotation mark without its partner", position)
            self.tokens.append((match[1], match.start(1)))
            position = match.end()
        self.index = 0

    def parse(self) -> Matcher:
        if not self.tokens:
            return lambda _names: True
        matcher = self.either()
        if self.index < len(self.tokens):
            raise self.error(
                f"{self.peek()!r} is not expected here; 'and', 'or' or the end is", self.position()
            )
        return matcher

    def either(self) -> Matcher:
        left = self.both()
        while self.take("or"):
            left = _either(left, self.both())
        return left

    def both(self) -> Matcher:
        left = self.negated()
        while self.take("and"):
            left = _both(left, self.negated())
        return left

    def negated(self) -> Matcher:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.error(f"nested deeper than {_MAX_DEPTH}", self.position())
        try:
            if self.take("not"):
                return _negated(self.negated())
            if self.take("("):
                inner = self.either()
                if not self.take(")"):
                    raise self.error("')' is expected", self.position())
                return inner
            return self.word()
        finally:
            self.depth -= 1

    def word(self) -> Matcher:
        token = self.peek()
        if token in ("", ")", "and", "or"):
            raise self.error(f"a word is expected, not {token or 'the end'!r}", self.position())
        self.index += 1
        return _word(token.strip("'\"") if token[0] in "'\"" else token)

    def take(self, token: str) -> bool:
        if self.peek() != token:
            return False
        self.index += 1
        return True

    def peek(self) -> str:
        return self.tokens[self.index][0] if self.index < len(self.tokens) else ""

    def position(self) -> int:
        return self.tokens[self.index][1] if self.index < len(self.tokens) else len(self.text)

    def error(self, what: str, position: int) -> UserError:
        return UserError(
            f"-k {self.text!r}: at column {position + 1}: {what}",
            hint="-k 'ringbuf and not (raw or 5.10)'",
        )


def _word(word: str) -> Matcher:
    lowered = word.lower()
    return lambda names: any(lowered in name.lower() for name in names)


def _negated(inner: Matcher) -> Matcher:
    return lambda names: not inner(names)


def _both(left: Matcher, right: Matcher) -> Matcher:
    return lambda names: left(names) and right(names)


def _either(left: Matcher, right: Matcher) -> Matcher:
    return lambda names: left(names) or right(names)
