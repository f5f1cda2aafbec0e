"""Features that loading a program shows: one of its own, or one that calls a helper or a kernel function."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness.features.probe.asked import language
from harness.features.probe.deeds import deed_findings
from harness.features.probe.entries import Entries
from harness.features.probe.helpers import helper_numbers
from harness.features.probe.instructions import PSEUDO_KFUNC_CALL, call_and_exit
from harness.features.probe.programs import program_findings
from harness.features.probe.runs import run_findings
from harness.features.probe.subject import Subject
from harness.features.probe.words import read
from harness.features.types import FeatureKind, Finding, Method, Support, evidence

# Of these one may call each of the functions that are asked for, on every kernel that has it.
_CALLERS = ("sched_cls", "tracing", "kprobe", "xdp", "syscall", "struct_ops")


def called_findings(subject: Subject, has: Entries | None) -> dict[str, Finding]:
    """What programs and other calls say of features."""
    return {
        **_kfunc_findings(subject),
        **_helper_findings(subject),
        **program_findings(subject),
        **deed_findings(subject, has),
        **run_findings(subject),
    }


def _helper_findings(subject: Subject) -> dict[str, Finding]:
    numbers = helper_numbers()
    codes = [(name, call_and_exit(numbers[helper])) for name, helper in language().helpers.items()]
    return _asked(subject, FeatureKind.HELPER, codes)


def _kfunc_findings(subject: Subject) -> dict[str, Finding]:
    found: dict[str, Finding] = {}
    codes: list[tuple[str, bytes]] = []
    for name, functions in language().kfuncs.items():
        there = next((one for one in functions if one in subject.functions), None)
        if there is not None:
            codes.append((name, call_and_exit(subject.functions[there], PSEUDO_KFUNC_CALL)))
        elif subject.types is None:
            found[name] = Finding(Support.UNKNOWN, Method.NONE, "the kernel has no BTF")
        else:
            words = f"no function {' or '.join(functions)} in the kernel's BTF"
            found[name] = Finding(Support.NO, Method.BTF, evidence(words))
    return found | _asked(subject, FeatureKind.KFUNC, codes)


def _asked(subject: Subject, kind: FeatureKind, codes: Sequence[tuple[str, bytes]]) -> dict[str, Finding]:
    """Ask all callers; yes where one may call it, no where none of them may."""
    loads = [placed.load for name in _CALLERS for placed in subject.usable.get(name, ())]
    answers = subject.ask([replace(load, code=code) for _, code in codes for load in loads])
    return {
        name: _overall(read(kind, called).finding for called in answers[at * len(loads) :][: len(loads)])
        for at, (name, _) in enumerate(codes)
    }


def _overall(findings: Iterable[Finding]) -> Finding:
    """One yes is yes, nothing but no is no, anything else unknown."""
    said = list(findings)
    for wanted in (Support.YES, Support.UNKNOWN, Support.NO):
        found = next((one for one in said if one.support is wanted), None)
        if found is not None:
            return found
    return Finding(Support.UNKNOWN, Method.NONE, "no program that could call it can be loaded")
