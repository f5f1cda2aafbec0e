"""Map types, attach types, link types, commands and flags: each is made, in one batch per kind."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.features.probe.answers import Controls, Kernel, read, unknown
from harness.features.probe.questions import Question, catalog
from harness.features.probe.script import Asked, Asker, Script, Step, Unplaced
from harness.features.probe.subject import Subject
from harness.features.types import FeatureKind, Finding, MeasuredFeature, Method, Support, evidence

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

    `plain`, `unknown`: the calls that are a flag's controls.
    """

    question: Question
    call: int = -1
    unplaced: str = ""
    plain: int = -1
    unknown: int = -1


def _probe(subject: Subject, kind: FeatureKind) -> list[MeasuredFeature]:
    questions = catalog().of(kind)
    script = Script(subject, catalog().things)
    put = [_put(script, question) for question in questions]
    script.run()
    enumeration = subject.enumerations.get(kind)
    kernel = Kernel(enumeration, subject.functions)
    found = {one.question.name: _finding(script, one, kernel) for one in put}
    known = enumeration.numbers if enumeration and kind is not FeatureKind.MAP_FLAG else {}
    found |= undocumented(enumeration.title if enumeration else "", known, questions)
    return [MeasuredFeature(kind, name, ((found[name], ()),)) for name in sorted(found)]


def undocumented(title: str, numbers: Mapping[str, int], questions: Iterable[Question]) -> dict[str, Finding]:
    """What the kernel's enumeration has and nobody knows to ask for: unknown.

    Other names of what is asked are left out.
    """
    asked = list(questions)
    names, values = {one.name for one in asked}, {one.number for one in asked}
    return {
        name: unknown(
            f"{title} of the kernel's BTF has {name} ({number}); how to ask for it is not known here"
        )
        for name, number in numbers.items()
        if name not in names and number not in values
    }


def _put(script: Script, question: Question) -> _Put:
    """Add a question's calls to the batch."""
    try:
        if question.thing:
            call = script.thing(question.thing)
            return _Put(question, _with_link_info(script, question, call))
        asker = Asker(*question.speaker)
        if question.program:
            asker = replace(asker, own={"program": script.add(question.program, asker)})
        if question.flag:
            calls = [
                script.add(step, asker)
                for step in (
                    with_flag(question.step, question.flag),
                    question.step,
                    with_flag(question.step, question.unknown),
                )
            ]
            return _Put(question, calls[0], plain=calls[1], unknown=calls[2])
        return _Put(question, _with_link_info(script, question, script.add(question.step, asker)))
    except Unplaced as why:
        return _Put(question, unplaced=str(why))


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
    if put.question.kind is FeatureKind.LINK_TYPE and asked.failed() is None:
        return link_finding(put.question, asked)
    controls = None
    if put.question.flag:
        controls = Controls(script.asked(put.plain), script.asked(put.unknown))
    return read(put.question, asked, kernel, controls)


def link_finding(question: Question, asked: Asked) -> Finding:
    """A link was made: yes only where the kernel says that it is of that type."""
    (maker, _), (_, info) = asked.steps[-2:]
    number = struct.unpack_from("<I", info.out)[0] if len(info.out) >= 4 else None
    if number != question.number:
        return unknown(f"{maker} makes a link, but one of type {number}")
    words = f"{maker} makes a link, of type {number} as bpf_link_info says"
    return Finding(Support.YES, Method.CREATED, evidence(words))
