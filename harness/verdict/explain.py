"""From a pasted error text to its cause: what the rules of `causes.yaml` make of it. Pure.

A run knows more than a text: which map was refused, what limits the case had. What a text leaves open is
said: `also` holds the causes that would look the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from harness.model import KernelVersion, Stage
from harness.verdict.causes import UNCLASSIFIED, Cause, Evidence, Wording, all_causes, cause_by_id
from harness.verdict.errortext import ErrorText, read_error
from harness.verdict.logparse import ParsedLog, listed_insn
from harness.verdict.text import one_line

# Facts only a run can know; a text neither has nor excludes them.
_OPEN = frozenset(
    {
        "ringbuf_size_valid",
        "ringbuf_size_invalid",
        "zero_entries",
        "unknown_map_type",
        "memlock_limited",
        "capabilities_reduced",
    }
)
_ALLOC = re.compile(r"\balloc_insn=(\d{1,7})\b")
_SAID_LINES = 2


@dataclass(frozen=True, slots=True)
class Hints:
    """What a person knows besides the text; each overrules what is read from it."""

    stage: Stage | None = None
    errno: str | None = None
    kernel: KernelVersion | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A text explained; every text in it is one printable line."""

    cause: Cause
    also: tuple[Cause, ...]  # what the text leaves possible besides
    said: str  # the words that decided, "" when the errno alone did
    wording: Wording | None  # where its words are known from
    error: ErrorText
    parsed: ParsedLog
    acquired: tuple[int, str] | None = None  # the instruction that acquired what was not released

    @property
    def recognised(self) -> bool:
        """Whether a rule knew it."""
        return self.cause.id != UNCLASSIFIED


def explain(text: str, hints: Hints | None = None) -> Explanation:
    """Explain `text`; never raises, and looks at a bounded part of it."""
    hints = hints or Hints()
    error = read_error(text)
    error = replace(error, stage=hints.stage or error.stage, errno=hints.errno or error.errno)
    evidence = error.evidence()
    by_words = list(_by_words(evidence, hints.kernel))
    by_errno = list(_by_errno(evidence, hints.kernel))
    cause = (by_words or by_errno or [cause_by_id(UNCLASSIFIED)])[0]
    guesses = by_errno if not by_words or cause.errnos == {"EPERM"} else []
    found = cause.said(evidence.text, hints.kernel)
    parsed = error.parsed
    return Explanation(
        cause=cause,
        also=tuple(other for other in guesses if other is not cause),
        said=_said(evidence.text, found[1] if found else None),
        wording=found[0] if found else None,
        error=error,
        parsed=parsed,
        acquired=_acquired(error, parsed),
    )


def _by_words(evidence: Evidence, kernel: KernelVersion | None) -> Iterator[Cause]:
    """Yield the causes whose words stand in the text; the stage named and this kernel's wordings first."""
    found = [
        (cause, said)
        for cause in all_causes()
        if _behaves(cause, kernel)
        and _errno_agrees(cause, evidence)
        and (said := cause.said(evidence.text, kernel))
    ]
    for staged in (True, False):
        for worded in (True, False):
            for cause, (wording, _) in found:
                here = evidence.stage is None or evidence.stage in cause.stages
                if here is staged and (kernel is None or kernel in wording.kernels) is worded:
                    yield cause


def _by_errno(evidence: Evidence, kernel: KernelVersion | None) -> Iterator[Cause]:
    """Yield the causes stage and errno allow: those a rule decides first, then those a run would know of."""
    if evidence.errno is None:
        return
    allowed = [
        cause
        for cause in all_causes()
        if evidence.errno in cause.errnos
        and (evidence.stage is None or evidence.stage in cause.stages)
        and _behaves(cause, kernel)
        and not (cause.wordings and not cause.facts)
    ]
    yield from (cause for cause in allowed if cause.fits(evidence))
    yield from (cause for cause in allowed if not cause.fits(evidence) and cause.facts & _OPEN)


def _behaves(cause: Cause, kernel: KernelVersion | None) -> bool:
    """Whether a kernel does this at all; a wording another kernel uses is a weaker objection."""
    return kernel is None or kernel in cause.kernels


def _errno_agrees(cause: Cause, evidence: Evidence) -> bool:
    return not cause.errnos or evidence.errno is None or evidence.errno in cause.errnos


def _said(text: str, found: re.Match[str] | None) -> str:
    """Return the line a wording was found in, and the next where the match goes on."""
    if found is None:
        return ""
    start = text.rfind("\n", 0, found.start()) + 1
    end = text.find("\n", found.end())
    lines = text[start : end if end >= 0 else None].split("\n")
    return one_line("; ".join(lines[:_SAID_LINES]), 300)


def _acquired(error: ErrorText, parsed: ParsedLog) -> tuple[int, str] | None:
    named = _ALLOC.search("\n".join((*parsed.reasons, *error.words)))
    return (int(named[1]), listed_insn(error.log, int(named[1]))) if named else None
