"""What `bpfmatrix check FILE` says, as tables for a terminal and as JSON. Pure."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.features.documented import documented
from harness.features.objects.judge import Basis, Judgement, UseAnswer
from harness.features.objects.loaded import Loaded
from harness.features.objects.minimum import Lowest, Minimum
from harness.features.objects.uses import Necessity, ObjectUses, Use, UseKind
from harness.features.types import Support
from harness.verdict.text import one_line

SCHEMA = 1
NARROWEST = 60
_SIGNS = {Support.YES: "yes", Support.NO: "no", Support.UNKNOWN: "?"}
_STYLES = {Support.YES: "green", Support.NO: "bold red", Support.UNKNOWN: "yellow"}
_HIDDEN = frozenset({UseKind.BTF_KIND})  # told in one line, as libbpf takes care of them
_LEGEND = "  (yes), (no): documented, not measured. ?: unknown. ·: its guard leads past it there."
_RELOCATIONS_SHOWN = 6  # of those that resolve everywhere


@dataclass(frozen=True, slots=True)
class ObjectReport:
    """Everything found out about one file. `problem`: why it could not be read or built, "" when it was."""

    path: str
    uses: ObjectUses | None = None
    judgements: tuple[Judgement, ...] = ()
    minimum: Minimum | None = None
    loads: Mapping[str, Loaded] = field(default_factory=dict)
    problem: str = ""

    @property
    def support(self) -> Support:
        """Of all kernels asked for: no if one lacks something, yes only if all have everything.

        Where the object was loaded for this question, that decides.
        """
        supports = [self.final(judgement) for judgement in self.judgements]
        if self.problem or not supports:
            return Support.UNKNOWN
        if Support.NO in supports:
            return Support.NO
        return Support.UNKNOWN if Support.UNKNOWN in supports else Support.YES

    def final(self, judgement: Judgement) -> Support:
        """A kernel's answer: what it did with the object, else what the facts say."""
        loaded = self.loads.get(judgement.kernel)
        if loaded is not None and loaded.support is not Support.UNKNOWN:
            return loaded.support
        return judgement.support


def render(reports: Sequence[ObjectReport], width: int = 100, *, color: bool = False) -> str:
    """The reports as text, no line wider than `width`."""
    out = io.StringIO()
    console = Console(
        file=out,
        width=max(width, NARROWEST),
        force_terminal=color,
        color_system="standard" if color else None,
        legacy_windows=False,
        highlight=False,
        markup=False,
        emoji=False,
    )
    for at, report in enumerate(reports):
        if at:
            console.print()
        _print(report, console)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def one_liner(report: ObjectReport) -> str:
    """One line: the answer and why; for a loader's preflight."""
    if report.problem:
        return f"{report.path}: unknown — {one_line(report.problem, 300)}"
    worst = next((j for j in report.judgements if report.final(j) is report.support), None)
    return (
        f"{report.path}: {report.support} — {one_line(worst.reason if worst else 'nothing was asked', 300)}"
    )


def _print(report: ObjectReport, console: Console) -> None:
    if report.uses is None:
        console.print(Text(f"{report.path}: {report.problem}"))
        return
    console.print(Text(_head(report.path, report.uses), style="bold"))
    for note in report.uses.notes:
        console.print(Text(f"  note: {one_line(note, 400)}"))
    if report.minimum is not None:
        _print_minimum(report.minimum, console)
    for judgement in report.judgements:
        _print_verdict(report, judgement, console)
    for part in _parts(report.judgements):
        for table in _tables(report.uses, part):
            console.print(table)
    _print_rest(report, console)


def _head(path: str, uses: ObjectUses) -> str:
    counts = uses.counts or {}
    words = [_count(counts.get("programs", 0), "program"), _count(counts.get("maps", 0), "map")]
    if counts.get("relocations"):
        words.append(_count(counts["relocations"], "CO-RE relocation"))
    return f"{path}: {', '.join(words)}, instruction set v{uses.isa}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _print_minimum(minimum: Minimum, console: Console) -> None:
    lines = (
        ("lowest that documents everything", minimum.documented),
        ("lowest measured to have everything", minimum.measured),
        ("lowest on which it was loaded", minimum.loaded),
    )
    for words, lowest in lines:
        console.print(Text(f"  {words}: {_lowest(lowest)}"))


def _lowest(lowest: Lowest) -> str:
    return f"{lowest.kernel or 'none'} ({one_line(lowest.reason, 300)})"


def _print_verdict(report: ObjectReport, judgement: Judgement, console: Console) -> None:
    text = Text("  ")
    text.append(f"{judgement.title}: ")
    text.append(str(judgement.support), style=_STYLES[judgement.support])
    text.append(f" — {one_line(judgement.reason, 300)}")
    console.print(text)
    loaded = report.loads.get(judgement.kernel)
    if loaded is not None:
        line = Text("    loaded there: ")
        line.append(str(loaded.support), style=_STYLES[loaded.support])
        line.append(f" — {loaded.reason}")
        console.print(line)


def _parts(judgements: Sequence[Judgement], most: int = 6) -> Iterator[Sequence[Judgement]]:
    """Kernels in tables of at most `most` columns."""
    if not judgements:
        yield ()
    for start in range(0, len(judgements), most):
        yield judgements[start : start + most]


def _tables(uses: ObjectUses, judgements: Sequence[Judgement]) -> Iterator[Table]:
    for program in ("", *dict.fromkeys(program.name for program in uses.programs)):
        rows = [use for use in uses.uses if use.program == program and use.key.kind not in _HIDDEN]
        rows = _fewer_relocations(rows, judgements)
        if rows:
            yield _table(_title(uses, program), rows, judgements)


