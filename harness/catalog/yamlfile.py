"""Strict YAML: files people write, read with the line of every node and refused with an address.

`load(path, schema)` is the only entrance. It reads YAML 1.2 (core schema), builds plain data and
nothing else (no tags, no anchors or aliases, no second document), refuses duplicate and unknown keys,
and checks the result against a JSON schema. Keys are always the text as written, so a key `5.10` is
not the number 5.1. Whatever is wrong becomes one `UserError` with `file:line`.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

from harness.catalog.schemacheck import Problem, problems_of
from harness.errors import UserError
from harness.model import Origin

MAX_BYTES = 1 << 20
MAX_DEPTH = 20
_MAX_SHOWN = 8
_SYNTAX_HINTS = {  # the parser's words -> what people did
    "'\\t'": "indent with spaces, not tabs",
    "mapping values are not allowed": "put text that contains ': ' in quotes, or after >-",
}

NodePath = tuple[str | int, ...]

_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True, slots=True)
class Document:
    """A checked file: `data` holds dicts, lists, strings, numbers, booleans and None only.

    A node's path is the tuple of keys and list indexes that leads to it, `()` the top.
    """

    path: Path
    data: dict[str, Any]
    lines: Mapping[NodePath, int]
    texts: Mapping[NodePath, str]  # numbers, booleans and nulls as they were written

    def line(self, path: NodePath = ()) -> int:
        """Line (from 1) of the key or list item at `path`, else of its nearest known parent."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def origin(self, path: NodePath = ()) -> Origin:
        """Return the place of the node at `path`, for messages."""
        return Origin(self.path, self.line(path))


def load(path: Path, schema: Mapping[str, Any]) -> Document:
    """Read, build and check `path`; `schema` is a JSON schema (2020-12).

    Raises UserError: unreadable, over 1 MiB, not UTF-8, not YAML, duplicate key, anchor, alias or tag,
    nested deeper than 20, empty, not a mapping, or against the schema (every violation is listed, up
    to eight). The `description` of a schema node is used as the words for what was expected there.
    """
    document = _document_of(path, _read(path))
    found = sorted(problems_of(document.data, schema, document.texts), key=lambda p: document.line(p.path))
    if found:
        raise _schema_error(document, found)
    return document


@cache
def load_schema(name: str) -> dict[str, Any]:
    """Return the schema `harness/catalog/schemas/<name>.schema.json`."""
    file = resources.files("harness.catalog").joinpath("schemas", f"{name}.schema.json")
    schema: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return schema


def _schema_error(document: Document, found: list[Problem]) -> UserError:
    shown = [found[0].text]
    shown += [f"{document.origin(problem.path)}: {problem.text}" for problem in found[1:_MAX_SHOWN]]
    if len(found) > _MAX_SHOWN:
        shown.append(f"… and {len(found) - _MAX_SHOWN} more")
    return UserError("\n".join(shown), where=document.origin(found[0].path))


