"""The calls that attach a program: BPF_PROG_ATTACH, BPF_PROG_DETACH, BPF_LINK_CREATE."""

from __future__ import annotations

from collections.abc import Mapping

from harness.features.probe.attempts import attach_number, program_types
from harness.features.probe.batch import Script
from harness.features.probe.commands import Cmd, Field, Result, bpf_call, number
from harness.features.probe.instructions import assemble
from harness.features.probe.loads import Load, load_call
from harness.guest.calls import Call


def load_to_attach(script: Script, type_: str, attach: str = "", result: int = 1) -> int:
    """Append a program that is kept and returns `result`; its number in the batch."""
    code = assemble(f"r0 = {result}\nexit").code
    load = Load(program_types()[type_], code, attach_type=attach_number(attach), keep=True)
    return script.add(load_call(load))


def attach_call(target: Field, program: int, attach: str, flags: int = 0, **more: Field) -> Call:
    """BPF_PROG_ATTACH; `replace` and `relative` are the fields behind the flags."""
    fields: dict[int, Field] = {
        0: target,
        4: Result(program),
        8: number(attach_number(attach)),
        12: number(flags),
    }
    fields |= {{"replace": 16, "relative": 20}[name]: value for name, value in more.items()}
    return bpf_call(Cmd.PROG_ATTACH, fields)


def detach_call(target: Field, program: int, attach: str) -> Call:
    """BPF_PROG_DETACH."""
    fields: dict[int, Field] = {0: target, 4: Result(program), 8: number(attach_number(attach))}
    return bpf_call(Cmd.PROG_DETACH, fields)


def link_call(target: Field, program: int, attach: str, more: Mapping[int, Field] | None = None) -> Call:
    """BPF_LINK_CREATE; what is special to a kind of links begins at 16."""
    fields: dict[int, Field] = {0: Result(program), 4: target, 8: number(attach_number(attach))}
    return bpf_call(Cmd.LINK_CREATE, {**fields, **(more or {})})
