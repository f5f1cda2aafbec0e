"""A pitfall's manifest: its axes become variants, its `expect` list becomes expectations.

Every mistake that would make the matrix lie is refused with file and line: axes the template does not
read, variables no axis gives, conditions that select nothing, expectations no variant can reach.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jinja2 import TemplateError

from harness.catalog.advice import read_advice
from harness.catalog.checks import read_checks
from harness.catalog.claims import with_claims
from harness.catalog.expectations import check_reachable, read_expectations
from harness.catalog.hostpart import COMPILER_AXIS, read_host
from harness.catalog.scenario import check_conditions, condition_axes, read_steps
from harness.catalog.schemacheck import suggest
from harness.catalog.selection import Values, check_when, same, selects
from harness.catalog.templates import variables_of
from harness.catalog.texts import Texts
from harness.catalog.yamlfile import Document, NodePath, load, load_schema
from harness.errors import UserError
from harness.model import Loader, LoadSettings, Origin, Program, ProgramKind, Variant

RESERVED_AXES = ("loader", "memlock")
MAX_VARIANTS = 2000
_WORD = re.compile(r"[A-Za-z0-9_.:]+")

Axes = Mapping[str, Values]


def read_manifest(name: str, template: Path, manifest: Path) -> Program:
    """Return the program `name` described by `manifest`; UserError with file:line when it is wrong."""
    document = load(manifest, load_schema("program"))
    axes = _axes(document)
    texts = Texts(document)
    host = read_host(document, axes, template)
    _check_variables(document, axes, (template, host.source) if host else (template,), texts)
    variants = with_claims(document, axes, _variants(document, axes, texts))
    expectations = read_expectations(document, axes)
    check_reachable(document, variants, expectations)
    return Program(
        name=name,
        path=template,
        kind=ProgramKind.TEMPLATE,
        variants=variants,
        title=_line(document.data["title"]),
        pitfall=document.data.get("pitfall", ""),
        note=_line(document.data.get("note", "")),
        claim=_line(document.data["claim"]),
        expectations=expectations,
        origin=document.origin(),
        advice=read_advice(document, axes, variants),
        host=host,
    )


def _line(text: str) -> str:
    """Fold the line breaks of a YAML block: these texts stand in table cells."""
    return " ".join(text.split())


def _axes(document: Document) -> Axes:
    axes: dict[str, Values] = {}
    for axis, values in document.data.get("axes", {}).items():
        for index, value in enumerate(values):
            _check_value(document, ("axes", axis, index), value, values[:index])
        axes[axis] = tuple(values)
    size = math.prod(len(values) for values in axes.values())
    if size > MAX_VARIANTS:
        raise UserError(
            f"{size} variants; at most {MAX_VARIANTS}",
            where=document.origin(("axes",)),
            hint="split the pitfall, or drop values that tell nothing new",
        )
    return axes


def _check_value(document: Document, path: NodePath, value: str | int | bool, earlier: list[Any]) -> None:
    axis, where = str(path[1]), document.origin(path)
    if any(same(value, other) for other in earlier):
        raise UserError(f"axis {axis!r} lists {value!r} twice", where=where)
    if any(value == other for other in earlier):  # 1 == True would make conditions ambiguous
        raise UserError(f"axis {axis!r} mixes true/false with numbers", where=where)
    if not isinstance(value, bool) and not _WORD.fullmatch(_word(axis, value)):
        raise UserError(
            f"axis {axis!r}: {value!r} cannot stand in a variant's name; letters, digits and _ . : can",
            where=where,
            hint="name the value by a word and let the template say what the word means",
        )
    if axis == "loader" and value not in list(Loader):
        raise UserError(f"no loader {value!r}; {suggest(str(value), list(Loader), 'valid')}", where=where)
    if axis == "memlock" and value != "unlimited" and (isinstance(value, (str, bool)) or value < 0):
        raise UserError(f"memlock {value!r}; expected: bytes, or unlimited", where=where)


def _check_variables(document: Document, axes: Axes, templates: tuple[Path, ...], texts: Texts) -> None:
    read = texts.variables()
    used = condition_axes(document) | set(RESERVED_AXES) | ({COMPILER_AXIS} if len(templates) > 1 else set())
    try:
        for template in templates:
            for variable, line in variables_of(template).items():
                read.setdefault(variable, Origin(template, line))
    except (TemplateError, OSError, UnicodeDecodeError):
        used |= set(axes)  # rendering will say what is wrong: that is a verdict of the stage `render`
    for axis in axes:
        if axis not in read and axis not in used:
            raise UserError(
                f"the template {templates[0].name} does not use the axis {axis!r}; "
                f"{suggest(axis, sorted(set(read) - set(axes)), 'variables without an axis')}",
                where=document.origin(("axes", axis)),
            )
    for variable, origin in read.items():
        if variable not in axes:
            raise UserError(
                f"the variable {variable!r} is no axis of {document.path.name}; "
                f"{suggest(variable, axes, 'axes')}",
                where=origin,
            )


def _variants(document: Document, axes: Axes, texts: Texts) -> tuple[Variant, ...]:
    points = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    kept = _without_excluded(document, axes, points)
    slow = document.data.get("slow", {}).get("when")
    if slow is not None:
        check_when(document, ("slow", "when"), axes)
        if not any(selects(slow, point) for point in kept):
            raise UserError("this condition selects no variant", where=document.origin(("slow", "when")))
    check_conditions(document, axes, kept)
    settings = _settings(document.data.get("settings", {}))
    return _named(document, [_variant(document, point, settings, slow, texts) for point in kept])


def _without_excluded(document: Document, axes: Axes, points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept = points
    for index, entry in enumerate(document.data.get("exclude", [])):
        path = ("exclude", index, "when")
        check_when(document, path, axes)
        left = [point for point in kept if not selects(entry["when"], point)]
        if len(left) == len(kept):
            raise UserError("this exclusion removes no variant that is left", where=document.origin(path))
        kept = left
    if not kept:
        raise UserError("the exclusions leave no variant", where=document.origin(("exclude",)))
    return kept


def _variant(
    document: Document,
    point: dict[str, Any],
    common: LoadSettings,
    slow: Mapping[str, list[Any]] | None,
    texts: Texts,
) -> Variant:
    memlock = point.get("memlock", common.memlock)
    settings = replace(
        common,
        loader=Loader(point.get("loader", common.loader)),
        memlock=None if memlock == "unlimited" else memlock,
    )
    steps = read_steps(document, texts, point, settings)
    return Variant(
        name="-".join(_word(axis, value) for axis, value in point.items()) or "default",
        values=MappingProxyType(point),
        settings=settings,
        bpf_program=document.data.get("program"),
        slow=slow is not None and selects(slow, point),
        scenario=steps,
        checks=read_checks(document, texts, point, steps),
    )


def _word(axis: str, value: str | int | bool) -> str:
    if isinstance(value, bool):
        return axis if value else f"no_{axis}"
    return str(value).replace("++", "xx") if axis == COMPILER_AXIS else str(value)


def _named(document: Document, variants: list[Variant]) -> tuple[Variant, ...]:
    seen: dict[str, Variant] = {}
    for variant in variants:
        if variant.name in seen:
            raise UserError(
                f"two variants are called {variant.name!r}: {dict(seen[variant.name].values)} "
                f"and {dict(variant.values)}",
                where=document.origin(("axes",)),
            )
        seen[variant.name] = variant
    return tuple(variants)


def _settings(data: Mapping[str, Any]) -> LoadSettings:
    default = LoadSettings()
    memlock = data.get("memlock")
    capabilities = data.get("capabilities")
    return LoadSettings(
        memlock=None if memlock == "unlimited" else memlock,
        capabilities=None if capabilities is None else tuple(capabilities),
        time_limit_s=float(data.get("time_limit", default.time_limit_s)),
        log_bytes=data.get("log_bytes", default.log_bytes),
        cpus=data.get("cpus", default.cpus),
        disposable=data.get("disposable", default.disposable),
    )
