"""Which instruction and source line a verifier log points at, and what it says of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.verdict.text import one_line

_TAIL = 1 << 18  # characters, as in logparse
INSN = re.compile(r"(?P<index>\d+): (?:\([0-9a-f]{2}\) |<invalid CO-RE relocation>)")
SOURCE = re.compile(r";(?P<text>.*?)(?: @ (?P<at>[^@\s]+:\d+))?$")
_AT_EXCERPT = re.compile(r"\s*>>>\s*(?P<index>\d+) \| (?P<text>.*)")
_AT_PLACE = re.compile(r"\s*(?:\S+ @ )?(?P<at>[^\s@]+:\d+):\d+$")
_IN_REASON = re.compile(r"\b(?:at )?insn (?P<index>\d+)\b")
SECTION = re.compile(r"(?P<name>Reason|At|Causal path|Suggestion):\s*$")
# Since 5.18 the newline of a jump is taken back to print the state behind it, and no state may follow.
BEHIND_INSN = re.compile(r"\) (?:if|goto)[^;\n]{0,60} (?P<text>infinite loop detected at insn \d+)\s*$")


@dataclass(slots=True)
class Place:
    """What a log points at; filled in from the least to the most reliable part of it."""

    insn: int | None = None
    insn_text: str = ""
    source: str = ""
    at: str = ""


def find_place(
    lines: Sequence[str],
    found_at: tuple[int | None, int | None],
    block: Sequence[str],
    reasons: Sequence[str],
) -> Place:
    """Read the place from 7.3's block, then from the full log, and where neither has one from the reason.

    `found_at` are the indexes of the last instruction and of the source comment before it.
    """
    place = _place_in_block(block)
    insn_at, source_at = found_at
    if insn_at is not None and place.insn is None and (found := INSN.match(lines[insn_at])):
        place.insn, place.insn_text = int(found["index"]), _disassembly(lines[insn_at])
    if source_at is not None and (comment := SOURCE.match(lines[source_at])):
        place.source = comment["text"].strip() or place.source
        place.at = comment["at"] or place.at
    if place.insn is None:
        named = next((m for m in map(_IN_REASON.search, reasons) if m), None)
        place.insn = int(named["index"]) if named else None
    return place


def _disassembly(line: str) -> str:
    """Return the instruction of `14: (71) r4 = *(u8 *)(r1 +0)   ; R1=…`, without index, state and reason."""
    insn = line.partition(": ")[2].partition(" ; ")[0]
    behind = BEHIND_INSN.search(insn)
    return (insn[: behind.start("text")] if behind else insn).strip()


def _place_in_block(block: Sequence[str]) -> Place:
    """Read the `At:` section: the marked line under "Source context" and under "Instruction context"."""
    place, context = Place(), ""
    for line in section_lines(block, "At"):
        if line.strip() in ("Source context:", "Instruction context:"):
            context = line.strip()
        elif (found := _AT_PLACE.match(line)) and not context:
            place.at = found["at"]
        elif marked := _AT_EXCERPT.match(line):
            if context == "Instruction context:":
                place.insn, place.insn_text = int(marked["index"]), marked["text"].strip()
            else:
                place.source = marked["text"].strip()
    return place


def listed_insn(log: str, index: int) -> str:
    """Return the disassembly of instruction `index` as the last listing of it in `log` has it, else ""."""
    head = f"{index}: ("
    tail = log[-_TAIL:]
    at = tail.rfind("\n" + head)
    if at < 0 and not tail.startswith(head):
        return ""
    return one_line(_disassembly(tail[at + 1 :].split("\n", 1)[0]))


def section_lines(block: Sequence[str], name: str) -> Iterator[str]:
    """Yield the lines of one section (`Reason`, `At`, …) of 7.3's block."""
    inside = False
    for line in block:
        section = SECTION.match(line)
        inside = section["name"] == name if section else inside
        if inside and not section:
            yield line
