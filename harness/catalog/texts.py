"""The texts of a scenario: templates as the program is, rendered for each variant in the same sandbox.

A `Node` is one mapping of the manifest as one variant sees it: it hands out texts, numbers and bytes, and
every mistake carries the line it was made in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateSyntaxError, meta

from harness.catalog.sandbox import BoundedSandbox, bounded_join, start_budget
from harness.catalog.yamlfile import Document, NodePath
from harness.errors import UserError
from harness.model import Origin

Point = Mapping[str, str | int | bool]

_TEMPLATED = ("scenario", "checks")
_PLAIN = ("when", "kernels", "why")  # keys whose texts are taken as they stand


class Texts:
    """Renders the texts of one manifest; keeps each compiled. Not for several threads at once."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._sandbox = BoundedSandbox(())
        self._compiled: dict[str, Any] = {}

    def variables(self) -> dict[str, Origin]:
        """Return every variable the scenario and the checks read, with the place of its first use."""
        found: dict[str, Origin] = {}
        for path, text in self._templates():
            origin = self._document.origin(path)
            try:
                free = meta.find_undeclared_variables(self._sandbox.parse(text))
            except TemplateSyntaxError as error:
                raise UserError(f"not a template: {error.message}", where=origin) from error
            for name in sorted(free - set(self._sandbox.globals)):
                found.setdefault(name, origin)
        return found

    def render(self, path: NodePath, text: str, point: Point) -> str:
        """Return `text` at one variant's values; UserError when it does not render."""
        if "{" not in text:
            return text
        if text not in self._compiled:
            self._compiled[text] = self._sandbox.from_string(text)
        start_budget()
        try:
            return bounded_join("", self._compiled[text].generate(dict(point)))
        except Exception as error:  # a template can provoke any exception
            reason = str(error) or type(error).__name__
            raise UserError(f"does not render: {reason}", where=self._document.origin(path)) from error

    def _templates(self) -> Iterator[tuple[NodePath, str]]:
        for key in _TEMPLATED:
            if key in self._document.data:
                yield from _strings((key,), self._document.data[key])


def _strings(path: NodePath, node: Any) -> Iterator[tuple[NodePath, str]]:
    if isinstance(node, str) and "{" in node:
        yield path, node
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from _strings((*path, index), item)
    elif isinstance(node, dict):
        for key, item in node.items():
            if key not in _PLAIN:
                yield from _strings((*path, key), item)


@dataclass(frozen=True, slots=True)
class Node:
    """A mapping at `path`, seen by the variant at `point`."""

    document: Document
    path: NodePath
    data: Mapping[str, Any]
    texts: Texts
    point: Point

    def error(self, what: str, key: str | None = None, hint: str | None = None) -> UserError:
        """Build the error for this mapping or one of its keys."""
        path = self.path if key is None else (*self.path, key)
        return UserError(what, where=self.document.origin(path), hint=hint)

    def child(self, key: str, index: int | None = None) -> Node:
        """Return the mapping under `key` (or its list's item `index`)."""
        data, path = self.data[key], (*self.path, key)
        if index is not None:
            data, path = data[index], (*path, index)
        return Node(self.document, path, data, self.texts, self.point)

    def text(self, key: str, default: str | None = None) -> str:
        """Return the text under `key`, rendered; a number stands as it was written."""
        if key not in self.data and default is not None:
            return default
        return self._rendered((*self.path, key), self.data.get(key), key)

    def number(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """Return the whole number under `key`, also one a template gave; bounds included."""
        if key not in self.data and default is not None:
            return default
        number = whole(self.data[key] if isinstance(self.data[key], int) else self.text(key))
        if number is None:
            raise self.error(f"{key}: {self.text(key)!r} is no whole number", key)
        if not low <= number <= high:
            raise self.error(f"{key}: {number} is not from {low} to {high}", key)
        return number

    def seconds(self, key: str, default: float, most: float) -> float:
        """Return the seconds under `key`, above 0 and at most `most`."""
        raw = self.data.get(key, default)
        try:
            value = float(self.text(key)) if isinstance(raw, str) else float(raw)
        except ValueError:
            value = -1.0
        if not 0 < value <= most:
            raise self.error(f"{key}: expected: seconds, above 0 and up to {most:g}", key)
        return value

    def flag(self, key: str) -> bool:
        """Return the true or false under `key`, also one a template gave; absent is false."""
        raw = self.data.get(key, False)
        words: Mapping[str, bool] = {"true": True, "false": False}
        value = raw if isinstance(raw, bool) else words.get(self.text(key).lower())
        if value is None:
            raise self.error(f"{key}: expected true or false", key)
        return value

    def words(self, key: str) -> tuple[str, ...]:
        """Return the list of texts under `key`, each rendered."""
        raw = self.data.get(key)
        if not isinstance(raw, list) or not raw:
            raise self.error(f"{key}: expected a list of one or more texts", key)
        return tuple(
            self._rendered((*self.path, key, index), item, f"{key}[{index}]")
            for index, item in enumerate(raw)
        )

    def _rendered(self, path: NodePath, raw: object, name: str) -> str:
        where = self.document.origin(path)
        if isinstance(raw, bool) or not isinstance(raw, str | int):
            raise UserError(f"{name}: expected a text or a whole number", where=where)
        if isinstance(raw, str):
            text = self.texts.render(path, raw, self.point)
        else:
            text = self.document.texts.get(path, str(raw))  # 0061 may be meant as two bytes
        if "\0" in text:
            raise UserError(f"{name}: a NUL cannot stand in this text", where=where)
        return text


def whole(raw: str | int) -> int | None:
    """Return a whole number as a manifest writes it (`7`, `-1`, `0x10`); None when it is none."""
    if isinstance(raw, int):
        return raw
    for base in (0, 10):  # with base 0 `010` is no number, for YAML it is ten
        with suppress(ValueError):
            return int(raw.strip(), base)
    return None
