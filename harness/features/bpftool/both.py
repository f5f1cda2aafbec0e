"""Both in one guest: the probe, then the machine's bpftool, with what each took."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.features.bpftool.answers import Answers, parse
from harness.features.bpftool.compare import Difference, differences
from harness.features.bpftool.run import Probed, feature_probe, find_bpftool, helpers_known_to
from harness.features.measured import MeasuredKernel
from harness.features.probe.crew import respondent_of
from harness.features.probe.measure import Unwatched, measure
from harness.features.types import FeatureKind
from harness.guest.options import GuestOptions
from harness.model import Kernel


@dataclass(frozen=True, slots=True)
class Both:
    """One kernel asked by both."""

    measured: MeasuredKernel
    probed: Probed
    answers: Answers
    differences: tuple[Difference, ...]


def ask_both(kernel: Kernel, options: GuestOptions, warm: Path | None) -> Both:
    """Ask a kernel with the probe and with bpftool, one after the other in the same guest.

    UserError when there is no bpftool, InfrastructureError when the guest or bpftool does not work.
    """
    bpftool = find_bpftool()
    with respondent_of(kernel, options, warm) as respondent:
        measured = measure(kernel, [respondent], Unwatched()).measured
        probed = feature_probe(respondent, bpftool)
    known = helpers_known_to(bpftool, measured.names(FeatureKind.HELPER))
    answers = parse(probed.text, known)
    return Both(measured, probed, answers, differences(answers, measured.features()))
