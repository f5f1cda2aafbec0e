"""Says in words what a JSON schema says in keywords. Pure; used by `harness.catalog.yamlfile`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

_NAMES = {
    "object": "a mapping",
    "array": "a list",
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One violation: the path of the node at fault and one line that says what is expected."""

    path: tuple[str | int, ...]
    text: str


def problems_of(
    data: object, schema: Mapping[str, Any], texts: Mapping[tuple[str | int, ...], str]
) -> Iterator[Problem]:
    """Every violation of `schema` in `data`; `texts` are unquoted scalars as they were written."""
    for error in Draft202012Validator(schema).iter_errors(data):
        yield from _problems(error, texts)


def suggest(word: str, valid: Iterable[str], what: str = "") -> str:
    """`did you mean 'x'? ` and the valid words, for messages about an unknown one."""
    known = [str(name) for name in valid]  # enum members too: their text, not their repr
    near = difflib.get_close_matches(word, known, n=1)
    lead = f"did you mean {near[0]!r}? " if near else ""
    return f"{lead}{what or 'valid'}: {', '.join(known) or 'none'}"


def _problems(error: ValidationError, texts: Mapping[tuple[str | int, ...], str]) -> Iterator[Problem]:
    path = tuple(error.absolute_path)
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = list(error.schema.get("properties", {}))  # type: ignore[union-attr]  # an object schema
        for key in error.instance:
            if key not in known:
                yield Problem((*path, key), f"unknown key {key!r}; {suggest(key, known, 'valid keys')}")
    elif error.validator == "required" and isinstance(error.instance, dict):
        # One error per missing key; the validator names it first in its message.
        missing = error.message.split("'")[1]
        yield Problem(path, f"the key {missing!r} is missing{_at(path)}")
    elif "propertyNames" in error.absolute_schema_path:
        yield Problem((*path, str(error.instance)), _expected(error, f"the key {error.instance!r}"))
    else:
        yield Problem(path, _value_text(error, texts.get(path)))


def _value_text(error: ValidationError, written: str | None) -> str:
    shown = written if written is not None else _short(error.instance)
    name = _name(tuple(error.absolute_path))
    if error.validator == "enum":
        known = [str(value) for value in _listed(error.validator_value)]
        return f"{name}: {shown} is none of them; {suggest(str(error.instance), known)}"
    text = _expected(error, f"{name}: {shown}")
    allows_text = "string" in _types(error)
    if written is not None and allows_text and not isinstance(error.instance, str):
        text += f" (quote it: {written!r})"
    return text


def _types(error: ValidationError) -> list[str]:
    if error.validator != "type":
        return []
    return [str(name) for name in _listed(error.validator_value)]


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _expected(error: ValidationError, subject: str) -> str:
    described = error.schema.get("description") if isinstance(error.schema, Mapping) else None
    if described:
        return f"{subject}; expected: {described}"
    if error.validator == "type":
        return f"{subject}; expected: {' or '.join(_NAMES[name] for name in _types(error))}"
    return f"{subject}: {_short(error.message, 200)}"


def _at(path: tuple[str | int, ...]) -> str:
    return f" in {_name(path)}" if path else ""


def _name(path: tuple[str | int, ...]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the file"


def _short(value: object, limit: int = 60) -> str:
    text = value if isinstance(value, str) and limit > 60 else repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