def _read(path: Path) -> str:
    """Return the file's text without a byte order mark; bounded before anything parses it."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    if len(raw) > MAX_BYTES:
        raise UserError("larger than 1 MiB; a file a person wrote is not", where=str(path))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"not UTF-8: byte 0x{raw[error.start]:02x}", where=Origin(path, line), hint="save it as UTF-8"
        ) from error
    if not text.strip():
        raise UserError("empty; a mapping of keys to values is expected", where=Origin(path))
    return text


def _document_of(path: Path, text: str) -> Document:
    """Build with libyaml, ten times as fast; where it objects, ruamel's own parser has the last word.

    libyaml is more lenient about tabs only, so a text with tabs is not given to it.
    """
    if "\t" not in text:
        with suppress(UserError):
            return _Builder(path, pure=False).build(text)
    return _Builder(path, pure=True).build(text)


class _Builder:
    """Turns the parser's events into plain data, noting lines. One use per file.

    `pure`: ruamel's own parser instead of libyaml (ruamel.yaml.clib), which is also what there is without it.
    """

    def __init__(self, path: Path, *, pure: bool) -> None:
        self.path = path
        self.pure = pure
        self.lines: dict[NodePath, int] = {}
        self.texts: dict[NodePath, str] = {}
        self.events: Iterator[Any] = iter(())

    def build(self, text: str) -> Document:
        """Raise UserError at the first thing that is not plain, single-document YAML."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ruamel warns of constructs that are refused below anyway
            try:
                data = self._document(text)
            except UserError:
                raise
            except (MarkedYAMLError, ReaderError) as error:
                raise self._syntax_error(error, text) from error
            except Exception as error:  # the parser slips on hostile input: IndexError, ValueError, …
                raise UserError(
                    f"not YAML: {type(error).__name__}: {error}", where=Origin(self.path)
                ) from error
        if not isinstance(data, dict):
            raise UserError(
                f"the top level is a {_kind(data)}; a mapping of keys to values is expected",
                where=Origin(self.path),
            )
        return Document(self.path, data, self.lines, self.texts)

    def _document(self, text: str) -> Any:
        self.events = iter(YAML(typ="safe", pure=self.pure).parse(text))
        data: Any = None
        documents = 0
        for event in self.events:
            kind = type(event).__name__
            if kind == "DocumentStartEvent":
                documents += 1
                self._refuse_directives(event, documents)
                data = self._node(next(self.events), ())
        return data

    def _refuse_directives(self, event: Any, documents: int) -> None:
        if documents > 1:
            raise self._error(event, "a second document begins here; one per file")
        if event.tags or event.version not in (None, (1, 2)):
            raise self._error(event, "directives are refused; the file is read as YAML 1.2")

    def _node(self, event: Any, path: NodePath) -> Any:
        kind = type(event).__name__
        if kind == "AliasEvent" or getattr(event, "anchor", None):
            raise self._error(event, "anchors and aliases (&x, *x) are refused; write the value out")
        if getattr(event, "tag", None) and str(event.tag) != "!":
            raise self._error(event, f"tags are refused ({str(event.tag)[:40]}); plain values only")
        if len(path) > MAX_DEPTH:
            raise self._error(event, f"nested deeper than {MAX_DEPTH} levels")
        self.lines.setdefault(path, event.start_mark.line + 1)
        if kind == "MappingStartEvent":
            return self._mapping(path)
        if kind == "SequenceStartEvent":
            return self._sequence(path)
        return self._scalar(event, path)

    def _mapping(self, path: NodePath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for event in self.events:
            if type(event).__name__ == "MappingEndEvent":
                break
            key = self._key(event)
            here = (*path, key)
            if key in result:
                raise self._error(event, f"duplicate key {key!r}; first given in line {self.lines[here]}")
            self.lines[here] = event.start_mark.line + 1
            result[key] = self._node(next(self.events), here)
        return result

    def _key(self, event: Any) -> str:
        if type(event).__name__ != "ScalarEvent" or getattr(event, "anchor", None):
            raise self._error(event, "a key must be a plain word")
        if event.tag:
            raise self._error(event, f"tags are refused ({str(event.tag)[:40]}); plain values only")
        return str(event.value)

    def _sequence(self, path: NodePath) -> list[Any]:
        result: list[Any] = []
        for event in self.events:
            if type(event).__name__ == "SequenceEndEvent":
                break
            result.append(self._node(event, (*path, len(result))))
        return result

    def _scalar(self, event: Any, path: NodePath) -> str | int | float | bool | None:
        text = str(event.value)
        if not event.implicit[0]:  # quoted or block style: a string, whatever it looks like
            return text
        try:
            value = _resolve(text)
        except ValueError as error:  # an integer of thousands of digits: Python refuses to convert it
            raise self._error(event, "a number too long to be meant") from error
        if not isinstance(value, str):
            self.texts[path] = text
        return value

    def _error(self, event: Any, what: str) -> UserError:
        return UserError(what, where=Origin(self.path, event.start_mark.line + 1))

    def _syntax_error(self, error: Exception, text: str) -> UserError:
        line, reason = 1, str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, MarkedYAMLError):
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            reason = ", ".join(part for part in (error.context, error.problem) if part)
        elif isinstance(error, ReaderError):
            at = min(error.position, len(text) - 1)  # libyaml counts bytes
            line = text.count("\n", 0, at) + 1
            reason = f"character U+{ord(text[at]):04X} is not allowed"
        hint = next((fix for words, fix in _SYNTAX_HINTS.items() if words in reason), None)
        return UserError(f"not YAML: {reason}", where=Origin(self.path, line), hint=hint)


def _resolve(text: str) -> str | int | float | bool | None:
    """Resolve a plain scalar by YAML 1.2's core schema (so `yes`, `0644` and `1:30` are not surprises)."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text, 0 if text[:2] in ("0o", "0x") else 10)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _kind(value: object) -> str:
    names = {list: "list", str: "string", int: "number", float: "number", bool: "boolean"}
    return names.get(type(value), "null")
