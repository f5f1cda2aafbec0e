"""Reads what people paste: a verifier log, a log of libbpf, an error of cilium/ebpf, aya or a compiler.

Texts are hostile: they are bounded, stripped of control characters and taken apart line by line
(`errorlines`, `loaderlog`); nothing in them is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from harness.model import Stage
from harness.verdict import errnos
from harness.verdict.causes import Evidence
from harness.verdict.errorlines import bounded_lines, log_apart, shortened, unfolded
from harness.verdict.loaderlog import take_apart
from harness.verdict.logparse import ParsedLog, btf_reason, parse
from harness.verdict.text import one_line, stripped

_WORDS = 1 << 14  # characters of words handed to the rules
_WORD_LINE = 1000
# What libbpf tries, and goes on without.
_ASIDE = re.compile(r"Retrying without BTF|BTF is optional|BTF loading error|Kernel doesn't support BTF")
_STAGES = (
    (
        Stage.MAP_CREATE,
        re.compile(r"map create\b|'?: failed to create: |failed to create map|BPF_MAP_CREATE"),
    ),
    (
        Stage.LOAD,
        re.compile(
            r"load program|BPF program load failed|load bpf program failed|BPF_PROG_LOAD"
            r"|[Ff]ailed to load program|Prog section '[^'\n]*' rejected|failed to load: -"
        ),
    ),
    (Stage.BTF_LOAD, re.compile(r"load BTF|BPF_BTF_LOAD")),
    (
        Stage.ATTACH,
        re.compile(
            r"failed to (?:auto-)?attach|attach(?:ing)? (?:k|u|trace|raw|to\b|program)|create link"
            r"|perf_[ku]probe PMU|tracefs event|' perf event(?: ID)?: |BPF_LINK_CREATE"
        ),
    ),
    (
        Stage.HOST_COMPILE,
        re.compile(
            r"(?:\.(?:cpp|cc|cxx|hpp)|skel\.h|/bpf/libbpf\.h):\d+:\d+: (?:fatal )?error: |^bpftool gen"
        ),
    ),
    (
        Stage.COMPILE,
        re.compile(
            r"^[^\s:]{1,300}:\d+(?::\d+)?: (?:fatal )?error: |^(?:fatal )?error: |^clang", re.MULTILINE
        ),
    ),
    (
        Stage.OPEN,
        re.compile(
            r"unsatisfied (?:program|map) reference|\belf: |failed to find BTF for extern|failed to open"
        ),
    ),
)
# Printed of an infinite loop only, behind the reason, which a summary of the last lines then lacks.
_STATES = re.compile(r"^(?:cur|old) state:", re.MULTILINE)
_DECIDES = re.compile(
    r"load failed: |program failed: |failed to create: |failed to attach|load program: |map create: |os error"
    r"|failed to load: |perf event"
)
_PROGRAM = re.compile(r"\bprog(?:ram)? '(?P<quoted>[^'\n]{1,128})'|\bprogram (?P<bare>[\w.]{1,128}): ")
_MAP = re.compile(r"\bmap '(?P<quoted>[^'\n]{1,128})'|\bmap (?P<bare>(?!create:)[\w.]{1,128}): ")


@dataclass(frozen=True, slots=True)
class ErrorText:
    """What a pasted text says before any rule looked at it."""

    words: tuple[str, ...]  # lines that are no log, bounded
    log: str = ""  # the verifier's part
    btf_log: str = ""
    stage: Stage | None = None
    errno: str | None = None
    program: str = ""
    map: str = ""
    omitted_lines: int = 0  # that cilium/ebpf left out

    @property
    def parsed(self) -> ParsedLog:
        """The verifier's part, read."""
        return parse(self.log)

    def evidence(self) -> Evidence:
        """Return what the rules look at: the reasons first, then the words."""
        parsed = self.parsed
        said = [*parsed.reasons, parsed.title]
        if not parsed.reasons and (states := _STATES.search(self.log)):
            said.append(one_line(states[0]))
        if self.stage is Stage.BTF_LOAD:
            said.append(btf_reason(self.btf_log))
        facts = set() if parsed.reasons else {"silent"}
        if not self.log:
            facts.add("no_log")
        text = "\n".join(line for line in (*said, *self.words) if line)
        return Evidence(self.stage, self.errno, text, frozenset(facts))


def read_error(text: str) -> ErrorText:
    """Take `text` apart; never raises, and looks at a bounded part of it."""
    lines = list(unfolded(bounded_lines(stripped(text))))
    pasted = take_apart(line for line, _ in lines)
    words, log = list(pasted.words), list(pasted.program_log)
    if not log:
        words, log = log_apart(words)
    found = ErrorText(
        words=tuple(_bounded_words(words)),
        log="\n".join(log),
        btf_log="\n".join(pasted.btf_log),
        omitted_lines=max((left_out for _, left_out in lines), default=0),
    )
    return replace(
        found,
        stage=_stage(found),
        errno=_errno(found.words),
        program=_name(_PROGRAM, found.words),
        map=_name(_MAP, found.words),
    )


def _bounded_words(lines: Sequence[str]) -> Iterator[str]:
    """Yield the lines that say something, from both ends, as far as the bound goes; comments do not."""
    said = [shortened(line, _WORD_LINE) for line in lines if line.strip() and not line.startswith(";")]
    front = _fitting(said[: len(said) // 2 + 1], _WORDS // 2)
    back = _fitting(said[: len(front) - 1 if front else None : -1], _WORDS // 2)
    yield from (*front, *reversed(back))


def _fitting(lines: Sequence[str], room: int) -> list[str]:
    taken: list[str] = []
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        taken.append(line)
    return taken


def _stage(found: ErrorText) -> Stage | None:
    if found.log:
        return Stage.LOAD
    text = "\n".join(line for line in found.words if not _ASIDE.search(line))
    return next((stage for stage, pattern in _STAGES if pattern.search(text)), None)


def _errno(words: Sequence[str]) -> str | None:
    """Return the errno of the line that decides, else the first one named."""
    named = [(line, name) for line in words if not _ASIDE.search(line) and (name := errnos.of_line(line))]
    decided = (name for line, name in named if _DECIDES.search(line))
    return next(decided, named[0][1] if named else None)


def _name(pattern: re.Pattern[str], words: Sequence[str]) -> str:
    found = next((match for match in map(pattern.search, words) if match), None)
    return one_line(found["quoted"] or found["bare"] or "", 64) if found else ""
