"""A batch of system calls put together from data: steps that refer to each other, and what they returned."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from harness.features.probe.compose import Composed, Composer, Step
from harness.features.probe.memory import Asker
from harness.features.probe.subject import NO_ANSWER, Subject
from harness.guest.calls import Called

_TIME_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question's calls returned, in order, those it depends on first; `unplaced`: it was not asked."""

    steps: tuple[tuple[str, Called], ...] = ()
    unplaced: str = ""

    def failed(self) -> tuple[str, Called] | None:
        """The first call that failed, with its title."""
        return next(((title, called) for title, called in self.steps if called.errno), None)

    def came_to_its_end(self) -> bool:
        """Whether all calls before the last were answered without an error."""
        return bool(self.steps) and all(called.errno is None for _, called in self.steps[:-1])


class Script:
    """One batch being put together, and its answers. Things are made when a step first refers to them."""

    def __init__(self, subject: Subject, things: Mapping[str, Step]) -> None:
        self._subject = subject
        self._things = things
        self._composer = Composer(subject.types, subject.prelude, self.thing)
        self._made: dict[str, int] = {}
        self._added: dict[str, int] = {}
        self._composed: list[Composed] = []
        self._needs: list[frozenset[int]] = []  # of each call, and of those it needs
        self._answers: list[Called] = []
        self._undone: list[Step] = []

    def thing(self, name: str) -> int:
        """The call that makes a thing, added where nothing needed it before; KeyError for an unknown one."""
        if name not in self._made:
            self._made[name] = self._append(self._things[name], Asker(name))
            if "undo" in self._things[name]:
                self._undone.append(self._things[name]["undo"])
        return self._made[name]

    def add(self, step: Step, asker: Asker) -> int:
        """Add a step and what it needs; its call's number, an earlier one's where the step is the same.

        Raise Unplaced where this kernel has nothing to put it together with.
        """
        key = _identity(step, asker)
        if key not in self._added:
            self._added[key] = self._append(step, asker)
        return self._added[key]

    def run(self) -> None:
        """Make all calls, in one process of the guest, which lets go of all at its end; undo what stays."""
        for step in reversed(self._undone):
            self._append(step, Asker())
        calls = [composed.call for composed in self._composed]
        done = self._subject.guest.calls(calls, _TIME_LIMIT_S)
        self._subject.kernel_messages += done.kernel_messages
        self._answers = [*done.called, *[Called(-1, NO_ANSWER)] * (len(calls) - len(done.called))]

    def asked(self, index: int) -> Asked:
        """What a call and those it needs returned."""
        numbers = [*sorted(self._needs[index]), index]
        return Asked(tuple((self._composed[n].title, self._answers[n]) for n in numbers))

    def _append(self, step: Step, asker: Asker) -> int:
        first = (self.thing(step["needs"]),) if "needs" in step else ()
        composed = self._composer.compose(step, asker)
        needs = frozenset((*first, *composed.needs))
        self._composed.append(composed)
        self._needs.append(needs.union(*(self._needs[index] for index in needs)))
        return len(self._composed) - 1


def _identity(step: Step, asker: Asker) -> str:
    """What makes two steps the same call: their words, and for whom they are where the words say so."""
    words = json.dumps(step, sort_keys=True)
    return f"{words} {dict(asker.own)} {(asker.name, asker.number) if '$' in words else ''}"
