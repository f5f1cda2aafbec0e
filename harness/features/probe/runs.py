"""Flags of helpers that a running program tries: section `runs` of `data/probe/programs.yaml`."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from harness.features.probe.asked import checked
from harness.features.probe.attempts import program_types
from harness.features.probe.batch import answers
from harness.features.probe.commands import Cmd, Memory, Result, bpf_call, number, socket_call
from harness.features.probe.instructions import assemble
from harness.features.probe.loads import Load, load_call
from harness.features.probe.stock import Stock, with_functions
from harness.features.probe.subject import Subject
from harness.features.probe.words import unread
from harness.features.types import Finding, Method, Support, evidence
from harness.guest.calls import Call, Called, PatchKind, Sys, argument

_INET, _STREAM, _LISTEN = 2, 1, 50
_PORT = 0x1234  # 4660
_LIMIT_S = 30.0
_RETURNED_AT = 4  # retval of BPF_PROG_TEST_RUN in union bpf_attr
_KNOWN, _NOT_KNOWN = 1, 2


@dataclass(frozen=True, slots=True)
class Run:
    """A program that is run; `functions` as of programs that are only loaded."""

    program: str
    functions: Mapping[str, str]


@cache
def runs() -> dict[str, Run]:
    """All of them, by the feature they show."""
    rows = checked("programs.yaml")["runs"]
    return {name: Run(row["program"], row.get("functions", {})) for name, row in rows.items()}


def run_findings(subject: Subject) -> dict[str, Finding]:
    """What each program returned, and what that says."""
    stock = Stock(0)
    calls = [*stock.calls, *_listener(len(stock.calls))]
    first = len(calls)
    for run in runs().values():
        calls += [load_call(_load(run, stock)), _test_run(len(calls))]
    called = answers(subject, calls, _LIMIT_S)[first:]
    return {name: returned(called[at * 2 : at * 2 + 2]) for at, name in enumerate(runs())}


def returned(called: tuple[Called, ...]) -> Finding:
    """What the answers to a load and a run say."""
    error = next((one for one in called if one.errno), None)
    if error is not None or len(called) < 2:
        words = unread(error) if error else "no answer"
        return Finding(Support.UNKNOWN, Method.NONE, evidence(f"a program that tries it: {words}"))
    (value,) = struct.unpack_from("<I", called[1].out, _RETURNED_AT)
    if value == _KNOWN:
        return Finding(Support.YES, Method.CALLED, "a running program uses it")
    if value == _NOT_KNOWN:
        return Finding(Support.NO, Method.CALLED, "the helper answers EINVAL to it, and 0 without it")
    return Finding(Support.UNKNOWN, Method.NONE, f"a program that tries it returned {value}")


def _load(run: Run, stock: Stock) -> Load:
    done = assemble(run.program)
    maps = tuple((at, stock.maps[name]) for at, name in done.maps.items())
    load = Load(program_types()["sched_cls"], done.code, maps=maps, keep=True)
    return with_functions(load, dict(done.labels), dict(run.functions), stock) if run.functions else load


def _test_run(program: int) -> Call:
    fields = {0: Result(program), 8: number(64), 16: Memory(bytes(64)), 32: number(1)}
    return bpf_call(Cmd.PROG_TEST_RUN, fields, out=0)


def _listener(socket: int) -> list[Call]:
    """A socket that listens to a port of all addresses."""
    address = struct.pack("<HHI8x", _INET, struct.unpack("<H", struct.pack(">H", _PORT))[0], 0)
    of_socket = argument(0, PatchKind.RESULT, socket)
    return [
        socket_call(_INET, _STREAM),
        Call(Sys.BIND, (0, 0, len(address)), (address,), (of_socket, argument(1))),
        Call(_LISTEN, (0, 1), (), (of_socket,)),
    ]
