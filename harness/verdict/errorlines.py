r"""Pasted text as clean lines: bounded, no prefixes, one-line summaries unfolded, the log taken apart.

Shapes seen: cilium/ebpf's summary (internal/errors.go: the errno, then the last one or two lines of the log
joined by ": ", then "(44 line(s) omitted)") and its `%+v`, which indents the log; aya's "Verifier output: ";
a date or a host's name before each line; a log inside JSON, with `\n` for newlines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from harness.verdict import errnos
from harness.verdict.logparse import LineKind, line_kind, line_kinds

_HEAD, _TAIL = 1 << 16, 1 << 19  # characters looked at of a long text: its beginning and its end
_LINE = 4000  # characters of a line, half from each end
_FIRST, _LAST = 2_000, 20_000  # lines looked at from the beginning and the end
_MAX_SPLITS = 200
_OMITTED = re.compile(r" \((?:truncated)?(?:, )?(?:(?P<lines>\d{1,9}) line\(s\) omitted)?\)[\"}\]\s]*$")
_OUTPUT = re.compile(r"Verifier (?:output|analysis):\s*")
_MARK = re.compile(r"(?<!\d)\d{1,7}: \([0-9a-f]{2}\) |\bprocessed \d{1,9} insns \(limit ")
_LOG_KINDS = frozenset({LineKind.INSN, LineKind.STATS, LineKind.STATE, LineKind.DIAGNOSIS})
_LEADS_IN = frozenset({LineKind.SOURCE, LineKind.NOTE, LineKind.STATE, LineKind.BLANK})
_LOADER = re.compile(r"(?:libbpf|Error|Warning|FATA|time=|level=)[:\[=(0-9 ]|Caused by:")


def bounded_lines(text: str) -> list[str]:
    """Return the lines of `text` that are looked at, each bounded, without what a logger put before them."""
    lines = _window(_newlines(text)).split("\n")
    if len(lines) > _FIRST + _LAST:
        lines = [*lines[:_FIRST], *lines[-_LAST:]]
    return _undented([shortened(line, _LINE) for line in lines])


def shortened(line: str, limit: int) -> str:
    """Cut a long line in its middle."""
    return line if len(line) <= limit else f"{line[: limit // 2]} … {line[-limit // 2 :]}"


def unfolded(lines: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield lines, summaries as the lines they were made of; with each how many lines were left out of it."""
    for line in lines:
        if line_kind(line) in _LOG_KINDS:
            yield line, 0
            continue
        cut = _OMITTED.search(line)
        bare = line[: cut.start()] if cut else line
        left_out = int(cut["lines"] or 0) if cut else 0
        head, rest = _summary(bare)
        yield head, left_out
        yield from ((part, left_out) for part in _split(rest) if part)


def log_apart(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return (words, log) of lines without BEGIN and END: the log is what looks like one, and its reason."""
    kinds = list(line_kinds(lines))
    marks = [index for index, kind in enumerate(kinds) if kind in _LOG_KINDS]
    if not marks:
        return list(lines), []
    first, last = marks[0], marks[-1]
    while first and kinds[first - 1] in _LEADS_IN and not _LOADER.match(lines[first - 1]):
        first -= 1
    if not lines[last].startswith("processed "):
        while last + 1 < len(lines) and lines[last + 1].strip() and not _LOADER.match(lines[last + 1]):
            last += 1
    first = _reason_before(lines, kinds, first)
    return [*lines[:first], *lines[last + 1 :]], list(lines[first : last + 1])


def _window(text: str) -> str:
    """Cut a very long text in the middle; a BEGIN line there is kept with what stands before it."""
    if len(text) <= _HEAD + _TAIL:
        return text
    begin = text.rfind("-- BEGIN ", _HEAD, len(text) - _TAIL)
    lead = text[max(begin - _HEAD // 4, _HEAD) : begin + 100].rpartition("\n")[0] if begin >= 0 else ""
    return f"{text[:_HEAD]}\n{lead}\n{text[-_TAIL:].partition(chr(10))[2] or text[-_LINE:]}"


def _newlines(text: str) -> str:
    """Undo the escapes of a log that was written as one string."""
    escaped = text.count("\\n")
    if escaped < 2 or escaped <= text.count("\n"):
        return text
    return text.replace("\\n", "\n").replace("\\t", "\t").replace('\\"', '"')


def _undented(lines: Sequence[str]) -> list[str]:
    """Take from the lines of a listing what a logger put before each: a tab, a date, a host's name."""
    marked = [(found.start(), line) for line in lines if (found := _MARK.search(line))]
    column = min((start for start, _ in marked), default=0)  # notes quote instructions further right
    shapes = {_shape(line[:column]) for start, line in marked if start == column}
    alike = [column > 0 and _shape(line[:column]) in shapes for line in lines]
    if sum(alike) < 2:
        return list(lines)
    return [line[column:] if same else line for line, same in zip(lines, alike, strict=True)]


def _shape(prefix: str) -> str:
    return re.sub(r"\d", "0", prefix)


def _summary(line: str) -> tuple[str, str]:
    """Return (the loader's words, the log's) of a one-line summary; the whole line and "" of any other."""
    if output := _OUTPUT.search(line):
        return line[: output.end()], line[output.end() :]
    found = errnos.SENTENCE.search(line)
    if found is None or not line.startswith(": ", found.end()):
        return line, ""
    return line[: found.end()], line[found.end() + 2 :]


def _split(rest: str) -> tuple[str, ...]:
    """Split `14: (71) r4 = …: R1 invalid mem access 'inv'` into the log's two lines."""
    places = [found.start() for found in re.finditer(": ", rest)][:_MAX_SPLITS]
    for place in places:
        left, right = rest[:place], rest[place + 2 :]
        kind = line_kind(left)
        if kind in (LineKind.INSN, LineKind.STATE) and line_kind(right) is LineKind.TEXT:
            return left, right
        if kind is LineKind.SOURCE:
            return rest[: places[-1]], rest[places[-1] + 2 :]
    return (rest,)


def _reason_before(lines: Sequence[str], kinds: Sequence[LineKind], first: int) -> int:
    """Take the sentences in front of a log that has statistics only: the reason is among them."""
    if LineKind.INSN in kinds:
        return first
    while first and kinds[first - 1] is not LineKind.BLANK and not _is_loaders(lines[first - 1]):
        first -= 1
    return first


def _is_loaders(line: str) -> bool:
    """Whether a line is a loader's: it names an errno, or begins as loaders' lines do."""
    return bool(_LOADER.match(line) or errnos.of_line(line))
