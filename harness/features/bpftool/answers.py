"""What bpftool's JSON says, in the words of features. Pure.

Layout: tools/bpf/bpftool/feature.c. It says yes or no and nothing else; names are made of the enumerations of
the headers it was built with, so newer features are not asked about.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import InfrastructureError
from harness.features.types import FeatureKind

_MISC = {
    "have_large_insn_limit": "insn_limit_1m",
    "have_bounded_loops": "bounded_loops",
    "have_v2_isa_extension": "isa_v2",
    "have_v3_isa_extension": "isa_v3",
    "have_v4_isa_extension": "isa_v4",
}
_SETTINGS = {
    "unprivileged_bpf_disabled": "unprivileged_bpf_disabled",
    "bpf_jit_enable": "bpf_jit_enable",
    "bpf_jit_harden": "bpf_jit_harden",
}


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """One thing both are asked: a feature, for helpers with a program type (short name)."""

    kind: FeatureKind
    name: str
    program_type: str = ""


@dataclass(frozen=True, slots=True)
class Answers:
    """bpftool's answers; `not_asked`: program types it lists no helper of, though it says they exist."""

    said: Mapping[Point, bool]
    not_asked: tuple[str, ...] = ()


def parse(text: str, known: Collection[str] = ()) -> Answers:
    """Read bpftool's JSON. `known`: helpers it asks about, of which it lists only those it finds.

    Raise InfrastructureError for what is not its JSON.
    """
    try:
        data: dict[str, Any] = json.loads(text)
        types = _named(data["program_types"], "have_", "_prog_type")
        said = {
            Point(FeatureKind.PROGRAM_TYPE, f"BPF_PROG_TYPE_{name.upper()}"): there
            for name, there in types.items()
        }
        for name, there in _named(data["map_types"], "have_", "_map_type").items():
            said[Point(FeatureKind.MAP_TYPE, f"BPF_MAP_TYPE_{name.upper()}")] = there
        for key, name in _MISC.items():
            if key in data["misc"]:
                said[Point(FeatureKind.LANGUAGE, name)] = data["misc"][key]
        said |= _settings(data["system_config"])
        helpers, silent = _helpers(data["helpers"], types, known)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InfrastructureError(f"bpftool's answer cannot be read: {error!r}") from error
    return Answers(said | helpers, silent)


def _helpers(
    lists: Mapping[str, Any], types: Mapping[str, bool], known: Collection[str]
) -> tuple[dict[Point, bool], tuple[str, ...]]:
    """Yes for what is listed, no for everything else it asks about; types without any list are not asked."""
    found = {name.removesuffix("_available_helpers"): set(_plain(rows)) for name, rows in lists.items()}
    asked = sorted(set(known).union(*found.values()))
    silent = tuple(sorted(name for name, rows in found.items() if not rows and types.get(name)))
    said = {
        Point(FeatureKind.HELPER, helper, name): helper in rows
        for name, rows in found.items()
        if name not in silent
        for helper in asked
    }
    return said, silent


def _plain(rows: Any) -> list[str]:
    if not isinstance(rows, list) or not all(isinstance(row, str) for row in rows):
        raise ValueError(f"a list of helpers is expected, not {rows!r:.80}")
    return rows


def _settings(config: Mapping[str, Any]) -> dict[Point, bool]:
    """Settings that are on or off, and symbols of the configuration it found one of."""
    said = {
        Point(FeatureKind.CONFIG, name): config[key] > 0
        for key, name in _SETTINGS.items()
        if isinstance(config.get(key), int)
    }
    symbols = {key: value for key, value in config.items() if key.startswith("CONFIG_")}
    if any(symbols.values()):  # else it found no configuration to read
        said |= {Point(FeatureKind.CONFIG, key): value in ("y", "m") for key, value in symbols.items()}
    return said


def _named(found: Mapping[str, Any], before: str, behind: str) -> dict[str, bool]:
    named = {key.removeprefix(before).removesuffix(behind): value for key, value in found.items()}
    if not all(isinstance(value, bool) for value in named.values()):
        raise ValueError("true or false is expected of every type")
    return named
