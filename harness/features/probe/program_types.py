"""Program types: a program of each is loaded, in one of the ways of `data/probe/attempts.yaml`."""

from __future__ import annotations

from harness.features.documented import documented
from harness.features.probe.answers import Kernel, in_words, read
from harness.features.probe.made import undocumented
from harness.features.probe.questions import Question, catalog
from harness.features.probe.script import Asked
from harness.features.probe.subject import Subject
from harness.features.types import (
    FeatureKind,
    Finding,
    MeasuredFeature,
    Method,
    Support,
    evidence,
    short_program_type,
)


def probe_program_types(subject: Subject) -> list[MeasuredFeature]:
    """Every program type, loaded where the kernel takes it."""
    functions = catalog().functions
    questions = [
        Question(FeatureKind.PROGRAM_TYPE, name, record.id, function=functions.get(name, ""))
        for (kind, name), record in documented().items()
        if kind is FeatureKind.PROGRAM_TYPE
    ]
    enumeration = subject.enumerations.get(FeatureKind.PROGRAM_TYPE)
    kernel = Kernel(enumeration, subject.functions)
    found = {one.name: _finding(subject, one, kernel) for one in questions}
    if enumeration:
        found |= undocumented(enumeration, questions)
    return [MeasuredFeature(FeatureKind.PROGRAM_TYPE, name, ((found[name], ()),)) for name in sorted(found)]


def _finding(subject: Subject, question: Question, kernel: Kernel) -> Finding:
    """Yes where a program was loaded, or refused only for what it does; else what its refusal says."""
    name = short_program_type(question.name)
    title = f"BPF_PROG_LOAD of {name}"
    usable = [placed.attempt for placed in subject.usable.get(name, ())]
    answers = [(placed.attempt, called) for placed, called in subject.loadings(name)]
    for attempt, called in answers:
        if attempt in usable and called.errno is None:
            how = attempt.words()
            words = f"{title} succeeds{f' ({how})' if how else ''}"
            return Finding(Support.YES, Method.CREATED, evidence(words))
    for attempt, called in answers:
        if attempt in usable:
            words = f"{in_words(title, called)}: the verifier came to its instructions"
            return Finding(Support.YES, Method.VERIFIER, evidence(words))
    if not answers:
        return read(
            question, Asked(unplaced="nothing in the kernel's BTF to write such a program for"), kernel
        )
    return read(question, Asked(((title, answers[0][1]),)), kernel)
