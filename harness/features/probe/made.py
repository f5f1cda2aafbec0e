"""Map types, attach types, link types, commands and flags: each is made, in one batch per kind."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.features.probe.answers import Controls, Kernel, read, unknown
from harness.features.probe.compose import Step
from harness.features.probe.enums import Enumeration
from harness.features.probe.memory import Asker, Unplaced
from harness.features.probe.questions import Question, catalog
from harness.features.probe.script import Asked, Script
from harness.features.probe.subject import Subject
from harness.features.types import FeatureKind, Finding, MeasuredFeature, Method, Support, evidence

# Kinds that are asked in one batch. Links are made by attaching, which takes its time: once is enough.
_BATCHES = (
    (FeatureKind.MAP_TYPE, FeatureKind.MAP_FLAG, FeatureKind.PROGRAM_FLAG),
    (FeatureKind.COMMAND,),
    (FeatureKind.ATTACH_TYPE, FeatureKind.LINK_TYPE),
)
_NO_NUMBER = 0x7FFF  # far beyond every enumeration
# struct bpf_link_info begins with the link's type.
_LINK_INFO: Mapping[str, Any] = {
    "bpf": "BPF_OBJ_GET_INFO_BY_FD",
    "with": {"bpf_fd": "@link", "info_len": 16, "info": {"bytes": 16}},
    "out": "info",
}


def probe_map_types(subject: Subject) -> list[MeasuredFeature]:
    """Every map type, created with the arguments it needs."""
    return _probe(subject, FeatureKind.MAP_TYPE)


def probe_map_flags(subject: Subject) -> list[MeasuredFeature]:
    """Every flag of maps and their elements, taken or refused like a flag no kernel has."""
    return _probe(subject, FeatureKind.MAP_FLAG)


def probe_program_flags(subject: Subject) -> list[MeasuredFeature]:
    """Every flag of BPF_PROG_LOAD, taken or refused like a flag no kernel has."""
    return _probe(subject, FeatureKind.PROGRAM_FLAG)


def probe_commands(subject: Subject) -> list[MeasuredFeature]:
    """Every command of bpf(), issued with valid arguments."""
    return _probe(subject, FeatureKind.COMMAND)


def probe_attach_types(subject: Subject) -> list[MeasuredFeature]:
    """Every attach type: a program is attached and let go again."""
    return _probe(subject, FeatureKind.ATTACH_TYPE)


def probe_link_types(subject: Subject) -> list[MeasuredFeature]:
    """Every link type: a link is made, and the kernel's information about it says of which type it is."""
    return _probe(subject, FeatureKind.LINK_TYPE)


@dataclass(frozen=True, slots=True)
class _Put:
    """A question in a batch: the call that decides it, or why it could not be put.

    `plain`, `unknown`: its controls, where it has any. `otherwise`: the call that decides it where the first
    fails.
    """

    question: Question
    call: int = -1
    unplaced: str = ""
    plain: int | None = None
    unknown: int | None = None
    otherwise: int | None = None


def _probe(subject: Subject, kind: FeatureKind) -> list[MeasuredFeature]:
    """The answers about a kind, and in the same batch about the kinds that are asked by the same calls."""
    if kind not in subject.made:
        kinds = next(together for together in _BATCHES if kind in together)
        script = Script(subject, catalog().things)
        put = [_put(script, question) for each in kinds for question in catalog().of(each)]
        script.run()
        for each in kinds:
            of_kind = [one for one in put if one.question.kind is each]
            subject.made[each] = _features(subject, script, each, of_kind)
    return subject.made[kind]


def _features(subject: Subject, script: Script, kind: FeatureKind, put: list[_Put]) -> list[MeasuredFeature]:
    enumeration = subject.enumerations.get(kind)
    kernel = Kernel(enumeration, subject.functions)
    found = {one.question.name: _finding(script, one, kernel) for one in put}
    if enumeration and kind is not FeatureKind.MAP_FLAG:
        found |= undocumented(enumeration, [one.question for one in put])
    return [MeasuredFeature(kind, name, ((found[name], ()),)) for name in sorted(found)]


