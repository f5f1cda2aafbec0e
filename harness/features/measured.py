"""The measured facts: what each kernel answered when it was asked in a guest, one JSON file per kernel.

`data/measured/<kernel>.json` is written by the probe and read by everything else; its schema is
`data/measured.schema.json`. A feature that is not in the file was not asked, which is unknown. The file has
one feature per line, so that a later measurement shows what changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.errors import UserError
from harness.features.types import FeatureKind, Finding, MeasuredFeature, Method, Support
from harness.model import KernelVersion, Origin

FOLDER = Path(__file__).parent / "data" / "measured"
FOLDER_VARIABLE = "BPFMATRIX_MEASURED"  # a folder with more such files, of kernels of yours
SCHEMA = 1
_HEAD_CHARACTERS = 1 << 14
_HEAD_END = '\n "features": {'

RawFinding = list[Any]  # [support, method, evidence, [program type, …]]
RawFeatures = Mapping[str, Mapping[str, list[RawFinding]]]


@dataclass(frozen=True, slots=True)
class MeasuredKernel:
    """One kernel's answers, with what makes them repeatable. `seconds` is the time the probe took."""

    kernel: str  # the entry's name in kernels.yaml
    version: KernelVersion
    release: str  # what `uname -r` prints
    arch: str
    source: str
    package: str | None
    package_version: str | None
    sha256: str  # of the image
    config_sha256: str | None
    date: str  # ISO, UTC
    agent: str
    seconds: float
    environment: Mapping[str, str]
    probe: str = ""  # a hash of what was asked and how it was read; "" in files from before it was recorded
    raw: RawFeatures = field(repr=False, default_factory=lambda: MappingProxyType({}))

    def __hash__(self) -> int:
        """By what was measured and when; `raw` follows from both."""
        return hash((self.kernel, self.sha256, self.date))

    def feature(self, kind: FeatureKind, name: str) -> MeasuredFeature | None:
        """What the kernel answered about a feature; None: it was not asked."""
        findings = self.raw.get(kind, {}).get(name)
        return None if findings is None else MeasuredFeature(kind, name, tuple(map(_finding, findings)))

    def names(self, kind: FeatureKind) -> Iterable[str]:
        """The features of a kind that were asked."""
        return self.raw.get(kind, {}).keys()

    def features(self) -> Iterator[MeasuredFeature]:
        """Everything that was asked, kind by kind."""
        for kind, named in self.raw.items():
            for name, findings in named.items():
                yield MeasuredFeature(FeatureKind(kind), name, tuple(map(_finding, findings)))


def raw_features(features: Iterable[MeasuredFeature]) -> RawFeatures:
    """Put features in the form of the file, sorted."""
    kinds: dict[str, dict[str, list[RawFinding]]] = {}
    for feature in features:
        kinds.setdefault(feature.kind.value, {})[feature.name] = [
            [finding.support.value, finding.method.value, finding.evidence, sorted(types)]
            for finding, types in feature.findings
        ]
    return {kind: dict(sorted(kinds[kind].items())) for kind in sorted(kinds)}


def to_text(measured: MeasuredKernel) -> str:
    """The file's text: a head, then one feature per line."""
    head = {
        "schema": SCHEMA,
        "kernel": measured.kernel,
        "version": str(measured.version),
        "release": measured.release,
        "arch": measured.arch,
        "source": measured.source,
        "package": measured.package,
        "package_version": measured.package_version,
        "sha256": measured.sha256,
        "config_sha256": measured.config_sha256,
        "date": measured.date,
        "agent": measured.agent,
        "probe": measured.probe,
        "seconds": measured.seconds,
        "environment": dict(sorted(measured.environment.items())),
    }
    lines = [f" {_json(key)}: {_json(value)}" for key, value in head.items()]
    kinds = [
        f"  {_json(kind)}: {{\n"
        + ",\n".join(f"   {_json(name)}: {_json(findings)}" for name, findings in sorted(named.items()))
        + "\n  }"
        for kind, named in sorted(measured.raw.items())
    ]
    return "{\n" + ",\n".join(lines) + "," + _HEAD_END + "\n" + ",\n".join(kinds) + "\n }\n}\n"


def write(measured: MeasuredKernel, folder: Path = FOLDER) -> Path:
    """Write `<kernel>.json` and return its path; a reader sees the old file or the new one, never a half."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{measured.kernel}.json"
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.write_text(to_text(measured), encoding="utf-8")
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    for kept in (cached_file, cached_head, cached_some):
        kept.cache_clear()
    return path


def read(path: Path) -> MeasuredKernel:
    """Read one kernel's file.

    Raises UserError with file:line: unreadable, not JSON, another schema version, a key of the head that
    is missing, an answer or a method that is none.
    """
    return _kernel(path, _text(path))


def read_head(path: Path) -> MeasuredKernel:
    """The same without the features, which is faster: only the file's beginning is read."""
    text = _text(path, _HEAD_CHARACTERS)
    head, found, _ = text.partition(_HEAD_END)
    if not found:
        text = _text(path)
    return _kernel(path, f"{head}{_HEAD_END}}}}}" if found else text)


