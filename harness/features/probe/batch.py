"""A batch of calls in which some show a feature each, and what their answers say."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from harness.features.probe.subject import Subject
from harness.features.probe.words import unread
from harness.features.types import Finding, Method, Support, evidence
from harness.guest.calls import Call, Called

NO_FLAG = 1 << 30  # of attaching and of test runs: a flag nobody knows
Shows = Callable[[Called], bool]


@dataclass(frozen=True, slots=True)
class Deed:
    """A call that succeeds where the feature is there.

    `controls`: calls that must have succeeded for a refusal to say no: what it needs, the same without the
    feature. `refused`: one that must not succeed, with a flag nobody knows: else flags are not looked at.
    `no`, `yes`: errnos that prove the one or the other, `words` what the log of a no must say. `shows`: what
    the answer must show.
    """

    wanted: int
    controls: tuple[int, ...]
    no: frozenset[str]
    yes: frozenset[str]
    shows: Shows | None
    what: str
    refused: int | None = None
    words: str = ""


class Script:
    """The calls, and the deeds among them by feature."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.deeds: dict[str, Deed] = {}
        self.impossible: dict[str, str] = {}  # features whose deed cannot be tried here, and why

    def add(self, call: Call) -> int:
        """Append a call; its number in the batch, by which later ones refer to what it returned."""
        self.calls.append(call)
        return len(self.calls) - 1

    def deed(
        self,
        name: str,
        wanted: int | Call,
        controls: Sequence[int] = (),
        *,
        no: Collection[str] = ("EINVAL",),
        yes: Collection[str] = (),
        shows: Shows | None = None,
        what: str = "done",
    ) -> int:
        """Say that a call, appended here unless it is, shows the feature; `what` it does, for evidence."""
        at = wanted if isinstance(wanted, int) else self.add(wanted)
        self.deeds[name] = Deed(at, tuple(controls), frozenset(no), frozenset(yes), shows, what)
        return at

    def refuses(self, name: str, call: Call) -> None:
        """Append the deed's call with a flag that is none; where that succeeds, flags are not looked at."""
        self.deeds[name] = replace(self.deeds[name], refused=self.add(call))

    def says(self, name: str, words: str) -> None:
        """Only a refusal in whose log this expression is found, line by line, is a no."""
        self.deeds[name] = replace(self.deeds[name], words=words)

    def findings(self, called: Sequence[Called]) -> dict[str, Finding]:
        """What the answers say of each feature."""
        found = {name: judged(deed, called) for name, deed in self.deeds.items()}
        return found | {name: _unknown(why) for name, why in self.impossible.items()}


def answers(subject: Subject, calls: Sequence[Call], limit_s: float) -> tuple[Called, ...]:
    """Make a batch of calls; what the kernel says meanwhile is kept with what it said of others."""
    done = subject.guest.calls(calls, limit_s)
    subject.kernel_messages += done.kernel_messages
    return done.called


def judged(deed: Deed, called: Sequence[Called]) -> Finding:
    """What the answers to a batch say of one deed."""
    if max(deed.wanted, *deed.controls, deed.refused or 0) >= len(called):
        return _unknown("no answer: a call before it ended the process")
    answer = called[deed.wanted]
    if answer.errno is None:
        return _succeeded(deed, answer, called)
    errors = [called[at] for at in deed.controls if called[at].errno]
    line = re.search(f"{deed.words}.*", answer.log, re.MULTILINE) if deed.words else None
    words = f"{deed.what}: {line[0] if line else _said(answer)}"
    if answer.errno in deed.yes:
        return Finding(Support.YES, Method.ERRNO, evidence(words))
    if errors:
        return _unknown(f"{words}; before it: {_said(errors[0])}")
    if answer.errno not in deed.no or (deed.words and line is None):
        return _unknown(words)
    return Finding(Support.NO, Method.VERIFIER if line else Method.ERRNO, evidence(words))


def _said(answer: Called) -> str:
    return unread(answer) if answer.log else str(answer.errno)


def _succeeded(deed: Deed, answer: Called, called: Sequence[Called]) -> Finding:
    if deed.shows and not deed.shows(answer):
        return _unknown(f"{deed.what}: it succeeds, and does not show it")
    if deed.refused is not None and called[deed.refused].errno is None:
        return _unknown(f"{deed.what}: it succeeds, but so it does with a flag that is none")
    return Finding(Support.YES, Method.CREATED, evidence(deed.what))


def _unknown(words: str) -> Finding:
    return Finding(Support.UNKNOWN, Method.NONE, evidence(words))
