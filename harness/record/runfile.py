"""The run file: one JSON document with everything a run measured (`docs/run-file.md`, `run.schema.json`).

Logs are stored whole, as the agent bounded them (1 MiB each): a run file is what later classifications and
comparisons work from. Rendered sources, which many cases share, are stored once under `sources`. A file is
written case by case, one per line: the whole text is never in memory, and a crash leaves the old file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from harness.errors import UserError
from harness.model import Run
from harness.record.atomic import replacing
from harness.record.codec import (
    case_from_json,
    case_to_json,
    kernel_to_json,
    program_to_json,
    run_from_json,
    run_to_json,
)

__all__ = ["SCHEMA", "case_from_json", "case_to_json", "dump", "read", "write"]

SCHEMA = 2  # 1: before scenarios
_REDO = "make it again: bpfmatrix run"


def write(run: Run, path: Path) -> None:
    """Write `run` to `path` atomically. UserError or InfrastructureError when the disk refuses."""
    with replacing(path) as file:
        for piece in dump(run):
            file.write(piece)


def dump(run: Run) -> Iterator[str]:
    """Yield the document's text in pieces: one line per kernel, program, source and case."""
    yield f'{{\n"schema": {SCHEMA},\n"run": {_text(run_to_json(run))},\n"kernels": [\n'
    yield from _lines(_text(kernel_to_json(kernel)) for kernel in run.kernels)
    yield '],\n"programs": [\n'
    yield from _lines(_text(program_to_json(program)) for program in run.programs)
    sources = {source_key(case.source): case.source for case in run.cases if case.source}
    yield '],\n"sources": {\n'
    yield from _lines(f"{_text(key)}: {_text(source)}" for key, source in sources.items())
    yield '},\n"cases": [\n'
    yield from _lines(_text(_shared(case_to_json(case))) for case in run.cases)
    yield "]\n}\n"


def source_key(source: str) -> str:
    """Return the name a source text has in `sources`: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def read(path: Path) -> Run:
    """Read and check a run file.

    UserError when it cannot be read, is no JSON (cut short?), is of a newer schema, or not a run file.
    """
    data = _load(path)
    _check_version(data, path)
    problems = sorted(_validator().iter_errors(data), key=lambda problem: problem.absolute_path)
    if problems:
        place = "/".join(str(part) for part in problems[0].absolute_path) or "the top level"
        raise UserError(f"not a run file: {place}: {problems[0].message[:200]}", where=str(path), hint=_REDO)
    sources: dict[str, str] = data["sources"]
    for case in data["cases"]:
        key = case.pop("source_ref", None)
        if key is not None and key not in sources:
            raise UserError(
                f"case {case['id']!r} names the source {key!r}, which is missing", where=str(path)
            )
        case["source"] = sources[key] if key is not None else ""
    try:
        return run_from_json(data)
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"not a run file: {error!r}", where=str(path), hint=_REDO) from error


def _lines(items: Iterator[str]) -> Iterator[str]:
    first = True
    for item in items:
        yield item if first else f",\n{item}"
        first = False
    if not first:
        yield "\n"


def _text(value: object) -> str:
    """Pure ASCII, so lone surrogates (bytes that were no UTF-8) survive and no editor changes anything."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def _shared(case: dict[str, Any]) -> dict[str, Any]:
    source = case.pop("source")
    case["source_ref"] = source_key(source) if source else None
    return case


def _load(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise UserError("not UTF-8 text, so not a run file", where=str(path), hint=_REDO) from error
    except json.JSONDecodeError as error:
        where = f"{path}:{error.lineno}"
        raise UserError(f"not JSON, perhaps cut short: {error.msg}", where=where, hint=_REDO) from error
    except RecursionError as error:
        raise UserError("nested too deeply to be a run file", where=str(path), hint=_REDO) from error
    if not isinstance(data, dict):
        raise UserError("not a run file: the top level is no object", where=str(path), hint=_REDO)
    return data


def _check_version(data: Mapping[str, Any], path: Path) -> None:
    version = data.get("schema")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise UserError(f"not a run file: its schema is {version!r}", where=str(path), hint=_REDO)
    if version > SCHEMA:
        raise UserError(
            f"written with run file schema {version}; this version knows schemas up to {SCHEMA}",
            where=str(path),
            hint="use the bpfmatrix that wrote it, or a newer one",
        )


@cache
def _validator() -> Draft202012Validator:
    file = resources.files("harness.record").joinpath("run.schema.json")
    return Draft202012Validator(json.loads(file.read_text(encoding="utf-8")))
