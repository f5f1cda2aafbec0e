"""Read a verifier log by rule: statistics, the reason, the instruction and source line it points at.

The wording and layout of the log are no interface and change with every kernel. Each line is therefore put
into one of a few classes by its shape; the reason is what is left after the classes that carry none. Layouts
seen in real guests (5.10, 6.1, 6.12, 7.3; samples in tests/unit/test_data):

* 5.4–5.15: states on their own line (` R0_w=inv0 R10=fp0`), precision notes (`last_idx 1 first_idx 0`);
* 5.18 and later: the state stands behind the instruction (`0: (b7) r0 = 0   ; R0=0`);
* 6.8 and later: source comments end in `@ file.c:12`;
* 7.3: the old one-line reason first, then a block `Verification failed: … / Reason: / At: / Causal path: /
  Suggestion:` with excerpts of source and instructions.

With `log_level` 4 there are no instructions in the log, only the reason and the statistics. Two reasons are
printed without a newline before or behind them (measured, below).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.verdict.logplace import BEHIND_INSN, INSN, SECTION, find_place, section_lines
from harness.verdict.text import one_line

_TAIL = 1 << 18  # characters; the reason stands at the end of every layout
_MAX_REASON_LINES = 3

_STATS = re.compile(
    r"processed (?P<insns>\d+) insns \(limit (?P<limit>\d+)\)"
    r"(?: max_states_per_insn (?P<per_insn>\d+))?"
    r"(?: total_states (?P<total>\d+))?"
    r"(?: peak_states (?P<peak>\d+))?"
    r"(?: mark_read (?P<mark>\d+))?"
)
_TIME = re.compile(r"^verification time (\d+) usec", re.MULTILINE)
# 7.3 forgets the newline behind "expected prog array map for tail call".
_STUCK = re.compile(r"(?<=[a-z])verification time \d+ usec$")

_STATE = re.compile(
    r"\d+: (?:frame\d+:|safe$|R\d)|\s*(?:frame\d+:)?\s*R\d+(?:_[a-z]+)?=|(?:from|to) \d+ to \d+"
    r"|\d+: ?$|(?:cur|old) state:|\s*(?:from \d+ to \d+.*: )?safe$"
)
_STATISTIC = re.compile(
    r"(?:insns )?processed \d+|verification time \d|stack depth |subprog \d+ |insns_self "
)
# Lines printed on the way of a verification that goes on afterwards.
_NOTE = re.compile(
    r"last_idx |regs=|parent |mark_precise|propagating |frame \d+: propagating|Live regs before"
    r"|arg#\d+ type is not a struct|Unrecognized arg#\d|arg#\d+ reference type\("
    r"|reg type unsupported for arg#"
    r"|(?:Validating|Func#\d+ is|Func#\d+ \()|func#\d+ |caller:|callee:|returning from callee|to caller at"
    r"|func '.*' arg\d+ |Type '.*' is not supported|attach_btf_id \d+ is not|BTF |\s*(?:r|fp)\d+: "
    r"|\[\d+\] [A-Z_0-9]+ |\t|(?:magic|version|flags|btf_total_size|[a-z]+_(?:len|off)): "
    r"|btf_vmlinux is malformed|\(null\)|\s+ R\d|update \d|SCC |stack use/def|subprog#\d|\s*;"
    r"|\(the log was cut here; "  # the agent's own words, harness/guest/agent/report.c
)
# Said of the main program's argument on the way, and of a global function's argument as the reason.
_WEAK_REASON = re.compile(r"arg#\d+ reference type\(|reg type unsupported for arg#")
_DIAGNOSIS = re.compile(r"Verification failed: (?P<title>.*)")


class LineKind(StrEnum):
    """What a line of a verifier log is; decides how a report shows it."""

    INSN = "insn"
    SOURCE = "source"
    STATE = "state"
    NOTE = "note"
    STATS = "stats"
    DIAGNOSIS = "diagnosis"  # inside 7.3's block
    BLANK = "blank"
    TEXT = "text"  # a sentence: the reason, when it comes last


@dataclass(frozen=True, slots=True)
class Stats:
    """The statistics line; None where a kernel does not print the field."""

    insns_processed: int
    limit: int
    max_states_per_insn: int | None = None
    total_states: int | None = None
    peak_states: int | None = None
    mark_read: int | None = None
    verification_us: int | None = None


@dataclass(frozen=True, slots=True)
class ParsedLog:
    """What could be read from a log; every field may be empty. Line indexes count from 0."""

    reasons: tuple[str, ...] = ()  # the sentences that say no, in order, each sanitised
    title: str = ""  # 7.3: "Register Type Safety: Invalid dereference"
    explanation: str = ""  # 7.3: the paragraph under "Reason:"
    suggestion: str = ""  # 7.3: the paragraph under "Suggestion:"
    insn: int | None = None  # the rejecting instruction
    insn_text: str = ""  # as the kernel disassembles it, "(71) r4 = *(u8 *)(r1 +0)"
    source: str = ""  # the C line it came from, as the compiler recorded it
    source_at: str = ""  # "file.c:12", where the kernel prints it
    stats: Stats | None = None
    line_count: int = 0
    reason_lines: tuple[int, ...] = ()
    insn_line: int | None = None
    source_line: int | None = None

    @property
    def reason(self) -> str:
        """The reason as one line, at most 200 characters; "" when the log holds none."""
        return one_line("; ".join(self.reasons) or self.title)


def line_kind(line: str) -> LineKind:
    """Classify one line by its shape alone; lines of 7.3's block need `line_kinds`."""
    if not line or line.isspace():
        return LineKind.BLANK
    if INSN.match(line):
        return LineKind.INSN
    if line.startswith(";"):
        return LineKind.SOURCE
    if _STATISTIC.match(line):
        return LineKind.STATS
    if _STATE.match(line):
        return LineKind.STATE
    return LineKind.NOTE if _NOTE.match(line) else LineKind.TEXT


