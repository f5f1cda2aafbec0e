"""The JIT: a program is loaded, and the kernel asked for the length of its machine code."""

from __future__ import annotations

import struct

from harness.features.documented import documented
from harness.features.probe.attempts import program_types
from harness.features.probe.batch import answers
from harness.features.probe.instructions import assemble
from harness.features.probe.loads import Load, info_call, load_call
from harness.features.probe.subject import Subject
from harness.features.types import FeatureKind, Finding, MeasuredFeature, Method, Support, evidence

_ARCHITECTURE = "x86_64"  # of the guests
_JITED_LENGTH_AT = 16  # in struct bpf_prog_info: type, id, tag[8], jited_prog_len
_LIMIT_S = 30.0


def probe_jit(subject: Subject) -> list[MeasuredFeature]:
    """Whether programs are compiled on the guest's processor; of other processors nothing is known."""
    names = sorted(name for kind, name in documented() if kind is FeatureKind.JIT)
    other = "another processor than the guest's"
    found = {name: Finding(Support.UNKNOWN, Method.NONE, other) for name in names}
    found[_ARCHITECTURE] = _compiled(subject)
    return [MeasuredFeature(FeatureKind.JIT, name, ((found[name], ()),)) for name in names]


def _compiled(subject: Subject) -> Finding:
    load = Load(program_types()["socket_filter"], assemble("r0 = 0\nexit").code, keep=True)
    called = answers(subject, [load_call(load), info_call(0)], _LIMIT_S)
    errors = [one.errno for one in called if one.errno]
    if errors or len(called) < 2:
        words = f"no program whose length could be asked: {', '.join(errors) or 'no answer'}"
        return Finding(Support.UNKNOWN, Method.NONE, evidence(words))
    (length,) = struct.unpack_from("<I", called[1].out, _JITED_LENGTH_AT)
    support = Support.YES if length else Support.NO
    return Finding(support, Method.CREATED, f"jited_prog_len of a program: {length} bytes")
