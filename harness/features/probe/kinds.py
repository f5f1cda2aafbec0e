"""Everything a kernel is asked, kind by kind, in the order it is asked."""

from __future__ import annotations

from collections.abc import Callable

from harness.features.probe.helpers import probe_helpers
from harness.features.probe.kfuncs import probe_kfuncs
from harness.features.probe.subject import Subject
from harness.features.types import FeatureKind, MeasuredFeature

Probe = Callable[[Subject], list[MeasuredFeature]]

PROBES: dict[FeatureKind, Probe] = {
    FeatureKind.HELPER: probe_helpers,
    FeatureKind.KFUNC: probe_kfuncs,
}
