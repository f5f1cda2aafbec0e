"""Measured kernels for tests that need no guest."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType

from harness.features.measured import MeasuredKernel, raw_features
from harness.features.types import FeatureKind, Finding, MeasuredFeature, Method, Support
from harness.model import KernelVersion


def finding(support: str, text: str = "what it said", method: Method = Method.CREATED) -> Finding:
    return Finding(Support(support), method, text)


def feature(kind: FeatureKind, name: str, support: str, *types: str) -> MeasuredFeature:
    return MeasuredFeature(kind, name, ((finding(support), types),))


def kernel(name: str, version: str, features: Iterable[MeasuredFeature]) -> MeasuredKernel:
    return MeasuredKernel(
        kernel=name,
        version=KernelVersion.parse(version),
        release=f"{version}-test",
        arch="x86_64",
        source="a test",
        package=None,
        package_version=None,
        sha256="0" * 64,
        config_sha256=None,
        date="2026-11-25T20:00:00Z",
        agent="a test",
        seconds=1.5,
        environment=MappingProxyType({"jit": "1"}),
        raw=raw_features(features),
    )
