"""Has the running kernel that feature? Asked of the kernel itself; yes, no or unknown with the evidence."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import UserError
from harness.features.api import answers
from harness.features.documented import documented
from harness.features.host.btf import FOLDER, HostTypes, host_types, module_functions
from harness.features.host.calls import HostKernel, may_ask
from harness.features.host.questions import (
    helper_call,
    helper_finding,
    made_finding,
    map_call,
    questions,
    type_call,
)
from harness.features.names import Feature
from harness.features.types import FeatureKind, Finding, Method, Support, overall, short_program_type
from harness.guest.calls import Call, Called

_LIMIT_S = 20.0
# Kinds whose names are enumerators of the UAPI, so that a kernel's BTF without the name has no such thing.
_ENUMERATED = frozenset(
    {
        FeatureKind.HELPER,
        FeatureKind.MAP_TYPE,
        FeatureKind.PROGRAM_TYPE,
        FeatureKind.ATTACH_TYPE,
        FeatureKind.LINK_TYPE,
        FeatureKind.COMMAND,
    }
)
_BY_NAME_IS_YES = frozenset({FeatureKind.COMMAND})  # always built with bpf() itself


@dataclass(slots=True)
class Host:
    """The running kernel. Its BTF is read when it is needed, once."""

    kernel: HostKernel = field(default_factory=HostKernel)
    btf: Path = FOLDER
    _types: list[HostTypes | None] = field(default_factory=list)

    @property
    def types(self) -> HostTypes | None:
        """What its BTF names; None where it shows none."""
        if not self._types:
            self._types.append(host_types(self.btf))
        return self._types[0]

    def ask(self, feature: Feature, program_type: str | None = None) -> Finding:
        """Ask about one feature. UserError where this process may not ask."""
        if not may_ask():
            raise UserError(
                "asking the running kernel needs CAP_BPF (CAP_SYS_ADMIN before 5.8), which is lacking here",
                hint="run it as root, or with: setpriv --inh-caps +bpf --ambient-caps +bpf",
            )
        if feature.kind is FeatureKind.HELPER:
            found = self._helper(feature.name, program_type)
        elif feature.kind is FeatureKind.KFUNC:
            found = self._kfunc(feature.name, program_type)
        else:
            found = self._made(feature)
        if found.support is not Support.UNKNOWN or found.method is Method.BTF:
            return found
        return self._by_name(feature) or found

    def _helper(self, name: str, program_type: str | None) -> Finding:
        number = _number(FeatureKind.HELPER, name)
        asked = [program_type] if program_type else list(questions().program_types)
        if number is None or not set(asked) <= set(questions().program_types):
            return _unknown(
                f"{program_type or 'these'} programs need something to attach to, so none was loaded"
            )
        calls = [helper_call(number, each, _type_number(each)) for each in asked]
        results = [helper_finding(called) for called in self._calls(calls)]
        absent = next((finding for finding, none in results if none), None)
        if absent is not None:
            return absent
        findings = [finding for finding, _ in results]
        support = overall(finding.support for finding in findings)
        if support is Support.NO and program_type is None:
            return _unknown("no program type that loads by itself may call it; others were not asked")
        at = next((at for at, each in enumerate(findings) if each.support is support), 0)
        if not findings:
            return _unknown("the kernel gave no answer")
        return Finding(support, findings[at].method, f"{asked[at]} program: {findings[at].evidence}")

    def _made(self, feature: Feature) -> Finding:
        number = _number(feature.kind, feature.name)
        if (
            feature.kind is FeatureKind.MAP_TYPE
            and feature.name in questions().map_types
            and number is not None
        ):
            return self._one(map_call(feature.name, number))
        if feature.kind is FeatureKind.PROGRAM_TYPE and number is not None:
            short = short_program_type(feature.name)
            if short in questions().program_types:
                return self._one(type_call(short, number))
        return _unknown("finding out would change the running system, or needs more than a call")

    def _one(self, call: Call) -> Finding:
        results = self._calls([call])
        return made_finding(results[0]) if results else _unknown("the kernel gave no answer")

    def _kfunc(self, name: str, program_type: str | None) -> Finding:
        types = self.types
        if types is None:
            return _unknown(f"the kernel shows no BTF in {self.btf}")
        if program_type is not None:
            return _unknown("which program types may call a kfunc is not in the BTF")
        if name in types.kfuncs:
            return Finding(Support.YES, Method.BTF, f"function {name} is tagged bpf_kfunc")
        if name in types.functions:
            words = "without the tag of kfuncs" if types.tagged else "and this BTF does not mark kfuncs"
            return _unknown(f"function {name} is there, {words}")
        if module_functions(self.btf):
            return _unknown(f"function {name} is not in vmlinux; a module may bring it")
        return Finding(Support.NO, Method.BTF, f"no function {name}, and no module shows types")

    def _by_name(self, feature: Feature) -> Finding | None:
        """What the names in the BTF prove: absence; presence only of what is always built."""
        if self.types is None or feature.kind not in _ENUMERATED:
            return None
        record = documented().get((feature.kind, feature.name))
        names = {feature.name, *(record.aliases if record else ())}
        if feature.kind is FeatureKind.HELPER:
            names = {"BPF_FUNC_" + name.removeprefix("bpf_") for name in names}
        if not names & self.types.enumerators:
            return Finding(Support.NO, Method.BTF, f"no enumerator {sorted(names)[0]}")
        if feature.kind in _BY_NAME_IS_YES:
            return Finding(Support.YES, Method.BTF, f"enumerator {sorted(names & self.types.enumerators)[0]}")
        return None

    def _calls(self, calls: Sequence[Call]) -> tuple[Called, ...]:
        return self.kernel.calls(calls, _LIMIT_S).called


def line(feature: Feature, program_type: str | None, found: Finding) -> str:
    """One line for a loader's log: the feature, the answer, why."""
    called = f" in {program_type} programs" if program_type else ""
    words = f"{found.method}: {found.evidence}" if found.method is not Method.NONE else found.evidence
    if found.support is Support.UNKNOWN:
        words += f"; {prediction(feature, program_type)}"
    return f"{feature}{called}: {found.support} on {platform.release()}: {words}"


def prediction(feature: Feature, program_type: str | None) -> str:
    """What the facts about kernels of this release say, where asking it did not decide."""
    try:
        (answer,) = answers(
            f"{feature.kind}:{feature.name}", kernel=platform.release(), program_type=program_type
        )
    except UserError:
        return "nothing is known of such kernels"
    return f"for such kernels: {answer.support}, {answer.reason}"


def _number(kind: FeatureKind, name: str) -> int | None:
    record = documented().get((kind, name))
    return record.id if record else None


def _type_number(short: str) -> int:
    number = _number(FeatureKind.PROGRAM_TYPE, f"BPF_PROG_TYPE_{short.upper()}")
    if number is None:
        raise UserError(f"questions.json asks about {short}, which is no documented program type")
    return number


def _unknown(words: str) -> Finding:
    return Finding(Support.UNKNOWN, Method.NONE, words)
