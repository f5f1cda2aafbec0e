"""Features that doing something shows, in two batches: what is made and used, and what is attached."""

from __future__ import annotations

from harness.features.probe.asked import language
from harness.features.probe.batch import Script, answers
from harness.features.probe.btfdeeds import load_blobs
from harness.features.probe.entries import Entries
from harness.features.probe.mapdeeds import make_maps, use_elements
from harness.features.probe.netdeeds import attach_to_network
from harness.features.probe.progdeeds import load_programs, run_programs
from harness.features.probe.subject import Subject
from harness.features.probe.tracedeeds import attach_to_kernel
from harness.features.types import Finding, Method, Support, evidence

_LIMIT_S = 60.0


def deed_findings(subject: Subject, has: Entries | None) -> dict[str, Finding]:
    """What all deeds together say; `has` is the kernel's BTF."""
    made, attached = Script(), Script()
    for part in (make_maps, use_elements, load_blobs, load_programs, run_programs):
        part(made)
    attach_to_network(attached)
    attach_to_kernel(attached, subject)
    found: dict[str, Finding] = {}
    for script in (made, attached):
        found |= script.findings(answers(subject, script.calls, _LIMIT_S))
    return found | {
        name: _beside_btf(found[name], has, enumerator)
        for name, enumerator in language().enumerators.items()
        if has and name in found
    }


def _beside_btf(said: Finding, has: Entries, enumerator: str) -> Finding:
    """A refusal by a mere EINVAL, which says no of many things, with what BTF says of the same."""
    if said.support is not Support.NO or "EINVAL" not in said.evidence:
        return said
    if enumerator in has.enumerators:
        words = f"{said.evidence}, yet its BTF has {enumerator}"
        return Finding(Support.UNKNOWN, Method.NONE, evidence(words))
    return Finding(said.support, said.method, evidence(f"{said.evidence}; its BTF has no {enumerator}"))
