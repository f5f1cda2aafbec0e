"""The `checks` of a manifest: assertions about results, each refused where it could never say anything."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Mapping, Sequence

from harness.catalog.expectations import ERRNO_NAMES
from harness.catalog.schemacheck import suggest
from harness.catalog.selection import selects
from harness.catalog.steptable import ACTIONS, INTEGERS
from harness.catalog.texts import Node, Point, Texts, whole
from harness.catalog.values import MAX_BYTES, hex_bytes
from harness.catalog.yamlfile import Document
from harness.model import VersionRange
from harness.scenario import Check, CheckKind, Step, number_names

_KINDS: Mapping[str, CheckKind] = {
    "equals": CheckKind.EQUALS,
    "equals_value": CheckKind.EQUALS_VALUE,
    "at_least": CheckKind.RANGE,
    "at_most": CheckKind.RANGE,
    "text": CheckKind.TEXT,
    "bytes": CheckKind.BYTES,
    "contains_text": CheckKind.CONTAINS_TEXT,
}
_KEYS = ("value", *_KINDS, "offset", "type", "when", "kernels", "why")
_OF_BYTES = frozenset({CheckKind.TEXT, CheckKind.BYTES, CheckKind.CONTAINS_TEXT})
_LIMIT = 1 << 64
ERRNO_PARTS = ("errno", "first_errno")
_GIVES_VALUES = frozenset(action.op for action in ACTIONS.values() if action.gives)


def read_checks(document: Document, texts: Texts, point: Point, steps: Sequence[Step]) -> tuple[Check, ...]:
    """Return the checks of the variant at `point`, whose steps are `steps`; UserError with file:line."""
    checks = []
    for index, data in enumerate(document.data.get("checks", ())):
        if selects(data.get("when", {}), point):
            checks.append(_check(Node(document, ("checks", index), data, texts, point), steps))
    return tuple(checks)


def _check(node: Node, steps: Sequence[Step]) -> Check:
    for key in node.data:
        if key not in _KEYS:
            raise node.error(f"unknown key {key!r}; {suggest(key, _KEYS, 'valid keys')}", key)
    value = node.text("value")
    part = _part(node, "value", value, steps)
    kind = _kind(node)
    _check_piece(node, kind, part)
    return Check(
        value=value,
        kind=kind,
        want=_want(node, kind, part, steps),
        at_least=_bound(node, "at_least"),
        at_most=_bound(node, "at_most"),
        offset=node.number("offset", 0, MAX_BYTES, default=0),
        type=_type(node),
        why=" ".join(str(node.data.get("why", "")).split()),
        kernels=_kernels(node),
    )


def _kind(node: Node) -> CheckKind:
    named = [key for key in _KINDS if key in node.data]
    kinds = {_KINDS[key] for key in named}
    if len(kinds) != 1:
        said = " and ".join(named) or "none"
        raise node.error(f"a check compares in one way, here {said}; ways: {', '.join(_KINDS)}")
    return kinds.pop()


def _part(node: Node, key: str, value: str, steps: Sequence[Step]) -> str:
    """Return the part of a result a dotted name speaks of, "" for its value; UserError if there is none."""
    label, _, part = value.partition(".")
    labels = {step.label: step for step in steps if step.label}
    if label not in labels:
        raise node.error(
            f"no step gives a result called {label[:40]!r}{_of_variant(node)}; "
            f"{suggest(label, labels, 'results')}",
            key,
        )
    step = labels[label]
    names = [*number_names(step.op, step.name), "errno"]
    has_values = step.op in _GIVES_VALUES
    if (part in names) or (has_values and (part == "" or re.fullmatch(r"values\.[0-9]{1,2}", part))):
        if part == "errno" and not step.may_fail:
            raise node.error(
                f"{label}.errno is always 0: a step that fails ends the scenario",
                key,
                f"write `may_fail: true` in line {step.line}",
            )
        return part
    if has_values:
        names = [*names, "values.0 …"]
    raise node.error(f"{_unknown_part(label, part, names)}{' (or alone)' if has_values else ''}", key)


def _unknown_part(label: str, part: str, names: list[str]) -> str:
    if not part:
        return f"{label} has no value of its own; its parts: {', '.join(f'{label}.{name}' for name in names)}"
    near = difflib.get_close_matches(part, names, n=1)
    lead = f"did you mean {f'{label}.{near[0]}'!r}? " if near else ""
    return f"{label} has no part {part[:40]!r}; {lead}parts: {', '.join(names)}"


def _of_variant(node: Node) -> str:
    """Say which variant, where steps depend on it."""
    if not any("when" in step for step in node.document.data.get("scenario", ())):
        return ""
    return " in the variant " + "-".join(str(value) for value in node.point.values())


def _check_piece(node: Node, kind: CheckKind, part: str) -> None:
    whole_number = part != "" and not part.startswith("values.")
    for key in ("offset", "type"):
        if key in node.data and whole_number:
            raise node.error(f"{part} is a number, not bytes: it has no {key}", key)
    if whole_number and kind in _OF_BYTES:
        raise node.error(f"{part} is a number, not bytes; compare with equals, at_least or at_most")
    if "type" in node.data and kind in _OF_BYTES:
        raise node.error("type belongs to equals, equals_value, at_least and at_most", "type")
    if part in ERRNO_PARTS and kind is CheckKind.RANGE:
        raise node.error(f"{part} is an errno; compare with equals")


def _want(node: Node, kind: CheckKind, part: str, steps: Sequence[Step]) -> str:
    if kind is CheckKind.EQUALS:
        return _errno(node) if part in ERRNO_PARTS else _integer(node)
    if kind is CheckKind.EQUALS_VALUE:
        other = node.text("equals_value")
        _part(node, "equals_value", other, steps)
        return other
    if kind is CheckKind.BYTES:
        return hex_bytes(node, "bytes").hex()
    return node.text(kind.value) if kind in _OF_BYTES else ""


def _integer(node: Node) -> str:
    number = whole(node.text("equals"))
    if number is None or not -_LIMIT // 2 <= number < _LIMIT:
        raise node.error(
            f"equals: {node.text('equals')[:40]!r} is no whole number of 64 bits",
            "equals",
            "for words there is `text`, for an errno `NAME.errno`",
        )
    return str(number)


def _errno(node: Node) -> str:
    text = node.text("equals")
    number = whole(text)
    if number is not None:
        text = "0" if number == 0 else errno.errorcode.get(number, text)
    if text != "0" and text not in ERRNO_NAMES:
        raise node.error(f"equals: no errno {text[:40]!r}; such as 0, EINVAL, ENOENT, E2BIG", "equals")
    return text


def _bound(node: Node, key: str) -> int | None:
    return node.number(key, -_LIMIT // 2, _LIMIT - 1) if key in node.data else None


def _type(node: Node) -> str:
    if "type" not in node.data:
        return ""
    kind = node.text("type")
    if kind not in INTEGERS:
        raise node.error(f"unknown type {kind[:40]!r}; {suggest(kind, INTEGERS, 'types')}", "type")
    return kind


def _kernels(node: Node) -> str:
    text = str(node.data.get("kernels", "*"))
    try:
        return str(VersionRange.parse(text))
    except ValueError as error:
        raise node.error(f"kernels: {error}", "kernels") from error
