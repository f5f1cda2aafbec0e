"""Features that doing something shows, in two batches: what is made and used, and what is attached."""

from __future__ import annotations

from harness.features.probe.batch import Script
from harness.features.probe.btfdeeds import load_blobs
from harness.features.probe.mapdeeds import make_maps, use_elements
from harness.features.probe.netdeeds import attach_to_network
from harness.features.probe.progdeeds import load_programs, run_programs
from harness.features.probe.subject import Subject
from harness.features.probe.tracedeeds import attach_to_kernel
from harness.features.types import Finding

_LIMIT_S = 60.0


def deed_findings(subject: Subject) -> dict[str, Finding]:
    """What all deeds together say."""
    made, attached = Script(), Script()
    for part in (make_maps, use_elements, load_blobs, load_programs, run_programs):
        part(made)
    attach_to_network(attached)
    attach_to_kernel(attached, subject)
    found: dict[str, Finding] = {}
    for script in (made, attached):
        found |= script.findings(subject.guest.calls(script.calls, _LIMIT_S).called)
    return found
