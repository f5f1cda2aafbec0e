"""Calls asked of every program type, attempt after attempt, until each is proven or no attempt is left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.features.probe.attempts import Placed
from harness.features.probe.loads import Load
from harness.features.probe.subject import Subject
from harness.features.probe.words import Reading, read
from harness.features.types import FeatureKind, Finding, MeasuredFeature, Support, evidence
from harness.guest.calls import Call

MakeLoad = Callable[[Placed, str], Load]
Pair = tuple[str, str]  # what is called, by which program type


@dataclass(slots=True)
class Rounds:
    """The questions about one kind of calls. `make` puts the program of one question together."""

    subject: Subject
    kind: FeatureKind
    make: MakeLoad
    readings: dict[Pair, list[tuple[Placed, Reading]]] = field(default_factory=dict)

    def ask(self, names: Sequence[str], of_kernel: Sequence[str] = ()) -> None:
        """Ask all `names` of all program types. `of_kernel`: names already known not to be there."""
        known = set(of_kernel)
        usable = {
            name: [one for one in placed if one.attempt.only in ("", f"{self.kind}s")]
            for name, placed in self.subject.usable.items()
        }
        for turn in range(max(map(len, usable.values()), default=0)):
            questions = [
                (name, placed[turn])
                for program_type, placed in usable.items()
                if turn < len(placed)
                for name in names
                if name not in known and not self._settled(name, placed[turn])
            ]
            self.put(questions)

    def put(
        self,
        questions: Sequence[tuple[str, Placed]],
        make: MakeLoad | None = None,
        before: Sequence[Call] = (),
    ) -> None:
        """Ask these questions, and keep what was read of each."""
        make = make or self.make
        answers = self.subject.ask([make(placed, name) for name, placed in questions], before)
        for (name, placed), called in zip(questions, answers, strict=True):
            pair = (name, placed.attempt.program_type)
            self.readings.setdefault(pair, []).append((placed, read(self.kind, called)))

    def missing(self, names: Iterable[str]) -> dict[str, Finding]:
        """Of `names`, asked of one program type first: what the kernel has not got at all, and its words.

        What that program type answers is not asked again.
        """
        first = next(iter(self.subject.usable.values()), ())
        if not first:
            return {}
        self.put([(name, first[0]) for name in names])
        gone: dict[str, Finding] = {}
        for (name, _), readings in list(self.readings.items()):
            reading = readings[-1][1]
            if reading.rule and reading.rule.of_kernel:
                gone[name] = reading.finding
        return gone

    def again(self, word: str) -> list[tuple[str, Placed]]:
        """The questions whose answer asks to be put once more with `word`."""
        return [
            (name, placed)
            for (name, program_type), readings in self.readings.items()
            if not self._proven(name, program_type)
            for placed, reading in readings
            if reading.rule and reading.rule.again == word
        ]

    def _settled(self, name: str, placed: Placed) -> bool:
        """Whether a program of that type is known to call it, or this way of loading it was asked already."""
        readings = self.readings.get((name, placed.attempt.program_type), ())
        return any(one is placed or reading.finding.support is Support.YES for one, reading in readings)

    def _proven(self, name: str, program_type: str) -> bool:
        readings = self.readings.get((name, program_type), ())
        return any(reading.finding.support is Support.YES for _, reading in readings)

    def finding(self, name: str, program_type: str) -> Finding:
        """What all attempts together say: one yes is yes, nothing but no is no, anything else unknown."""
        if program_type in self.subject.refused:
            return self.subject.refused[program_type]
        readings = self.readings[name, program_type]
        for wanted in (Support.YES, Support.UNKNOWN, Support.NO):
            said = [(placed, reading) for placed, reading in readings if reading.finding.support is wanted]
            # An answer that asked to be put again counts only where it was the last.
            said = [one for one in said if not (one[1].rule and one[1].rule.again) or one is readings[-1]]
            if said:
                return self._in_words(*said[0])
        return self._in_words(*readings[-1])

    def feature(self, name: str, gone: Mapping[str, Finding]) -> MeasuredFeature:
        """The measured feature, program types with the same answer together."""
        types = [*self.subject.usable, *self.subject.refused]
        if name in gone:
            return MeasuredFeature(self.kind, name, ((gone[name], tuple(sorted(types))),))
        grouped: dict[Finding, list[str]] = {}
        for program_type in types:
            grouped.setdefault(self.finding(name, program_type), []).append(program_type)
        return MeasuredFeature(
            self.kind, name, tuple((finding, tuple(sorted(found))) for finding, found in grouped.items())
        )

    def _in_words(self, placed: Placed, reading: Reading) -> Finding:
        """The finding, with how the program was loaded where that is not the first way to try its type."""
        finding, attempt = reading.finding, placed.attempt
        first = placed is self.subject.usable[attempt.program_type][0] and not attempt.target
        if first or finding.support is Support.NO or not attempt.words():
            return finding
        return Finding(finding.support, finding.method, evidence(f"{finding.evidence} ({attempt.words()})"))
