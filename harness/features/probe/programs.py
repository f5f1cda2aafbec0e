"""Programs that show a feature, each beside one without it, and the verifier's words: `programs.yaml`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from harness.build import btftypes as kinds
from harness.features.probe.asked import checked
from harness.features.probe.attempts import Placed, attach_number, exact, program_types
from harness.features.probe.commands import drop_calls
from harness.features.probe.instructions import assemble
from harness.features.probe.loads import Load
from harness.features.probe.stock import Stock, with_functions
from harness.features.probe.subject import BRIEF, NO_ANSWER, Subject
from harness.features.probe.words import LOOKED_AT, unread
from harness.features.types import Finding, Method, Support, evidence
from harness.guest.calls import Call, Called

_FILL = re.compile(r"^\s*fill (\d{1,5})$", re.MULTILINE)
_TYPE_NUMBER = re.compile(r"\{(\w+)\}")
_KFUNC = re.compile(r"call kfunc (\w+)")
_LISTING = 2  # log level at which the words about an accepted program are kept


@dataclass(frozen=True, slots=True)
class Program:
    """A program that shows a feature; the fields are those of the file."""

    program: str
    type: str = "socket_filter"
    attach: str = ""
    sleepable: bool = False
    control: str = ""
    yes: str = ""
    no: str = ""
    log: str = ""
    errno: str = ""
    accepted: bool = True
    without: int | None = None
    also: tuple[str, ...] = ()
    functions: Mapping[str, str] = field(default_factory=dict)
    control_functions: Mapping[str, str] = field(default_factory=dict)


@cache
def programs() -> dict[str, Program]:
    """All of them, by the feature they show."""
    rows = checked("programs.yaml")["programs"]
    made = {name: Program(**{**row, "also": tuple(row.get("also", ()))}) for name, row in rows.items()}
    return made | {other: program for program in made.values() for other in program.also}


class _Missing(Exception):  # noqa: N818 - says what happened; it becomes a finding
    """What a program would be made of is not in this kernel."""


def program_findings(subject: Subject) -> dict[str, Finding]:
    """What loading each program says of its feature."""
    found: dict[str, Finding] = {}
    for without in sorted({one.without for one in programs().values()}, key=lambda one: one is not None):
        some = {name: one for name, one in programs().items() if one.without == without}
        found |= _together(subject, some, () if without is None else drop_calls(without))
    return found


def _together(subject: Subject, wanted: Mapping[str, Program], first: Sequence[Call]) -> dict[str, Finding]:
    """Ask for some programs in one batch, behind `first` calls."""
    stock = Stock(len(subject.prelude.calls))
    found: dict[str, Finding] = {}
    loads: list[Load] = []
    asked: list[tuple[str, Program]] = []
    for name, program in wanted.items():
        try:
            made = _load(subject, stock, program, program.program, program.functions)
            functions = program.control_functions or program.functions
            control = _load(subject, stock, program, program.control or program.program, functions)
        except _Missing as missing:
            found[name] = Finding(Support.UNKNOWN, Method.NONE, evidence(str(missing)))
            continue
        loads += [made, control]
        asked.append((name, program))
    answers = subject.ask(loads, [*stock.calls, *first])
    for at, (name, program) in enumerate(asked):
        found[name] = judged_program(program, answers[at * 2], answers[at * 2 + 1])
    return found


def judged_program(program: Program, called: Called, control: Called) -> Finding:
    """What the verifier's answer to a program, and to its control, says."""
    log = called.log[:LOOKED_AT]
    if called.errno is None and program.accepted:
        line = _line(program.log, log)
        if program.log and line is None:
            words = "accepted, but its log does not tell that it was taken for what it is"
            return Finding(Support.UNKNOWN, Method.NONE, words)
        return Finding(Support.YES, Method.VERIFIER, evidence(line or "a program with it is accepted"))
    said = _line(program.yes, log)
    if said is not None:
        return Finding(Support.YES, Method.VERIFIER, evidence(said))
    lacking = _line(program.no, log) or (
        called.errno if called.errno and called.errno == program.errno else None
    )
    if lacking is None or called.errno == NO_ANSWER:
        return Finding(Support.UNKNOWN, Method.NONE, evidence(unread(called)))
    if program.control and control.errno:
        words = f"{lacking}; without it: {unread(control)}"
        return Finding(Support.UNKNOWN, Method.NONE, evidence(words))
    return Finding(Support.NO, Method.VERIFIER, evidence(lacking))


def _line(pattern: str, log: str) -> str | None:
    """The line in which a pattern is found; None for no pattern and for none found."""
    match = re.search(pattern, log, re.MULTILINE) if pattern else None
    return log[match.start() :].partition("\n")[0] if match else None


def _load(subject: Subject, stock: Stock, program: Program, text: str, functions: Mapping[str, str]) -> Load:
    placed = _placed(subject, program)
    names = _numbers(subject, text)
    text = _FILL.sub(lambda m: "\n".join(["r0 = 0"] * int(m[1])), text)
    text = _TYPE_NUMBER.sub(lambda m: str(_number(subject, kinds.STRUCT, m[1])), text)
    done = assemble(text, names)
    load = replace(
        placed.load,
        code=done.code,
        log_level=_LISTING if program.log else BRIEF,
        maps=tuple((at, stock.maps[name]) for at, name in done.maps.items()),
    )
    wanted = {label: name for label, name in functions.items() if label == "main" or label in done.labels}
    return with_functions(load, dict(done.labels), wanted, stock) if wanted else load


def _placed(subject: Subject, program: Program) -> Placed:
    if program.type in subject.refused:
        raise _Missing(f"{program.type}: {subject.refused[program.type].evidence}")
    usable = subject.usable[program.type]
    if program.attach:
        number = attach_number(program.attach)
        return replace(usable[0], load=Load(program_types()[program.type], b"", attach_type=number))
    for placed in usable:
        if placed.attempt.sleepable == program.sleepable:
            return placed
    raise _Missing(
        f"no {program.type} program that may {'' if program.sleepable else 'not '}sleep can be loaded"
    )


def _numbers(subject: Subject, text: str) -> dict[str, int]:
    """The BTF ids of the names in a program: kernel functions, a variable, and `nothing`, which is none."""
    names = {"nothing": 1}
    for name in _KFUNC.findall(text):
        if name != "nothing" and name not in subject.functions:
            raise _Missing(f"no function {name} in the kernel's BTF")
        names.setdefault(name, subject.functions.get(name, 1))
    if "= type variable" in text:
        names["variable"] = _variable(subject)
    return names


def _variable(subject: Subject) -> int:
    btf = subject.types.btf if subject.types else None
    found = next((n for n in range(1, len(btf)) if btf.kind(n) == kinds.VAR), None) if btf else None
    return 1 if found is None else found  # not a variable, which a kernel that knows them says


def _number(subject: Subject, kind: int, name: str) -> int:
    number = exact(subject.types, kind, name) if subject.types else None
    if number is None:
        raise _Missing(f"no {kinds.KIND_NAMES[kind]} {name} in the kernel's BTF")
    return number