def read_some(path: Path, kind: FeatureKind, names: Iterable[str]) -> MeasuredKernel:
    """The head and these features only: their lines are looked for, the rest is not parsed.

    A file in another layout than `write` gives is parsed whole.
    """
    text = _text(path)
    head, found, rest = text.partition(_HEAD_END)
    if not found:
        return _kernel(path, text)
    begin = rest.find(f"\n  {_json(kind.value)}: {{")
    section = rest[begin : rest.find("\n  }", begin)] if begin >= 0 else ""
    lines = [line for name in names for line in _lines(section, name)]
    features = f"{_json(kind.value)}: {{{','.join(lines)}}}" if lines else ""
    return _kernel(path, f"{head}{_HEAD_END}{features}}}}}")


def _lines(section: str, name: str) -> list[str]:
    """The line of a feature within its kind's part of a file."""
    begin = section.find(f"\n   {_json(name)}: ")
    if begin < 0:
        return []
    end = section.find("\n", begin + 1)
    return [section[begin + 1 : end if end >= 0 else None].rstrip(",")]


def files() -> dict[str, Path]:
    """The measured kernels' files by kernel name; those of `$BPFMATRIX_MEASURED` replace the package's."""
    found: dict[str, Path] = {}
    own = os.environ.get(FOLDER_VARIABLE)
    for folder in (FOLDER, *([Path(own)] if own else [])):
        found |= {path.stem: path for path in folder.glob("*.json")}
    return found


def heads() -> tuple[MeasuredKernel, ...]:
    """All measured kernels without their features, oldest first."""
    return _by_age(cached_head(path) for path in files().values())


def measured_kernels() -> tuple[MeasuredKernel, ...]:
    """All measured kernels, oldest first."""
    return _by_age(cached_file(path) for path in files().values())


def measured_kernel(name: str) -> MeasuredKernel | None:
    """The kernel of that entry name; None: never measured."""
    path = files().get(name)
    return cached_file(path) if path else None


@cache
def cached_file(path: Path) -> MeasuredKernel:
    """`read`, once per process."""
    return read(path)


@cache
def cached_head(path: Path) -> MeasuredKernel:
    """`read_head`, once per process."""
    return read_head(path)


@cache
def cached_some(path: Path, kind: FeatureKind, names: tuple[str, ...]) -> MeasuredKernel:
    """`read_some`, once per process."""
    return read_some(path, kind, names)


def _by_age(kernels: Iterable[MeasuredKernel]) -> tuple[MeasuredKernel, ...]:
    return tuple(sorted(kernels, key=lambda kernel: (kernel.version, kernel.kernel)))


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _finding(raw: RawFinding) -> tuple[Finding, tuple[str, ...]]:
    support, method, evidence, types = raw
    return Finding(Support(support), Method(method), evidence), tuple(types)


def _text(path: Path, most: int = -1) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(most)
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise UserError(f"not UTF-8: {error.reason}", where=str(path)) from error


def _kernel(path: Path, text: str) -> MeasuredKernel:
    hint = f"measure it again: bpfmatrix features --kernel {path.stem}"
    try:
        data = json.loads(text)
        kernel = _parsed(data)
    except json.JSONDecodeError as error:
        raise UserError(f"not JSON: {error.msg}", where=Origin(path, error.lineno), hint=hint) from error
    except KeyError as error:
        raise UserError(f"the key {error} is missing", where=Origin(path), hint=hint) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"not a file of measured features: {error}", where=Origin(path), hint=hint) from error
    for kind, named in kernel.raw.items():
        for name, findings in named.items():
            problem = _problem(kind, findings)
            if problem:
                raise UserError(f"{name}: {problem}", where=Origin(path, _line(text, name)), hint=hint)
    return kernel


def _parsed(data: dict[str, Any]) -> MeasuredKernel:
    if data["schema"] != SCHEMA:
        raise ValueError(f"schema version {data['schema']!r}, this program knows {SCHEMA}")
    return MeasuredKernel(
        kernel=data["kernel"],
        version=KernelVersion.parse(data["version"]),
        release=data["release"],
        arch=data["arch"],
        source=data["source"],
        package=data.get("package"),
        package_version=data.get("package_version"),
        sha256=data["sha256"],
        config_sha256=data.get("config_sha256"),
        date=data["date"],
        agent=data["agent"],
        probe=data.get("probe", ""),
        seconds=data["seconds"],
        environment=MappingProxyType(data["environment"]),
        raw=MappingProxyType({kind: dict(named) for kind, named in data["features"].items()}),
    )


_KINDS = frozenset(FeatureKind)
_SUPPORTS = frozenset(Support)
_METHODS = frozenset(Method)


def _problem(kind: str, findings: object) -> str | None:
    """What is wrong with a feature's findings; None: they can be used."""
    if kind not in _KINDS:
        return f"{kind!r} is no kind of feature"
    if not isinstance(findings, list) or not findings:
        return "a list of findings is expected"
    for finding in findings:
        if not isinstance(finding, list) or len(finding) != 4 or not isinstance(finding[3], list):
            return "a finding is [support, method, evidence, [program types]]"
        if finding[0] not in _SUPPORTS or finding[1] not in _METHODS:
            return f"{finding[0]!r} by {finding[1]!r} is no answer"
    return None


def _line(text: str, name: str) -> int:
    return text.count("\n", 0, max(text.find(f'"{name}"'), 0)) + 1
