"""The text of a baseline file: one line per case of one kernel, made to be reviewed in a diff. Pure.

A line has nine columns: case, answer, cause, behaviour, instructions, verification time, hash of the
source, hash of the object, and the number of the circumstances it was measured under, which stand in the
head (docs/compare.md). `-` stands for nothing.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from itertools import groupby
from pathlib import Path
from urllib.parse import quote, unquote

from harness.errors import UserError
from harness.model import Origin, Outcome, Stage, VerdictKind
from harness.record.snapshot import Answer, CaseRecord, Circumstances
from harness.scenario import Behaviour

SCHEMA = 1
_TITLE = re.compile(r"# bpfmatrix baseline (\d+)")
_KERNEL = re.compile(r"# kernel (\S+)")
_MEASURED = re.compile(r"# measured (\d+): (\{.*\})")
_COLUMNS = ("answer", "cause", "behaviour", "insns", "time", "source", "object", "measured")
_WIDTHS = (22, 24, 10, 6, 9, 12, 12, 1)  # of the columns after the case; a longer cell takes what it needs
_NOTHING = "-"
_SAFE = (
    "/[]@+,=:()<>&*.~^!;|'\"?$"  # what ids hold; blanks, controls, # and the escape itself are written as %XX
)
_ANEW = "write it anew: bpfmatrix run, then bpfmatrix baseline update"
_ABNORMAL = (Outcome.CRASH, Outcome.HANG, Outcome.SPLAT)


def dump(kernel: str, records: Iterable[CaseRecord]) -> str:
    """Write the baseline of `kernel`: cases in natural order, aligned within a program.

    The circumstances most cases share are number 1, so that measuring everything again changes the head
    and not every line.
    """
    ordered = sorted(records, key=lambda item: natural(item.case))
    numbers = _numbered(item.under for item in ordered)
    lines = [
        f"# bpfmatrix baseline {SCHEMA}",
        "# Moved by `bpfmatrix baseline update` and nothing else; docs/compare.md says what the columns are.",
        f"# kernel {_written(kernel)}",
    ]
    lines += [f"# measured {number}: {_circumstances(under)}" for under, number in numbers.items()]
    lines += ["#", f"# case | {' | '.join(_COLUMNS)}"]
    for _, group in groupby(ordered, key=lambda item: item.case.partition("[")[0]):
        rows = [(_written(item.case), *_cells(item, numbers)) for item in group]
        lines += ["", *_aligned(rows)]
    return "\n".join(lines) + "\n"


def load(text: str, path: Path) -> tuple[str, tuple[CaseRecord, ...]]:
    """Return the kernel's name and the records of a baseline; UserError with the line for anything else."""
    kernel = ""
    measured: dict[str, Circumstances] = {}
    records: list[CaseRecord] = []
    _check_schema(text, path)
    for number, line in enumerate(text.splitlines(), 1):
        try:
            if match := _KERNEL.fullmatch(line):
                kernel = unquote(match[1], errors="surrogatepass")
            elif match := _MEASURED.fullmatch(line):
                measured[match[1]] = _read_circumstances(match[2])
            elif line.strip() and not line.startswith("#"):
                records.append(_read_line(line, kernel, measured))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"not a line of a baseline: {error}",
                where=Origin(path, number),
                hint="git checkout the file, or make it again: bpfmatrix baseline update",
            ) from error
    return kernel, tuple(records)


def schema_of(text: str, path: Path) -> int:
    """Return a baseline's schema; UserError for a text that is none, and for one of a newer schema."""
    match = _TITLE.fullmatch(text.partition("\n")[0])
    where = Origin(path, 1)
    if match is None:
        raise UserError("not a baseline: the first line does not say so", where=where, hint=_ANEW)
    if int(match[1]) > SCHEMA:
        raise UserError(
            f"a baseline of schema {match[1]}; this version knows schemas up to {SCHEMA}",
            where=where,
            hint="use the bpfmatrix that wrote it, or a newer one",
        )
    return int(match[1])