def undocumented(enumeration: Enumeration, questions: Iterable[Question]) -> dict[str, Finding]:
    """What the kernel's enumeration has and nobody knows to ask for: unknown.

    Other names of what is asked are left out.
    """
    asked = list(questions)
    names, values = {one.name for one in asked}, {one.number for one in asked}
    words = f"{enumeration.title} of the kernel's BTF has it; nothing is known to ask for it with"
    return {
        name: unknown(f"{words} (number {number})")
        for name, number in enumeration.numbers.items()
        if name not in names and number not in values
    }


def _put(script: Script, question: Question) -> _Put:
    """Add a question's calls to the batch."""
    try:
        if question.flag:
            return _put_flag(script, question)
        if question.thing:
            return _Put(question, _with_link_info(script, question, script.thing(question.thing)))
        call = _with_link_info(script, question, _steps(script, question, question.step))
        control = otherwise = None
        if question.unseen_number:
            control = _steps(script, question, question.step, (question.name, _NO_NUMBER))
        if question.otherwise:
            otherwise = _steps(script, question, question.otherwise)
        return _Put(question, call, unknown=control, otherwise=otherwise)
    except Unplaced as why:
        return _Put(question, unplaced=str(why))


def _put_flag(script: Script, question: Question) -> _Put:
    """A flag's call, the same without it, and with a flag no kernel has."""
    return _Put(
        question,
        _steps(script, question, with_flag(question.step, question.flag)),
        plain=_steps(script, question, question.step),
        unknown=_steps(script, question, with_flag(question.step, question.unknown)),
    )


def _steps(
    script: Script, question: Question, step: Step, speaker: tuple[str, int | None] | None = None
) -> int:
    """The question's program and its last step, on behalf of its speaker or of another."""
    asker = Asker(*(speaker or question.speaker))
    if question.program:
        asker = replace(asker, own={"program": script.add(question.program, asker)})
    return script.add(step, asker)


def with_flag(step: Step, fields: Mapping[str, Any]) -> Step:
    """The step with a flag: among the fields of bpf(), or of the program."""
    if "program" in step:
        return {**step, **fields}
    return {**step, "with": {**step["with"], **fields}}


def _with_link_info(script: Script, question: Question, call: int) -> int:
    """For a link type: the call that asks the kernel of which type the link is."""
    if question.kind is not FeatureKind.LINK_TYPE:
        return call
    return script.add(_LINK_INFO, Asker(question.name, question.number, {"link": call}))


def _finding(script: Script, put: _Put, kernel: Kernel) -> Finding:
    if put.unplaced:
        return read(put.question, Asked(unplaced=put.unplaced), kernel)
    asked = script.asked(put.call)
    if asked.failed() and put.otherwise is not None and script.asked(put.otherwise).failed() is None:
        asked = script.asked(put.otherwise)
    if put.question.kind is FeatureKind.LINK_TYPE and asked.failed() is None:
        return link_finding(put.question, asked)
    controls = None
    if put.unknown is not None:
        plain = None if put.plain is None else script.asked(put.plain)
        controls = Controls(script.asked(put.unknown), plain)
    return read(put.question, asked, kernel, controls)


def link_finding(question: Question, asked: Asked) -> Finding:
    """A link was made: yes only where the kernel says that it is of that type."""
    (maker, _), (_, info) = asked.steps[-2:]
    number = struct.unpack_from("<I", info.out)[0] if len(info.out) >= 4 else None
    if number != question.number:
        return unknown(f"{maker} makes a link, but one of type {number}")
    words = f"{maker} makes a link, of type {number} as bpf_link_info says"
    return Finding(Support.YES, Method.CREATED, evidence(words))
