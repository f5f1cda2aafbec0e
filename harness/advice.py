"""What a note advises, in a form a measured matrix can answer. Types only; imports nothing of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Answer(StrEnum):
    """What a clause wants of a cell."""

    ACCEPT = "accept"
    REJECT = "reject"
    BEHAVES = "behaves"
    MISBEHAVES = "misbehaves"


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a claim: the variants `when` selects answer so, on every kernel in `kernels`."""

    when: Mapping[str, tuple[str | int | bool, ...]]
    answer: Answer
    stage: str = ""  # of a rejection, "" = any
    errno: str = ""
    cause: str = ""
    kernels: str = "*"
    some: bool = False  # one of the variants is enough; otherwise all of them must


@dataclass(frozen=True, slots=True)
class NoteClaim:
    """One thing a note says, true on a kernel where all clauses hold and false where one does not."""

    says: str
    clauses: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class Advice:
    """What a pitfall's page judges and shows.

    `wrong` and `right` are conditions on the axes; `right` lists candidates, the preferred one first.
    """

    claims: tuple[NoteClaim, ...]
    wrong: Mapping[str, tuple[str | int | bool, ...]] | None = None
    right: tuple[Mapping[str, tuple[str | int | bool, ...]], ...] = ()
    figures: bool = False  # instructions processed and verification time tell something here
