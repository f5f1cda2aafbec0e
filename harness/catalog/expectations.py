"""The `expect` list of a manifest: entries, and whether each can ever decide.

The first entry whose conditions all hold decides, so an entry that earlier ones always forestall is
dead text and refused.
"""

from __future__ import annotations

import errno
import re
import warnings
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from harness.catalog.schemacheck import suggest
from harness.catalog.selection import Values, check_when, selects
from harness.catalog.yamlfile import Document, NodePath
from harness.errors import UserError
from harness.model import Expectation, Expected, KernelVersion, Stage, Variant, VerdictKind, VersionRange
from harness.scenario import Behaviour

# ENOTSUPP (524) is the kernel's own (include/linux/errno.h), unknown to user space, but bpf() leaks it.
ERRNO_NAMES = frozenset(errno.errorcode.values()) | {"ENOTSUPP", "ENOTSUP"}
_BUILD_STAGES = ("render", "compile", "host_compile")
_BASE = 10_000  # above any component of a kernel version
_END = _BASE**3


def read_expectations(document: Document, axes: Mapping[str, Values]) -> tuple[Expectation, ...]:
    """Return the entries of `expect`; UserError for unknown axes, values, errno names, bad patterns."""
    return tuple(
        _expectation(document, ("expect", index), entry, axes)
        for index, entry in enumerate(document.data.get("expect", []))
    )


def check_reachable(
    document: Document, variants: tuple[Variant, ...], expectations: tuple[Expectation, ...]
) -> None:
    """Raise UserError at the first entry no variant on no kernel can reach."""
    versions = _sample_versions(entry.kernels for entry in expectations)
    for index, entry in enumerate(expectations):
        cells = {
            (variant.name, version)
            for variant in variants
            if selects(entry.when, variant.values)
            for version in versions
            if version in entry.kernels
        }
        if not cells:
            raise UserError(
                "this expectation can never match: its conditions select no variant on any kernel",
                where=entry.origin,
            )
        _refuse_shadowed(document, variants, expectations[:index], entry, cells)
        _refuse_without_scenario(document, index, variants, entry)


def _refuse_without_scenario(
    document: Document, index: int, variants: tuple[Variant, ...], entry: Expectation
) -> None:
    """An entry that speaks of running or behaving needs a variant that runs or is checked."""
    covered = [variant for variant in variants if selects(entry.when, variant.values)]
    stage = entry.expected.stage
    if stage in (Stage.ATTACH, Stage.RUN) and not any(variant.scenario for variant in covered):
        raise UserError(
            f"nothing gets as far as {stage.value}: no variant this covers has a scenario",
            where=document.origin(("expect", index, "stage")),
        )
    if entry.expected.behaviour is not None and not any(variant.checks for variant in covered):
        raise UserError(
            "no variant this covers has checks, so none can be seen to behave or misbehave",
            where=document.origin(("expect", index, "behaviour")),
            hint="add `checks`, or leave `behaviour` out",
        )


def _refuse_shadowed(
    document: Document,
    variants: tuple[Variant, ...],
    earlier: tuple[Expectation, ...],
    entry: Expectation,
    cells: set[tuple[str, KernelVersion]],
) -> None:
    values = {variant.name: variant.values for variant in variants}
    stronger: list[int] = []
    for before in earlier:
        if not set(before.needs) <= set(entry.needs):
            continue  # it may not hold where this entry's conditions do
        taken = {
            cell for cell in cells if cell[1] in before.kernels and selects(before.when, values[cell[0]])
        }
        if taken:
            stronger.append(before.origin.line)
            cells = cells - taken
    if not cells:
        lines = ", ".join(map(str, stronger))
        raise UserError(
            f"this expectation can never match: earlier entries (line {lines}) always decide first",
            where=entry.origin,
            hint=f"move it up in {document.path.name}, or remove it",
        )


def _expectation(
    document: Document, path: NodePath, entry: Mapping[str, Any], axes: Mapping[str, Values]
) -> Expectation:
    if "when" in entry:
        check_when(document, (*path, "when"), axes)
    return Expectation(
        expected=_expected(document, path, entry),
        kernels=_kernels(document, path, entry.get("kernels", "*")),
        when=MappingProxyType({axis: tuple(values) for axis, values in entry.get("when", {}).items()}),
        needs=tuple(entry.get("needs", ())),
        origin=document.origin(path),
    )


def _expected(document: Document, path: NodePath, entry: Mapping[str, Any]) -> Expected:
    verdict = VerdictKind(entry["verdict"])
    for key in ("stage", "errno"):
        if verdict is VerdictKind.ACCEPT and key in entry:
            raise UserError(f"verdict accept has no {key}", where=document.origin((*path, key)))
    name = entry.get("errno")
    if name is not None and name not in ERRNO_NAMES:
        raise UserError(
            f"no errno {name!r}; {_near(name)}such as EINVAL, EPERM, E2BIG, ENOTSUPP",
            where=document.origin((*path, "errno")),
        )
    if name is not None and entry.get("stage") in _BUILD_STAGES:
        raise UserError(
            f"stage {entry['stage']} happens before the kernel: it has no errno",
            where=document.origin((*path, "errno")),
        )
    if "message" in entry:
        check_pattern(document, (*path, "message"), entry["message"])
    if verdict is VerdictKind.REJECT and "behaviour" in entry:
        raise UserError(
            "verdict reject has no behaviour: the program never ran",
            where=document.origin((*path, "behaviour")),
        )
    return Expected(
        verdict=verdict,
        stage=Stage(entry["stage"]) if "stage" in entry else None,
        errno=name,
        message=entry.get("message"),
        unmeasured=entry.get("unmeasured", False),
        why=" ".join(entry.get("why", "").split()),
        behaviour=Behaviour(entry["behaviour"]) if "behaviour" in entry else None,
    )


def _near(name: str) -> str:
    lead = suggest(name.upper(), sorted(ERRNO_NAMES)).split("? ")[0]
    return f"{lead}? " if lead.startswith("did you mean") else ""


def check_pattern(document: Document, path: NodePath, pattern: str) -> None:
    """Raise UserError when the text at `path` is no regular expression."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # "[[" and its like mean something else in later Pythons
            re.compile(pattern)
    except (re.error, Warning, OverflowError, RecursionError) as error:
        raise UserError(f"not a regular expression: {error}", where=document.origin(path)) from error


def _kernels(document: Document, path: NodePath, text: str) -> VersionRange:
    try:
        return VersionRange.parse(text)
    except ValueError as error:
        raise UserError(f"kernels: {error}", where=document.origin((*path, "kernels"))) from error


def _sample_versions(ranges: Iterable[VersionRange]) -> list[KernelVersion]:
    """Return one version from every stretch between the bounds that occur: enough to compare ranges."""
    numbers = {0, _END - 1}
    for bounds in ranges:
        for _, bound in bounds.bounds:
            first = _number((*bound, 0, 0)[:3])
            width = {1: _BASE**2, 2: _BASE, 3: 1}[len(bound)]
            numbers |= {first - 1, first, first + width - 1, first + width}
    return [_version(number) for number in sorted(numbers) if 0 <= number < _END]


def _number(version: tuple[int, ...]) -> int:
    """Give versions of three components one number each, in their order."""
    major, minor, patch = (min(part, _BASE - 1) for part in version)
    return (major * _BASE + minor) * _BASE + patch


def _version(number: int) -> KernelVersion:
    return KernelVersion(number // _BASE**2, number // _BASE % _BASE, number % _BASE)
