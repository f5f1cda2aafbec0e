"""The `advice` block of a manifest: claims a measured matrix can confirm or refute.

Every condition must select a variant, and the variants to show side by side exactly one each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from harness.advice import Advice, Answer, Clause, NoteClaim
from harness.catalog.selection import Value, Values, check_when, selects
from harness.catalog.yamlfile import Document, NodePath
from harness.errors import UserError
from harness.model import Variant, VersionRange

_REJECTION_KEYS = ("stage", "errno", "cause")


def read_advice(document: Document, axes: Mapping[str, Values], variants: Sequence[Variant]) -> Advice | None:
    """Return what the manifest wants judged, None without an `advice` block.

    UserError with file:line for an unknown axis or value, a condition that selects nothing, a version
    range that is none, and keys of a rejection beside another answer.
    """
    data = document.data.get("advice")
    if data is None:
        return None
    claims = tuple(
        NoteClaim(
            says=" ".join(claim["says"].split()),
            clauses=tuple(
                _clause(document, ("advice", "claims", index, "holds_when", place), clause, axes, variants)
                for place, clause in enumerate(claim["holds_when"])
            ),
        )
        for index, claim in enumerate(data["claims"])
    )
    return Advice(
        claims=claims,
        wrong=_one(document, ("advice", "wrong"), data.get("wrong"), axes, variants),
        right=tuple(
            found
            for index, entry in enumerate(data.get("right", []))
            if (found := _one(document, ("advice", "right", index), entry, axes, variants)) is not None
        ),
        figures=data.get("figures", False),
    )


def _clause(
    document: Document,
    path: NodePath,
    entry: Mapping[str, Any],
    axes: Mapping[str, Values],
    variants: Sequence[Variant],
) -> Clause:
    answer = Answer(entry["is"])
    when = _when(document, path, entry, axes, variants)
    for key in _REJECTION_KEYS:
        if key in entry and answer is not Answer.REJECT:
            raise UserError(f"{answer.value} has no {key}", where=document.origin((*path, key)))
    kernels = entry.get("kernels", "*")
    try:
        VersionRange.parse(kernels)
    except ValueError as error:
        raise UserError(f"kernels: {error}", where=document.origin((*path, "kernels"))) from error
    return Clause(
        when=when,
        answer=answer,
        stage=entry.get("stage", ""),
        errno=entry.get("errno", ""),
        cause=entry.get("cause", ""),
        kernels=kernels,
        some=entry.get("some", False),
    )


def _when(
    document: Document,
    path: NodePath,
    entry: Mapping[str, Any],
    axes: Mapping[str, Values],
    variants: Sequence[Variant],
) -> Mapping[str, tuple[Value, ...]]:
    if "when" not in entry:
        return MappingProxyType({})
    check_when(document, (*path, "when"), axes)
    if not any(selects(entry["when"], variant.values) for variant in variants):
        raise UserError("this condition selects no variant", where=document.origin((*path, "when")))
    return MappingProxyType({axis: tuple(values) for axis, values in entry["when"].items()})


def _one(
    document: Document,
    path: NodePath,
    when: Mapping[str, list[Value]] | None,
    axes: Mapping[str, Values],
    variants: Sequence[Variant],
) -> Mapping[str, tuple[Value, ...]] | None:
    """Check a condition that must select exactly one variant."""
    if when is None:
        return None
    check_when(document, path, axes)
    found = [variant.name for variant in variants if selects(when, variant.values)]
    if len(found) != 1:
        raise UserError(
            f"this must select one variant and selects {len(found)}: {', '.join(found[:5]) or 'none'}",
            where=document.origin(path),
        )
    return MappingProxyType({axis: tuple(values) for axis, values in when.items()})
