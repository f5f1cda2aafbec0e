"""Everything a kernel is asked, kind by kind, what takes longest first."""

from __future__ import annotations

from collections.abc import Callable

from harness.features.probe.helpers import probe_helpers
from harness.features.probe.jit import probe_jit
from harness.features.probe.kfuncs import probe_kfuncs
from harness.features.probe.language import probe_language
from harness.features.probe.made import (
    probe_attach_types,
    probe_commands,
    probe_link_types,
    probe_map_flags,
    probe_map_types,
    probe_program_flags,
)
from harness.features.probe.program_types import probe_program_types
from harness.features.probe.settings import probe_config
from harness.features.probe.subject import Subject
from harness.features.types import FeatureKind, MeasuredFeature

Probe = Callable[[Subject], list[MeasuredFeature]]

PROBES: dict[FeatureKind, Probe] = {
    FeatureKind.KFUNC: probe_kfuncs,
    FeatureKind.HELPER: probe_helpers,
    FeatureKind.LANGUAGE: probe_language,
    FeatureKind.MAP_TYPE: probe_map_types,
    FeatureKind.MAP_FLAG: probe_map_flags,
    FeatureKind.PROGRAM_TYPE: probe_program_types,
    FeatureKind.PROGRAM_FLAG: probe_program_flags,
    FeatureKind.ATTACH_TYPE: probe_attach_types,
    FeatureKind.LINK_TYPE: probe_link_types,
    FeatureKind.COMMAND: probe_commands,
    FeatureKind.JIT: probe_jit,
    FeatureKind.CONFIG: probe_config,
}
