"""Kernels that answer as the documents predict, except where a test wants otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from features_support import kernel

from harness.features.ask import predict
from harness.features.documented import Documented, documented
from harness.features.measured import MeasuredKernel
from harness.features.types import FeatureKind, Finding, MeasuredFeature, Method, Support
from harness.report.features import Tables, build

VERSIONS = (
    "5.10.262",
    "6.1.192",
    "6.12.117",
    "6.16.12",
    "6.17.13",
    "6.18.9",
    "6.19.8",
    "7.0.4",
    "7.1.3",
    "7.2.2",
    "7.3.4",
)
UNASKED = ("constant", "xdp_driver", "sock_ops_op", "sock_ops_opt", "tooling", "attach_flag")
_RECORDS = documented()
_TYPES = sorted(
    name.removeprefix("BPF_PROG_TYPE_").lower() for kind, name in _RECORDS if kind is FeatureKind.PROGRAM_TYPE
)


def obedient(version: str, records: Sequence[Documented] = tuple(_RECORDS.values())) -> MeasuredKernel:
    """A kernel that has what the documents say its series has."""
    major, minor, _ = map(int, version.split("."))
    features = [_answer(record, (major, minor)) for record in records if record.subkind not in UNASKED]
    return kernel(f"{major}.{minor}", version, features)


def _answer(record: Documented, series: tuple[int, int]) -> MeasuredFeature:
    if record.kind not in (FeatureKind.HELPER, FeatureKind.KFUNC):
        found = predict(record, series, _RECORDS)
        return MeasuredFeature(record.kind, record.name, ((_finding(record, found.support), ()),))
    answers: dict[Support, list[str]] = {}
    for name in _TYPES:
        itself = _RECORDS[FeatureKind.PROGRAM_TYPE, f"BPF_PROG_TYPE_{name.upper()}"]
        if predict(itself, series, _RECORDS).support is Support.YES:
            support = predict(record, series, _RECORDS, name).support
            answers.setdefault(support, []).append(name)
    findings = tuple((_finding(record, support), tuple(types)) for support, types in answers.items())
    return MeasuredFeature(record.kind, record.name, findings)


def _finding(record: Documented, support: Support) -> Finding:
    words = {
        Support.YES: f"R1 type=ctx expected=map_ptr in {record.name}",
        Support.NO: f"program of this type cannot use {record.name}#{record.id or 0}",
        Support.UNKNOWN: "EINVAL without a word no rule knows",
    }[support]
    method = Method.NONE if support is Support.UNKNOWN else Method.VERIFIER
    return Finding(support, method, words)


def tables(*versions: str) -> Tables:
    """Tables of obedient kernels."""
    return build(_RECORDS, [obedient(version) for version in versions or VERSIONS])