def _check_schema(text: str, path: Path) -> None:
    schema = schema_of(text, path)
    if schema < SCHEMA:
        what = f"a baseline of schema {schema}, which says too little; this version reads schema {SCHEMA}"
        raise UserError(what, where=Origin(path, 1), hint=_ANEW)


def natural(text: str) -> list[tuple[int, int, str]]:
    """A sort key under which 4095 comes before 12288."""
    parts = re.split(r"(\d+)", text)
    return [(1, int(part), part) if part.isdecimal() else (0, 0, part) for part in parts]


def _numbered(circumstances: Iterable[Circumstances]) -> dict[Circumstances, int]:
    common = Counter(circumstances).most_common()
    return {under: number for number, (under, _) in enumerate(common, 1)}


def _circumstances(under: Circumstances) -> str:
    return json.dumps({key: value for key, value in asdict(under).items() if value})


def _read_circumstances(text: str) -> Circumstances:
    raw = json.loads(text)
    known = {field.name for field in fields(Circumstances)}
    return Circumstances(**{key: str(value) for key, value in raw.items() if key in known})


def _cells(item: CaseRecord, numbers: Mapping[Circumstances, int]) -> tuple[str, ...]:
    return (
        _answer(item.answer),
        item.answer.cause or _NOTHING,
        item.answer.behaviour.value if item.answer.behaviour else _NOTHING,
        _NOTHING if item.insns is None else str(item.insns),
        _NOTHING if item.time_us is None else f"{item.time_us}us",
        item.source or _NOTHING,
        item.object or _NOTHING,
        str(numbers[item.under]),
    )


def _answer(answer: Answer) -> str:
    if answer.abnormal is not None:
        return answer.abnormal.value
    if answer.verdict is not VerdictKind.REJECT:
        return answer.verdict.value
    stage = answer.stage.value if answer.stage else _NOTHING
    return f"{answer.verdict.value}/{stage}/{answer.errno or _NOTHING}"


def _read_line(line: str, kernel: str, measured: Mapping[str, Circumstances]) -> CaseRecord:
    cells = line.split()
    if len(cells) != len(_COLUMNS) + 1:
        raise ValueError(f"it has {len(cells)} columns, not {len(_COLUMNS) + 1}")
    case, answer, cause, behaviour, insns, time, source, built, under = cells
    if under not in measured:
        raise ValueError(f"the head has no 'measured {under}'")
    return CaseRecord(
        case=unquote(case, errors="surrogatepass"),
        kernel=kernel,
        answer=_read_answer(answer, _or_none(cause), _or_none(behaviour)),
        insns=_number(insns),
        time_us=_number(time.removesuffix("us")),
        source=_or_none(source) or "",
        object=_or_none(built) or "",
        under=measured[under],
    )


def _read_answer(text: str, cause: str | None, behaviour: str | None) -> Answer:
    if text in _ABNORMAL:
        return Answer(VerdictKind.NONE, cause=cause, abnormal=Outcome(text))
    verdict, *rest = text.split("/")
    stage, errno = (_or_none(part) for part in (rest or [_NOTHING, _NOTHING]))
    return Answer(
        VerdictKind(verdict),
        Stage(stage) if stage else None,
        errno,
        cause,
        Behaviour(behaviour) if behaviour else None,
    )


def _or_none(cell: str) -> str | None:
    return None if cell == _NOTHING else cell


def _number(cell: str) -> int | None:
    return None if cell == _NOTHING else int(cell)


def _written(text: str) -> str:
    return quote(text, safe=_SAFE, errors="surrogatepass")


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Only the ids decide about alignment: one longer answer must not change its neighbours' lines."""
    longest = max(len(row[0]) for row in rows)
    for row in rows:
        cells = zip(row, (longest, *_WIDTHS), strict=True)
        yield "  ".join(cell.ljust(width) for cell, width in cells).rstrip()
