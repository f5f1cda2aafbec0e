"""Conditions on axes: `when: {axis: [value, …]}` in a manifest. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.catalog.schemacheck import suggest
from harness.catalog.yamlfile import Document, NodePath
from harness.errors import UserError

Value = str | int | bool
Values = tuple[Value, ...]


def same(left: Value, right: Value) -> bool:
    """Whether two axis values are one; unlike Python, `1` and `true` are not."""
    return type(left) is type(right) and left == right


def selects(when: Mapping[str, Sequence[Value]], point: Mapping[str, Value]) -> bool:
    """Whether every axis of `when` has one of its values at `point`; one that `point` lacks has none."""
    return all(
        axis in point and any(same(point[axis], value) for value in values) for axis, values in when.items()
    )


def check_when(document: Document, path: NodePath, axes: Mapping[str, Values]) -> None:
    """Raise UserError at the first axis or value of the condition at `path` that does not exist."""
    when: Any = document.data
    for part in path:
        when = when[part]
    for axis, values in when.items():
        if axis not in axes:
            raise UserError(
                f"no axis {axis!r}; {suggest(axis, axes, 'axes')}", where=document.origin((*path, axis))
            )
        for index, value in enumerate(values):
            if not any(same(value, known) for known in axes[axis]):
                known_values = [str(known) for known in axes[axis]]
                raise UserError(
                    f"axis {axis!r} has no value {value!r}; {suggest(str(value), known_values, 'values')}",
                    where=document.origin((*path, axis, index)),
                )
