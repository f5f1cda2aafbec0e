"""From what a person typed to a feature: UAPI names with case and prefix forgiven, near misses suggested."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.errors import UserError
from harness.features.documented import Records
from harness.features.measured import MeasuredKernel
from harness.features.types import FeatureKind, short_program_type

_LONGEST = 120  # characters of a name that are looked at
_NEAR = 0.72  # how alike a suggestion must be
_SHOWN = 5

# What may stand before a name to say its kind: `map ringbuf`, `prog:xdp`, `map_type/hash`.
_FLAGS = (FeatureKind.MAP_FLAG, FeatureKind.PROGRAM_FLAG, FeatureKind.LANGUAGE)
KIND_WORDS: dict[str, tuple[FeatureKind, ...]] = {
    **{kind.value: (kind,) for kind in FeatureKind},
    "func": (FeatureKind.HELPER,),
    "map": (FeatureKind.MAP_TYPE,),
    "prog": (FeatureKind.PROGRAM_TYPE,),
    "prog_type": (FeatureKind.PROGRAM_TYPE,),
    "program": (FeatureKind.PROGRAM_TYPE,),
    "attach": (FeatureKind.ATTACH_TYPE,),
    "link": (FeatureKind.LINK_TYPE,),
    "cmd": (FeatureKind.COMMAND,),
    "syscall": (FeatureKind.COMMAND,),
    "flag": _FLAGS,
    "feature": (FeatureKind.LANGUAGE,),
}
# Prefixes that belong to one kind, longest first; `bpf_` alone may be left out of any name.
_PREFIXES: dict[str, tuple[FeatureKind, ...]] = {
    "bpf_map_type_": (FeatureKind.MAP_TYPE,),
    "bpf_prog_type_": (FeatureKind.PROGRAM_TYPE,),
    "bpf_link_type_": (FeatureKind.LINK_TYPE,),
    "bpf_func_": (FeatureKind.HELPER,),
    "map_type_": (FeatureKind.MAP_TYPE,),
    "prog_type_": (FeatureKind.PROGRAM_TYPE,),
    "link_type_": (FeatureKind.LINK_TYPE,),
    "bpf_f_": _FLAGS,
}
_STEMS = ("bpf_map_type_", "bpf_prog_type_", "bpf_link_type_", "bpf_f_", "config_", "bpf_")
# What sections and tools call program types.
_PROGRAM_TYPE_WORDS = {
    "kretprobe": "kprobe",
    "uprobe": "kprobe",
    "uretprobe": "kprobe",
    "tp": "tracepoint",
    "raw_tp": "raw_tracepoint",
    "fentry": "tracing",
    "fexit": "tracing",
    "tp_btf": "tracing",
    "iter": "tracing",
    "socket": "socket_filter",
    "tc": "sched_cls",
    "classifier": "sched_cls",
    "freplace": "ext",
    "sockops": "sock_ops",
    "flow_dissect": "flow_dissector",
}


@dataclass(frozen=True, slots=True, order=True)
class Feature:
    """What is asked for: a kind and the name within it."""

    kind: FeatureKind
    name: str

    def __str__(self) -> str:
        return f"{self.name} ({self.kind.value.replace('_', ' ')})"


class Names:
    """The features there are: everything documented and everything that was asked of some kernel."""

    def __init__(self, records: Records, kernels: Iterable[MeasuredKernel] = ()) -> None:
        found = {Feature(kind, name): Feature(kind, name) for kind, name in records}
        for kernel in kernels:
            for kind in FeatureKind:
                for name in kernel.names(kind):
                    found.setdefault(Feature(kind, name), Feature(kind, name))
        self._features = sorted(found)
        self._full: dict[str, list[Feature]] = {}
        self._stems: dict[str, list[Feature]] = {}
        aliases = {(kind, name): record.aliases for (kind, name), record in records.items()}
        for feature in self._features:
            for name in (feature.name, *aliases.get((feature.kind, feature.name), ())):
                self._full.setdefault(name.lower(), []).append(feature)
                for stem in _stems(feature.kind, name.lower()):
                    self._stems.setdefault(stem, []).append(feature)

    def of_kind(self, kind: FeatureKind) -> Iterator[Feature]:
        """The features of a kind in alphabetical order."""
        return (feature for feature in self._features if feature.kind is kind)

    def whole(self, text: str) -> Feature | None:
        """The one feature whose whole name this is, which no name of a part of another can change."""
        kinds, word = _parts(text)
        named = [f for f in _allowed(self._full.get(word.lower(), []), kinds) if f.name == word]
        named = [f for f in named if f.kind is not FeatureKind.LANGUAGE] or named
        return named[0] if len(named) == 1 else None

    def find(self, text: str, kind: FeatureKind | None = None) -> Feature:
        """The feature a person means.

        Raises UserError for a name that may mean several (with their kinds) and for an unknown one (with
        what is near it).
        """
        kinds, word = _parts(text)
        if kind is not None:
            kinds = (kind,)
        found = self._matches(word, kinds)
        if len(found) == 1:
            return found[0]
        if found:
            raise _ambiguous(text, found)
        raise self._unknown(text, word, kinds)

    def _matches(self, word: str, kinds: tuple[FeatureKind, ...]) -> list[Feature]:
        """Whole names decide over parts of names, names as written over names in another case."""
        full = _allowed(self._full.get(word.lower(), []), kinds)
        named = [feature for feature in full if feature.kind is not FeatureKind.LANGUAGE] or (
            full if kinds else []
        )
        if named:
            return [feature for feature in named if feature.name == word] or named
        prefixed, stem = _stem(word.lower())
        found = _allowed(self._stems.get(stem, []), kinds or prefixed)
        found = list(dict.fromkeys([*full, *found]))
        others = {feature.name for feature in found if feature.kind is not FeatureKind.LANGUAGE}
        return [f for f in found if f.kind is not FeatureKind.LANGUAGE or f.name not in others]

    def _unknown(self, text: str, word: str, kinds: tuple[FeatureKind, ...]) -> UserError:
        shown = text[:_LONGEST]
        pool = self._full | self._stems
        near = difflib.get_close_matches(word.lower()[:_LONGEST], pool, n=2 * _SHOWN, cutoff=_NEAR)
        features = dict.fromkeys(f for name in near for f in _allowed(pool[name], kinds))
        lead = ", ".join(map(str, list(features)[:_SHOWN]))
        asked = f" {kinds[0].value.replace('_', ' ')}" if len(kinds) == 1 else " feature"
        return UserError(
            f"unknown{asked} {shown!r}" + (f"; did you mean {lead}?" if lead else ""),
            hint=f"bpfmatrix check --list {kinds[0] if kinds else 'helper'} lists the names of a kind; "
            f"kinds: {', '.join(FeatureKind)}",
        )


def program_type(text: str, records: Records) -> str:
    """The short name of a program type: `XDP`, `BPF_PROG_TYPE_XDP`, a section's word (`tc`, `fentry`).

    Raises UserError for an unknown one, with what is near it and all there are.
    """
    short = short_program_type(text.strip().replace("-", "_"))
    short = _PROGRAM_TYPE_WORDS.get(short, short)
    known = sorted(short_program_type(name) for kind, name in records if kind is FeatureKind.PROGRAM_TYPE)
    if short in known:
        return short
    near = difflib.get_close_matches(short, known, n=1)
    lead = f"did you mean {near[0]!r}? " if near else ""
    raise UserError(f"unknown program type {text[:_LONGEST]!r}; {lead}known: {', '.join(known)}")


def _parts(text: str) -> tuple[tuple[FeatureKind, ...], str]:
    """Split what says the kind from the name."""
    words = [word.replace("-", "_") for word in re.split(r"[\s:/]+", text.strip()[: 2 * _LONGEST]) if word]
    for count in (2, 1):
        kinds = KIND_WORDS.get("_".join(words[:count]).lower())
        if kinds and len(words) > count:
            return kinds, "_".join(words[count:])
    return (), "_".join(words)


def _stem(word: str) -> tuple[tuple[FeatureKind, ...], str]:
    for prefix, kinds in _PREFIXES.items():
        if word.startswith(prefix):
            return kinds, word.removeprefix(prefix)
    return (), word.removeprefix("bpf_")


def _stems(kind: FeatureKind, name: str) -> set[str]:
    found = {name}
    for prefix in _STEMS:
        if name.startswith(prefix):
            found.add(name.removeprefix(prefix))
            break
    if kind is FeatureKind.ATTACH_TYPE:
        found.add(name.removeprefix("bpf_trace_"))
    return found


def _allowed(features: Iterable[Feature], kinds: tuple[FeatureKind, ...]) -> list[Feature]:
    return [feature for feature in features if not kinds or feature.kind in kinds]


def _ambiguous(text: str, found: list[Feature]) -> UserError:
    listed = ", ".join(map(str, found))
    example = found[0]
    return UserError(
        f"{text[:_LONGEST]!r} may mean {listed}",
        hint=f"name the kind: bpfmatrix check {example.kind}:{example.name}",
    )