def _title(uses: ObjectUses, name: str) -> str:
    program = next((each for each in uses.programs if each.name == name), None)
    if program is None:
        return "the object as a whole"
    words = f"SEC {program.section[:60]!r}, {_count(program.instructions, 'instruction')}"
    return f"{_printable(name)} ({words})"


def _printable(name: str) -> str:
    """A name out of a file somebody else made, harmless for a terminal."""
    return "".join(sign if sign.isprintable() else "�" for sign in name[:200])


def _table(title: str, uses: Sequence[Use], judgements: Sequence[Judgement]) -> Table:
    table = Table(title=title, title_justify="left", title_style="", box=None, pad_edge=False, expand=False)
    table.add_column("  feature", overflow="fold", ratio=None)
    table.add_column("since", no_wrap=True)
    for judgement in judgements:
        table.add_column(judgement.kernel[:16], no_wrap=True)
    table.add_column("", overflow="fold")
    for use in uses:
        cells = [_cell(_answer(judgement, use)) for judgement in judgements]
        name = f"&{use.key.name}" if use.key.kind is UseKind.KSYM else use.key.name
        table.add_row(Text(f"  {_printable(name)}"), _since(use), *cells, Text(_remark(use)))
    return table


def _answer(judgement: Judgement, use: Use) -> UseAnswer:
    return next(answer for answer in judgement.answers if answer.use is use)


def _cell(answer: UseAnswer) -> Text:
    """Yes, no or ?, in brackets where only documents say so; a dot where control never gets there."""
    if not answer.reached:
        return Text("·", style="dim")
    word = _SIGNS[answer.support]
    if answer.basis == Basis.DOCUMENTED:
        word = f"({word})"
    return Text(word, style=_STYLES[answer.support] if answer.counts else "dim")


def _since(use: Use) -> str:
    kind = use.key.kind.feature
    record = documented().get((kind, use.key.name)) if kind else None
    return record.since if record else ""


def _remark(use: Use) -> str:
    if use.necessity is Necessity.OPTIONAL:
        return f"optional: {one_line(use.why, 120)}"
    return one_line(use.why, 120)


def _fewer_relocations(uses: Sequence[Use], judgements: Sequence[Judgement]) -> list[Use]:
    """Relocations that resolve on all kernels are said in the first few rows only."""
    kept: list[Use] = []
    shown = 0
    for use in uses:
        plain = use.key.kind is UseKind.CORE and all(
            _answer(judgement, use).support is Support.YES for judgement in judgements
        )
        shown += plain
        if not plain or shown <= _RELOCATIONS_SHOWN:
            kept.append(use)
    return kept


def _print_rest(report: ObjectReport, console: Console) -> None:
    uses = report.uses
    assert uses is not None  # noqa: S101 - asked by the caller
    kinds = [use.key.detail for use in uses.uses if use.key.kind is UseKind.BTF_KIND]
    if kinds:
        words = f"  BTF kinds {', '.join(kinds)}: libbpf leaves out or replaces what a kernel does not know"
        console.print(Text(words))
    if report.judgements:
        console.print(Text(_LEGEND))


def to_json(reports: Sequence[ObjectReport]) -> str:
    """The reports for machines; `docs/check-objects.md` describes the fields."""
    data = {"schema": SCHEMA, "objects": [_data(report) for report in reports]}
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"


def _data(report: ObjectReport) -> dict[str, object]:
    uses = report.uses
    if uses is None:
        return {"path": report.path, "support": "unknown", "problem": report.problem}
    return {
        "path": report.path,
        "sha256": uses.sha256,
        "support": str(report.support),
        "isa": uses.isa,
        "counts": dict(uses.counts or {}),
        "notes": list(uses.notes),
        "programs": [
            {
                "name": program.name,
                "section": program.section,
                "program_type": program.program_type or None,
                "attach_type": program.attach_type or None,
                "instructions": program.instructions,
                "autoload": program.autoload,
            }
            for program in uses.programs
        ],
        "uses": [_use_data(use) for use in uses.uses],
        "minimum": _minimum_data(report.minimum),
        "kernels": [_kernel_data(report, judgement) for judgement in report.judgements],
    }


def _use_data(use: Use) -> dict[str, object]:
    return {
        "kind": str(use.key.kind),
        "name": use.key.name,
        "detail": use.key.detail,
        "program": use.program or None,
        "program_type": use.program_type or None,
        "necessity": str(use.necessity),
        "needed_to": str(use.check),
        "why": use.why,
        "places": list(use.places),
        "since": _since(use) or None,
    }


def _minimum_data(minimum: Minimum | None) -> dict[str, object] | None:
    if minimum is None:
        return None
    return {
        name: {"kernel": lowest.kernel, "reason": lowest.reason}
        for name, lowest in (
            ("documented", minimum.documented),
            ("measured", minimum.measured),
            ("loaded", minimum.loaded),
        )
    }


def _kernel_data(report: ObjectReport, judgement: Judgement) -> dict[str, object]:
    loaded = report.loads.get(judgement.kernel)
    return {
        "kernel": judgement.kernel,
        "title": judgement.title,
        "support": str(report.final(judgement)),
        "by_facts": str(judgement.support),
        "measured": judgement.measured,
        "reason": judgement.reason,
        "loaded": loaded and {"support": str(loaded.support), "reason": loaded.reason, "when": loaded.when},
        "guards": [{"guard": text, "holds": holds} for text, holds in judgement.guards],
        "answers": [
            {
                "support": str(answer.support),
                "basis": answer.basis,
                "reason": answer.reason,
                "counts": answer.counts,
                "reached": answer.reached,
            }
            for answer in judgement.answers
        ],
    }
