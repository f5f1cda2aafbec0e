"""What a case does after it is loaded, and what is asserted of it: the types every room shares.

A scenario is a list of steps the agent carries out in the case's own process; each gives a result, and the
checks are judged from the recorded results alone, so an old run can be judged again. Imports nothing of ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum


class StepOp(IntEnum):
    """What a step does; the numbers are the wire's (PROTOCOL.md, "Scenario")."""

    SET = 1
    LOAD = 2
    ATTACH = 3
    DETACH = 4
    TRIGGER = 5
    TEST_RUN = 6
    UPDATE = 7
    LOOKUP = 8
    DELETE = 9
    FILL = 10
    COUNT = 11
    READ = 12
    RING = 13
    PERF_OPEN = 14
    PERF = 15
    FACT = 16
    PREFLIGHT = 17
    ENV = 18


class Behaviour(StrEnum):
    """What a program did once it ran, measured against its checks."""

    BEHAVES = "behaves"
    MISBEHAVES = "misbehaves"


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `name` is a program, map, global variable, trigger, fact or surrounding, by the op."""

    op: StepOp
    name: str = ""
    label: str = ""  # `as`: the name its result is known by
    key: bytes = b""
    value: bytes = b""
    fact: str = ""  # SET: let the agent fill in what it knows by this name, instead of `value`
    flags: int = 0
    count: int = 1  # times, repeat, pages
    args: tuple[str, ...] = ()  # attach target, path, argv, …
    time_limit_s: float = 5.0
    may_fail: bool = False  # an errno is recorded and the scenario goes on
    line: int = field(default=0, compare=False)  # of the manifest, for messages


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step gave; steps after a failed one have none."""

    index: int  # of the step, from 0
    errno: str | None = None  # None: fine
    message: str = ""
    values: tuple[bytes, ...] = ()
    numbers: tuple[int, ...] = ()  # in the order `number_names` gives
    omitted: int = 0  # bytes of values a run file has no room for


# The names of a result's numbers, by op.
NUMBERS: dict[StepOp, tuple[str, ...]] = {
    StepOp.TRIGGER: ("done", "failed"),
    StepOp.TEST_RUN: ("retval", "duration_ns"),
    StepOp.FILL: ("inserted", "failed", "first_errno"),
    StepOp.COUNT: ("entries",),
    StepOp.RING: ("records", "bytes"),
    StepOp.PERF_OPEN: ("bytes", "cpus", "pages"),
    StepOp.PERF: ("records", "lost", "bytes"),
    StepOp.PREFLIGHT: ("start",),
}

# What a trigger or a fact has beyond those of its op.
MORE_NUMBERS: dict[tuple[StepOp, str], tuple[str, ...]] = {
    (StepOp.TRIGGER, "fork"): ("child",),
    (StepOp.TRIGGER, "execve"): ("child",),
    (StepOp.TRIGGER, "tcp"): ("port", "client_port"),
    (StepOp.TRIGGER, "udp"): ("port", "client_port"),
    (StepOp.TRIGGER, "move_context"): ("signal",),
    (StepOp.TRIGGER, "concurrent"): ("updates",),
    (StepOp.FACT, "bpf_ids"): ("programs", "maps", "links", "btfs"),
    (StepOp.FACT, "leftovers"): ("processes", "cgroups", "mounts", "files", "pins"),
}

# Built-in actions of the guest's agent, facts it knows, what it can change around a case (PROTOCOL.md).
TRIGGERS = (
    *("mkdirat", "unlink", "openat", "getppid", "flood", "sleep", "hang", "cgroup_enter", "fork", "execve"),
    *("tcp", "udp", "user_function", "nested", "move_context", "concurrent"),
)
FACTS = (
    *("tgid", "pid", "pid_tgid", "ppid", "uid", "gid", "uid_gid", "comm", "pid_ns_inum", "mnt_ns_inum"),
    *("net_ns_inum", "cgroup_id", "cgroup_path", "cgroup_name", "cpus", "page_size", "ktime_ns", "boot_ns"),
    *("release", "lockdown", "unprivileged_bpf_disabled", "bpf_ids", "leftovers"),
)
SURROUNDINGS = (
    *("no_btf", "drop_caps", "unprivileged", "unprivileged_disabled", "unprivileged_enabled"),
    *("lockdown_integrity", "lockdown_confidentiality", "small_memlock"),
)
IRREVERSIBLE = ("lockdown_integrity", "lockdown_confidentiality")  # the guest stays so: it must be disposable
ATTACH_TARGETS = (
    *("kprobe", "kretprobe", "kprobe_session", "uprobe", "uretprobe", "uprobe_ret", "uprobe_session"),
    *("tracepoint", "raw_tp", "cgroup", "perf"),
)


def number_names(op: StepOp, name: str) -> tuple[str, ...]:
    """The names of the numbers a step of `op` on `name` gives, in their order."""
    return NUMBERS.get(op, ()) + MORE_NUMBERS.get((op, name), ())


class CheckKind(StrEnum):
    """How a check compares."""

    EQUALS = "equals"  # an integer, or an errno name for `.errno`
    EQUALS_VALUE = "equals_value"  # another result
    RANGE = "range"  # at_least and/or at_most
    TEXT = "text"  # NUL-terminated
    BYTES = "bytes"
    CONTAINS_TEXT = "contains_text"


@dataclass(frozen=True, slots=True)
class Check:
    """One assertion about a result; `value` names it (`hits`, `upd.errno`, `ev.records`, `ev.values.0`)."""

    value: str
    kind: CheckKind
    want: str = ""  # of every kind but RANGE, as text: "3", "ENOENT", "other", "pod1", "6162"
    at_least: int | None = None
    at_most: int | None = None
    offset: int = 0  # a piece of the bytes
    type: str = ""  # u8 … s64 for that piece; "": the whole value, as long as it is
    why: str = ""
    kernels: str = "*"  # a version range; elsewhere nothing is asserted


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A check measured: what was wanted, what came."""

    value: str
    want: str
    got: str
    holds: bool
    why: str = ""
