"""A program with the subprograms it reaches: what it uses, in general and given answers to its guards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

from harness.features.objects.flow import Budget, reachable
from harness.features.objects.guards import Answers, Guard, guards_of, known_values
from harness.features.objects.instructions import CALL, PSEUDO_CALL
from harness.features.objects.model import BpfObject, Extern, Function, TargetKind
from harness.features.objects.scan import Sighting, sightings
from harness.features.objects.sections import SectionMeaning, meaning_of
from harness.features.objects.uses import UseKey, UseKind

Place = tuple[str, int]  # a function by section and offset
Reach = Mapping[Place, frozenset[int]]
MAX_GUARDS = 48  # of a program; beyond that the kernel's answers are used, but guards are not tried out
_LIMIT = 1_000_000  # BPF_COMPLEXITY_LIMIT_INSNS
_OLD_LIMIT = 4096  # BPF_MAXINSNS, a program's length before 5.2


class FunctionView:
    """A function with what was found in it; shared by the programs that call it."""

    def __init__(self, function: Function, found: BpfObject, helpers: Mapping[int, str]) -> None:
        self.function = function
        self.guards = guards_of(function, found)
        self.sightings: list[Sighting] = list(sightings(function, found, helpers))
        self.calls = _calls(function)
        self._kept: dict[frozenset[tuple[Guard, int | None]], frozenset[int]] = {}

    def reach(self, answers: Answers, budget: Budget) -> frozenset[int]:
        """The instructions that are reached when guards are answered so."""
        mine = frozenset((guard, answers.get(guard)) for guard in self.guards.values())
        if mine not in self._kept:
            known = known_values(self.function, self.guards, answers)
            self._kept[mine] = reachable(self.function, known, budget)
        return self._kept[mine]


class Program:
    """One program of an object."""

    def __init__(
        self,
        entry: Function,
        views: Mapping[Place, FunctionView],
        externs: Mapping[str, Extern],
        budget: Budget,
    ) -> None:
        self.entry = entry
        self.externs = externs
        self.meaning: SectionMeaning | None = meaning_of(entry.section)
        self._views = views
        self._budget = budget

    @cached_property
    def everything(self) -> Reach:
        """What is reached whatever the guards say."""
        return self.reach({})

    @cached_property
    def guards(self) -> tuple[Guard, ...]:
        """The guards in reach, in the program's order."""
        found: dict[Guard, None] = {}
        for place, reached in self.everything.items():
            found |= {guard: None for at, guard in self._views[place].guards.items() if at in reached}
        return tuple(found)

    @cached_property
    def length(self) -> int:
        """Instructions with the subprograms, as the kernel counts them."""
        return sum(len(self._views[place].function.instructions) for place in self.everything)

    def reach(self, answers: Answers) -> Reach:
        """The functions reached from the entry, with the instructions reached in each."""
        start = (self.entry.section, self.entry.offset)
        reached: dict[Place, frozenset[int]] = {}
        waiting = [start]
        while waiting:
            place = waiting.pop()
            if place in reached or place not in self._views:
                continue
            view = self._views[place]
            reached[place] = view.reach(answers, self._budget)
            waiting += [called for at, called in view.calls if at in reached[place]]
        return reached

    def keys(self, answers: Answers) -> frozenset[UseKey]:
        """What is used given these answers."""
        return frozenset(self.sighted(self.reach(answers)))

    def sighted(self, reach: Reach) -> dict[UseKey, list[tuple[Function, Sighting]]]:
        """What is used by the instructions reached, with where."""
        found: dict[UseKey, list[tuple[Function, Sighting]]] = {}
        for place, reached in reach.items():
            view = self._views[place]
            for sighting in view.sightings:
                if sighting.at in reached:
                    found.setdefault(sighting.key, []).append((view.function, sighting))
        for key in self._whole(reach):
            found.setdefault(key, [])
        return found

    def _whole(self, reach: Reach) -> Iterable[UseKey]:
        """What the program uses as a whole rather than in one instruction."""
        if self.length > _LIMIT:
            yield UseKey(UseKind.LIMIT, f"{self.length:,} instructions")
        elif self.length > _OLD_LIMIT:
            yield UseKey(UseKind.LANGUAGE, "insn_limit_1m")
        others = [self._views[place].function for place in reach if self._views[place].function != self.entry]
        if any(function.is_global for function in others):
            yield UseKey(UseKind.LANGUAGE, "global_functions")


def assumptions(guards: tuple[Guard, ...]) -> list[tuple[str, Answers]]:
    """The answers worth trying where the kernel is not known, with words for each: one guard, then all."""
    found: list[tuple[str, Answers]] = []
    for guard in guards[:MAX_GUARDS]:
        pairs = zip(guard.words, guard.alternatives, strict=True)
        found += [(words, {guard: answer}) for words, answer in pairs]
    if 1 < len(guards) <= MAX_GUARDS:
        found.append(("only if", {guard: guard.alternatives[0] for guard in guards}))
        found.append(("unless", {guard: guard.alternatives[-1] for guard in guards}))
    return found


def in_words(program: Program, key: UseKey, words: str, answers: Answers) -> str:
    """Why a use may be done without; of several guards only those that matter are named."""
    if len(answers) < 2:
        return words
    needed = dict(answers)
    for guard in answers:
        fewer = {other: answer for other, answer in needed.items() if other != guard}
        if key not in program.keys(fewer):
            needed = fewer
    return f"{words} {' or '.join(guard.text for guard in needed)}"


def _calls(function: Function) -> list[tuple[int, Place]]:
    """The functions an instruction calls or takes the address of (callbacks)."""
    found: list[tuple[int, Place]] = []
    for at, instruction in enumerate(function.instructions):
        target = function.targets.get(at)
        if target is not None:
            if target.kind is TargetKind.FUNCTION:
                found.append((at, (target.section, target.offset)))
        elif instruction.code == CALL and instruction.src == PSEUDO_CALL:
            found.append((at, (function.section, function.offset + 8 * (at + 1 + instruction.imm))))
    return found