def line_kinds(lines: Sequence[str]) -> Iterator[LineKind]:
    """Classify every line, knowing where 7.3's block begins and ends."""
    inside, last_section = False, False
    for line in lines:
        if _DIAGNOSIS.match(line):
            inside, last_section = True, False
        elif inside and last_section and _ends_block(line):
            inside = False
        if inside:
            section = SECTION.match(line)
            last_section = section["name"] == "Suggestion" if section else last_section
        yield LineKind.DIAGNOSIS if inside else line_kind(line)


def _ends_block(line: str) -> bool:
    """Behind `Suggestion:` the block's text is indented; the next line that is not ends it."""
    return bool(line) and not line.startswith(" ") and not SECTION.match(line)


def parse(log: str) -> ParsedLog:
    """Read `log`; never raises, whatever is in it."""
    tail = log[-_TAIL:]
    skipped = log.count("\n", 0, len(log) - len(tail))
    printed = tail.split("\n")
    lines = [_reason_alone(line) for line in printed]
    kinds = list(line_kinds(lines))
    reason_at = _reason_lines(kinds) or _weak_reason(lines)
    block = [line for line, kind in zip(lines, kinds, strict=True) if kind is LineKind.DIAGNOSIS]
    insn_at = _insn_before(printed, kinds, reason_at[0] if reason_at else len(lines))
    reasons = tuple(one_line(lines[index]) for index in reason_at)
    source_at = _last(kinds, LineKind.SOURCE, before=insn_at) if insn_at is not None else None
    place = find_place(printed, (insn_at, source_at), block, reasons)
    return ParsedLog(
        reasons=reasons,
        title=one_line(_title(block)),
        explanation=_section(block, "Reason"),
        suggestion=_section(block, "Suggestion"),
        insn=place.insn,
        insn_text=one_line(place.insn_text),
        source=one_line(place.source),
        source_at=one_line(place.at),
        stats=stats(tail),
        line_count=len(log.rstrip("\n").split("\n")) if log.strip() else 0,
        reason_lines=tuple(index + skipped for index in reason_at),
        insn_line=insn_at + skipped if insn_at is not None else None,
        source_line=source_at + skipped if source_at is not None else None,
    )


def stats(log: str) -> Stats | None:
    """Read the last statistics line of `log`, which every kernel since 5.2 prints; None if there is none."""
    tail = log[-_TAIL:]
    found = None
    for found in _STATS.finditer(tail):  # noqa: B007 -- only the last one is wanted
        pass
    if found is None:
        return None
    number = {name: int(value) if value is not None else None for name, value in found.groupdict().items()}
    times = _TIME.findall(tail)
    return Stats(
        insns_processed=int(found["insns"]),
        limit=int(found["limit"]),
        max_states_per_insn=number["per_insn"],
        total_states=number["total"],
        peak_states=number["peak"],
        mark_read=number["mark"],
        verification_us=int(times[-1]) if times else None,
    )


def btf_reason(log: str) -> str:
    """Find the sentence that ends a BTF dump (`[6] ARRAY … Array size overflows U32_MAX`).

    The kernel appends the complaint to the line of the type it rejects, or prints it alone.
    """
    lines = [line for line in log[-_TAIL:].split("\n") if line.strip()]
    plain = [line for line in lines if line_kind(line) is LineKind.TEXT]
    return one_line((plain or lines)[-1]) if lines else ""


def _reason_alone(line: str) -> str:
    """Cut off what stands on a reason's line without being part of it."""
    behind = BEHIND_INSN.search(line)
    return behind["text"] if behind else _STUCK.sub("", line)


def _reason_lines(kinds: Sequence[LineKind]) -> list[int]:
    """Indexes of the last run of sentences; only notes, statistics and 7.3's block may stand between."""
    picked: list[int] = []
    for index in range(len(kinds) - 1, -1, -1):
        if kinds[index] is LineKind.TEXT:
            picked.append(index)
        elif picked and kinds[index] in (LineKind.INSN, LineKind.SOURCE, LineKind.NOTE):
            break
        if len(picked) == _MAX_REASON_LINES:
            break
    return picked[::-1]


def _weak_reason(lines: Sequence[str]) -> list[int]:
    found = [index for index, line in enumerate(lines) if _WEAK_REASON.match(line)]
    return found[-1:]


def _insn_before(printed: Sequence[str], kinds: Sequence[LineKind], end: int) -> int | None:
    """Index of the last instruction before line `end`, or of that line where a reason stands behind one."""
    if end < len(printed) and INSN.match(printed[end]):
        return end
    return _last(kinds, LineKind.INSN, end)


def _last(kinds: Sequence[LineKind], kind: LineKind, before: int) -> int | None:
    return next((index for index in range(before - 1, -1, -1) if kinds[index] is kind), None)


def _title(block: Sequence[str]) -> str:
    found = _DIAGNOSIS.match(block[0]) if block else None
    return found["title"] if found else ""


def _section(block: Sequence[str], name: str) -> str:
    return one_line(" ".join(section_lines(block, name)), 1000)
