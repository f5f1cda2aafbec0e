"""How a program of each type is loaded, as `data/probe/attempts.yaml` has it, on one kernel.

A kernel's BTF gives the numbers of what an attempt is attached to; the kernel itself says which attempts it
takes (`usable`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from harness.build import btftypes as kinds
from harness.catalog.yamlfile import load
from harness.features.documented import documented
from harness.features.objects.core import KernelTypes
from harness.features.probe.btfblob import Blob
from harness.features.probe.instructions import assemble
from harness.features.probe.loads import SLEEPABLE, Load, btf_call, load_call
from harness.features.types import FeatureKind
from harness.guest.calls import Call

DATA = Path(__file__).parents[1] / "data" / "probe"
# What the context of a program that is to be replaced is called, as the kernel compares the arguments' types.
_CONTEXTS = {"xdp": "xdp_md", "sched_cls": "__sk_buff", "kprobe": "bpf_user_pt_regs_t"}
# What the replaced programs do: since 6.12 nothing may change a packet in their place unless they do.
_BODIES = {
    "xdp": "r2 = 0\ncall 44\nr0 = 2\nexit",  # bpf_xdp_adjust_head
    "sched_cls": "r2 = 0\ncall 39\nr0 = 0\nexit",  # bpf_skb_pull_data
    "kprobe": "r0 = 0\nexit",
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way to load a program of a type; the fields are those of the file."""

    program_type: str
    number: int
    attach: str = ""
    function: str = ""
    typedef: str = ""
    struct: str = ""
    member: str = ""
    target: str = ""
    sleepable: bool = False
    only: str = ""  # "helpers" or "kfuncs": adds nothing for the others

    def words(self) -> str:
        """What makes it another attempt than the type's plain one, for evidence; may be empty."""
        place = self.function or self.typedef or (f"{self.struct}.{self.member}" if self.struct else "")
        parts = [self.attach.removeprefix("BPF_").lower(), place, self.target and f"replacing {self.target}"]
        return " ".join(filter(None, (*parts, "sleepable" if self.sleepable else "")))


@dataclass(frozen=True, slots=True)
class Placed:
    """An attempt with this kernel's numbers: what a load of such a program begins with."""

    attempt: Attempt
    load: Load


@cache
def attempts(path: Path = DATA / "attempts.yaml") -> tuple[Attempt, ...]:
    """All attempts in the file's order; UserError where it is against its schema."""
    schema = json.loads(path.with_suffix(".schema.json").read_text(encoding="utf-8"))
    found: Mapping[str, Any] = load(path, schema).data["types"]
    return tuple(
        Attempt(name, entry["number"], **fields)
        for name, entry in found.items()
        for fields in entry["attempts"]
    )


def program_types() -> dict[str, int]:
    """The program types with their numbers, in the order of the numbers."""
    return dict(sorted({a.program_type: a.number for a in attempts()}.items(), key=lambda item: item[1]))


class Prelude:
    """The calls every batch begins with: BTF, and the programs others replace."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.targets: dict[
            str, tuple[int, int, int]
        ] = {}  # target -> (program's call, BTF's call, function's id)
        for target, context in _CONTEXTS.items():
            blob = Blob()
            function = blob.program(context)
            btf = len(self.calls)
            code = assemble(_BODIES[target]).code
            load = Load(program_types()[target], code, btf=btf, functions=((0, function),), keep=True)
            self.calls += [btf_call(blob.blob()), load_call(load)]
            self.targets[target] = (btf + 1, btf, function)


def place(attempt: Attempt, types: KernelTypes | None, prelude: Prelude) -> Placed | None:
    """The attempt with this kernel's numbers; None where its BTF lacks what it is attached to."""
    number = attach_number(attempt.attach)
    flags = SLEEPABLE if attempt.sleepable else 0
    plain = Load(attempt.number, b"", attach_type=number, flags=flags)
    if attempt.target:
        program, btf, function = prelude.targets[attempt.target]
        load = replace(plain, attach_btf_id=function, target=program, btf=btf, functions=((0, function),))
        return Placed(attempt, load)
    if not (attempt.function or attempt.typedef or attempt.struct):
        return Placed(attempt, plain)
    found = _found(attempt, types) if types else None
    if found is None:
        return None
    btf_id, member = found
    attach = number if member is None else member
    return Placed(attempt, replace(plain, attach_type=attach, attach_btf_id=btf_id))


def attach_number(name: str) -> int:
    """The number of an attach type by its documented name; 0 for none."""
    if not name:
        return 0
    record = documented()[FeatureKind.ATTACH_TYPE, name]
    assert record.id is not None  # noqa: S101 - the data's own check
    return record.id


def _found(attempt: Attempt, types: KernelTypes) -> tuple[int, int | None] | None:
    """The BTF id an attempt names, and the number of its member."""
    for kind, name in (
        (kinds.FUNC, attempt.function),
        (kinds.TYPEDEF, attempt.typedef),
        (kinds.STRUCT, attempt.struct),
    ):
        if name:
            number = exact(types, kind, name)
            if number is None or kind != kinds.STRUCT:
                return None if number is None else (number, None)
            members = [member.name for member in types.btf.members(types.btf[number])]
            return (number, members.index(attempt.member)) if attempt.member in members else None
    return None


def exact(types: KernelTypes, kind: int, name: str) -> int | None:
    """The first type of exactly that kind and name."""
    numbers: Iterable[int] = types.by_name.get(kinds.essential_name(name), ())
    return next((n for n in numbers if types.btf.kind(n) == kind and types.btf.name(n) == name), None)
