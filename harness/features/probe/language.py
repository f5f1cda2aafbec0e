"""Features of the language and of the kernel around it: every documented record, each as its data say.

Where a feature stands in several places of the data, one of them that decides is enough; two that contradict
each other make the answer unknown.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.features.documented import documented
from harness.features.probe.asked import language
from harness.features.probe.called import called_findings
from harness.features.probe.entries import Entries
from harness.features.probe.kernelconfig import KernelConfig, kernel_config
from harness.features.probe.named import named_findings
from harness.features.probe.settings import config_finding, file_findings
from harness.features.probe.subject import Subject
from harness.features.types import FeatureKind, Finding, MeasuredFeature, Method, Support, evidence

_ARCHITECTURE = "x86_64"  # of the guests


def probe_language(subject: Subject) -> list[MeasuredFeature]:
    """What the kernel answers about every documented feature of kind LANGUAGE."""
    config = kernel_config(subject)
    has = Entries(subject.types) if subject.types else None
    ways = [
        called_findings(subject, has),
        named_findings(subject, has, config),
        _configured(config),
        file_findings(subject, language().files),
        _not_asked(),
    ]
    names = sorted(name for kind, name in documented() if kind is FeatureKind.LANGUAGE)
    found = {name: together(way[name] for way in ways if name in way) for name in names}
    without_needed(found)
    return [MeasuredFeature(FeatureKind.LANGUAGE, name, ((found[name], ()),)) for name in names]


def together(findings: Iterable[Finding]) -> Finding:
    """What several ways of asking say of one feature: yes or no where they agree, else unknown."""
    said = list(findings)
    decided = [one for one in said if one.support is not Support.UNKNOWN]
    if len({one.support for one in decided}) > 1:
        words = ", yet ".join(f"{one.support} by {one.method}: {one.evidence}" for one in decided)
        return Finding(Support.UNKNOWN, Method.NONE, evidence(words))
    nobody = Finding(Support.UNKNOWN, Method.NONE, "nothing asks for it")
    return next(iter([*decided, *said]), nobody)


def _configured(config: KernelConfig | None) -> dict[str, Finding]:
    return {name: config_finding(config, question) for name, question in language().config.items()}


def _not_asked() -> dict[str, Finding]:
    asked = language()
    found = {
        name: Finding(Support.UNKNOWN, Method.NONE, f"of {arch}, the guest is {_ARCHITECTURE}")
        for name, arch in asked.architectures.items()
    }
    return found | {name: Finding(Support.UNKNOWN, Method.NONE, why) for name, why in asked.nobody.items()}


def without_needed(found: dict[str, Finding]) -> None:
    """Where something that a feature needs is not there, nor is the feature, if nothing else decided it."""
    for name, needed in language().needs.items():
        missing = next((found[one] for one in needed if found[one].support is Support.NO), None)
        if missing is not None and found[name].support is Support.UNKNOWN:
            found[name] = missing
