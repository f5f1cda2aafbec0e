"""What the answers to a question say of the kernel. Pure.

A yes is proven by what was made, or by an errno only a kernel that knows the thing returns; a no by the
kernel's own enumeration that lacks the name, by a function that is missing, or by the same refusal as of a
flag no kernel has. Everything else is unknown: an errno alone cannot tell "not there" from "asked wrongly".
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from harness.features.probe.enums import Enumeration
from harness.features.probe.questions import Question
from harness.features.probe.script import Asked
from harness.features.probe.words import unread
from harness.features.types import Finding, Method, Support, evidence
from harness.guest.calls import Called

# What a kernel built without a feature answers, where it has a stub for it or does not know its number.
_BUILT_WITHOUT = frozenset(("EINVAL", "ENOTSUP", "ENOTSUPP", "ENODEV", "ENOENT"))


@dataclass(frozen=True, slots=True)
class Kernel:
    """What the kernel's BTF says: its enumeration of the kind (None: it has none) and all its functions."""

    enumeration: Enumeration | None = None
    functions: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Controls:
    """The same call with a flag or a number no kernel has; `plain`: without a flag, None for a number."""

    unknown: Asked
    plain: Asked | None = None

    def are_sound(self) -> bool:
        """Whether the unknown one was refused as an invalid argument, and the plain call not."""
        failed = self.unknown.failed()
        refused = failed is not None and failed[1].errno == "EINVAL"
        return refused and (self.plain is None or (bool(self.plain.steps) and self.plain.failed() is None))


def read(question: Question, asked: Asked, kernel: Kernel, controls: Controls | None = None) -> Finding:
    """The finding of one question."""
    failed = asked.failed()
    if asked.steps and failed is None and not asked.unplaced:
        return _made(question, asked, kernel, controls)
    last = asked.came_to_its_end()
    if failed and last and failed[1].errno in question.known:
        words = f"{failed[0]}: {failed[1].errno}, so it looked at what was handed in"
        return _there(question, kernel, Method.ERRNO, words)
    said = asked.unplaced or (in_words(*failed) if failed else "not asked")
    return _lacking(question, kernel, said) or _refused(question, asked, kernel, controls) or unknown(said)


def unknown(words: str) -> Finding:
    """Nothing decided it."""
    return Finding(Support.UNKNOWN, Method.NONE, evidence(words))


def in_words(title: str, called: Called) -> str:
    """A call that failed: what it was, the errno, and the first line of its log."""
    words = unread(called)
    return f"{title}: {words.removesuffix(': no words')}"


def _made(question: Question, asked: Asked, kernel: Kernel, controls: Controls | None) -> Finding:
    """Something was made: yes, unless the kernel does not look at what was asked about."""
    words = f"{asked.steps[-1][0]} succeeds{' with it' * bool(question.flag)}"
    if controls and not controls.are_sound():
        said = f"{words}, but with a {'flag' if question.flag else 'number'} no kernel has as well"
        return _lacking(question, kernel, said) or unknown(said)
    return _there(question, kernel, Method.CREATED, words)


def _there(question: Question, kernel: Kernel, method: Method, words: str) -> Finding:
    """Yes; unknown where the kernel's own enumeration contradicts it."""
    if lacking := _lacking(question, kernel, words):
        return unknown(lacking.evidence)
    return Finding(Support.YES, method, evidence(words))


def _lacking(question: Question, kernel: Kernel, said: str) -> Finding | None:
    """No, where the kernel's own enumeration has neither the name nor the number; and what the call said."""
    enumeration = kernel.enumeration
    if enumeration is None or enumeration.has(question.name, question.number):
        return None
    words = f"{enumeration.title} of the kernel's BTF has no {question.name}; {said}"
    return Finding(Support.NO, Method.BTF, evidence(words))


def _refused(question: Question, asked: Asked, kernel: Kernel, controls: Controls | None) -> Finding | None:
    """No, where the refusal cannot be about anything else."""
    failed = asked.failed()
    if failed is None or asked.unplaced:
        return None
    if question.flag:
        sound = kernel.enumeration is None and asked.came_to_its_end() and controls and controls.are_sound()
        return _like_unknown_flag(*failed) if sound else None
    return _built_without(question, kernel, *failed)


def _like_unknown_flag(title: str, called: Called) -> Finding | None:
    """No, where a flag is refused as one no kernel has. A verifier with something to say knows the flag."""
    if called.errno != "EINVAL" or called.log:
        return None
    words = f"{title}: EINVAL, as with a flag no kernel has; without either it succeeds"
    return Finding(Support.NO, Method.ERRNO, evidence(words))


def _built_without(question: Question, kernel: Kernel, title: str, called: Called) -> Finding | None:
    """No, where the kernel knows the name and lacks a function that comes with the feature."""
    if not kernel.functions or not question.function or question.function in kernel.functions:
        return None
    if called.errno not in _BUILT_WITHOUT:
        return None
    words = f"{in_words(title, called)}; its BTF has no function {question.function}, which comes with it"
    return Finding(Support.NO, Method.ERRNO, evidence(words))
