"""The `contains` list of a manifest: what a variant's object must hold for its verdict to mean anything.

Compilers fold, inline, fill and drop; a claim is matched on what they left (`harness.build.claims`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from harness.catalog.expectations import check_pattern
from harness.catalog.selection import Values, check_when, selects
from harness.catalog.yamlfile import Document, NodePath
from harness.errors import UserError
from harness.model import Claim, ClaimKind, Variant

_KEYS = ", ".join(ClaimKind)
# A key that says nothing beside these kinds.
_IDLE = {
    "function": (ClaimKind.BTF, ClaimKind.LACKS_BTF),
    "times": (ClaimKind.LACKS, ClaimKind.LACKS_BTF),
}


def with_claims(
    document: Document, axes: Mapping[str, Values], variants: tuple[Variant, ...]
) -> tuple[Variant, ...]:
    """Return `variants` with the claims that concern each.

    Raises UserError with file:line: not exactly one pattern, a bad one, a condition that selects nothing.
    """
    claims = [
        (_claim(document, ("contains", index), entry, axes, variants), entry.get("when", {}))
        for index, entry in enumerate(document.data.get("contains", []))
    ]
    return tuple(
        replace(variant, claims=tuple(claim for claim, when in claims if selects(when, variant.values)))
        for variant in variants
    )


def _claim(
    document: Document,
    path: NodePath,
    entry: Mapping[str, Any],
    axes: Mapping[str, Values],
    variants: tuple[Variant, ...],
) -> Claim:
    _check_condition(document, path, entry, axes, variants)
    kinds = [kind for kind in ClaimKind if kind in entry]
    if len(kinds) != 1:
        found = "none of" if not kinds else f"{' and '.join(kinds)}, but only one of"
        raise UserError(f"this claim has {found} {_KEYS}", where=document.origin(path))
    kind = kinds[0]
    check_pattern(document, (*path, kind.value), entry[kind])
    for key, idle in _IDLE.items():
        if key in entry and kind in idle:
            raise UserError(
                f"{key!r} has no meaning beside {kind.value!r}", where=document.origin((*path, key))
            )
    return Claim(
        kind=kind,
        pattern=entry[kind],
        origin=document.origin(path),
        function=entry.get("function"),
        times=entry.get("times"),
        why=" ".join(entry.get("why", "").split()),
    )


def _check_condition(
    document: Document,
    path: NodePath,
    entry: Mapping[str, Any],
    axes: Mapping[str, Values],
    variants: tuple[Variant, ...],
) -> None:
    if "when" not in entry:
        return
    check_when(document, (*path, "when"), axes)
    if not any(selects(entry["when"], variant.values) for variant in variants):
        raise UserError("this condition selects no variant", where=document.origin((*path, "when")))
