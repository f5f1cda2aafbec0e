"""Features that the names in a kernel's BTF show: constants, types, members, parameters. No call is made."""

from __future__ import annotations

from collections.abc import Iterable

from harness.features.documented import documented
from harness.features.probe.asked import EntryQuestion, EnumGroup, language
from harness.features.probe.entries import Entries, Entry
from harness.features.probe.kernelconfig import KernelConfig
from harness.features.probe.subject import Subject
from harness.features.types import FeatureKind, Finding, Method, Support, evidence

_NO_BTF = Finding(Support.UNKNOWN, Method.NONE, "the kernel has no BTF")


def named_findings(subject: Subject, has: Entries | None, config: KernelConfig | None) -> dict[str, Finding]:
    """What the BTF says of every feature of the sections enums, entries and suffixes."""
    asked = language()
    constants = {name: group for group in asked.enums for name in group.names}
    if has is None:
        return dict.fromkeys([*constants, *asked.entries, *asked.suffixes], _NO_BTF)
    found = {name: constant(has, name, group) for name, group in constants.items()}
    found |= {name: entry(has, question, config) for name, question in asked.entries.items()}
    functions = _kfuncs(subject)
    found |= {name: _suffix(has, functions, suffix) for name, suffix in asked.suffixes.items()}
    return found


def constant(has: Entries, name: str, group: EnumGroup) -> Finding:
    """What a BTF says of a constant."""
    if name in has.enumerators:
        return _found(Support.YES, f"{name} in {has.enum_of(name)}")
    if group.beside in has.enumerators:
        return _found(Support.NO, f"{has.enum_of(group.beside)} lacks {name}")
    if group.owner and not has.has(group.owner):
        return _found(Support.NO, f"no {group.owner}, which {name} is for")
    return _unknown(
        f"its BTF has no enumerator {name}, nor others of its enum; one that nothing uses is left out"
    )


def entry(has: Entries, question: EntryQuestion, config: KernelConfig | None) -> Finding:
    """What a BTF says of a feature that an entry shows."""
    there = next((one for one in (question.entry, question.alternative) if one and has.has(one)), None)
    if there is not None:
        words = _present(has, there)
        return _found(Support.YES, words) if question.proves else _unknown(f"{words}, which is not all of it")
    missing = f"no {question.entry}"
    if question.module and (config is None or config.value(question.module) == "m"):
        return _unknown(f"{missing}; CONFIG_{question.module}=m, a module's BTF may have it")
    if question.beside is None or not has.has(question.beside):
        return _unknown(f"{missing}, and nothing that shows its BTF would have it")
    return _found(Support.NO, f"{missing} beside {question.beside}")


def _present(has: Entries, entry: Entry) -> str:
    return f"{entry.name} in {has.enum_of(entry.name)}" if entry.kind == "enumerator" else str(entry)


def _suffix(has: Entries, functions: Iterable[str], suffix: str) -> Finding:
    """A parameter of a kernel function with that suffix; the verifier of that kernel reads it."""
    for function in functions:
        for parameter in has.parameters(function):
            if parameter.endswith(suffix):
                return _found(Support.YES, f"parameter {parameter} of kernel function {function}")
    return _unknown(f"no kernel function of its BTF has a parameter …{suffix}, which proves nothing")


def _kfuncs(subject: Subject) -> list[str]:
    """The functions of the kernel's BTF that programs may call, as far as one can tell."""
    known = {name for kind, name in documented() if kind is FeatureKind.KFUNC}
    return sorted(subject.tagged_kfuncs | (known & set(subject.functions)))


def _found(support: Support, words: str) -> Finding:
    return Finding(support, Method.BTF, evidence(words))


def _unknown(words: str) -> Finding:
    return Finding(Support.UNKNOWN, Method.NONE, evidence(words))
