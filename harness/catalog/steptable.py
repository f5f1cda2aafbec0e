"""What a scenario can say: actions, triggers, facts, surroundings and attach targets. Data only.

`docs/scenarios.md` explains every word; what the guest does for each is in harness/guest/PROTOCOL.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.scenario import StepOp

# Types of numbers in bytes: size, signed, byte order.
INTEGERS: Mapping[str, tuple[int, bool, bool]] = {
    **{f"u{8 * size}": (size, False, True) for size in (1, 2, 4, 8)},
    **{f"s{8 * size}": (size, True, True) for size in (1, 2, 4, 8)},
    **{f"be{8 * size}": (size, False, False) for size in (2, 4, 8)},  # as packets and LPM keys have them
}
VALUE_TYPES = (*INTEGERS, "text", "hex", "ip4", "ip6")
_VALUE = (*VALUE_TYPES, "size", "value")

COMMON_KEYS = ("as", "time_limit", "may_fail", "when")


@dataclass(frozen=True, slots=True)
class Action:
    """A kind of step. `subject` is what its own value names, "" when it takes none."""

    op: StepOp
    subject: str
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    gives: bool = False  # whether its result has values
    loads: bool = False  # whether it needs the object loaded


PROGRAM, MAP, GLOBAL = "a BPF program", "a map", "a global variable"

ACTIONS: Mapping[str, Action] = {
    "set": Action(StepOp.SET, GLOBAL, optional=("fact", *_VALUE)),
    "load": Action(StepOp.LOAD, ""),
    "attach": Action(StepOp.ATTACH, PROGRAM, optional=("to",), loads=True),
    "detach": Action(StepOp.DETACH, PROGRAM, loads=True),
    "trigger": Action(StepOp.TRIGGER, "a trigger"),
    "test_run": Action(
        StepOp.TEST_RUN, PROGRAM, optional=("packet", "hex", "ctx_hex", "repeat"), gives=True, loads=True
    ),
    "update": Action(StepOp.UPDATE, MAP, ("key", "value"), ("flags",), loads=True),
    "lookup": Action(StepOp.LOOKUP, MAP, ("key",), ("flags",), gives=True, loads=True),
    "delete": Action(StepOp.DELETE, MAP, ("key",), loads=True),
    "fill": Action(StepOp.FILL, MAP, ("times",), loads=True),
    "count": Action(StepOp.COUNT, MAP, loads=True),
    "read": Action(StepOp.READ, GLOBAL, gives=True, loads=True),
    "ring": Action(StepOp.RING, MAP, gives=True, loads=True),
    "perf_open": Action(StepOp.PERF_OPEN, MAP, ("pages",), loads=True),
    "perf": Action(StepOp.PERF, MAP, gives=True, loads=True),
    "fact": Action(StepOp.FACT, "a fact", gives=True),
    "preflight": Action(StepOp.PREFLIGHT, "", gives=True),
    "env": Action(StepOp.ENV, "a surrounding"),
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a trigger is told. A number when it has `low` and `high`; a list of words when `many`."""

    name: str
    default: str | None = None  # None: must be given
    low: int | None = None
    high: int | None = None
    many: bool = False


_MANY = 1_000_000

# Trigger -> its parameters, in the order the wire carries them.
TRIGGERS: Mapping[str, tuple[Parameter, ...]] = {
    "mkdirat": (Parameter("path", "/tmp/bpfmatrix"),),  # noqa: S108  in the guest
    "unlink": (Parameter("path", "/tmp/bpfmatrix"),),  # noqa: S108
    "openat": (Parameter("path", "/tmp/bpfmatrix"),),  # noqa: S108
    "execve": (Parameter("argv", many=True),),
    "fork": (),
    "tcp": (Parameter("port", "8080", 1, 65535),),
    "udp": (Parameter("port", "8080", 1, 65535), Parameter("payload", "hello")),
    "getppid": (),
    "cgroup_enter": (Parameter("name"),),
    "nested": (Parameter("depth", "1", 0, 1000),),
    "move_context": (Parameter("rounds", "1", 1, _MANY),),
    "user_function": (Parameter("n", "1", 0, (1 << 63) - 1),),
    "concurrent": (
        Parameter("map"),
        Parameter("bytes", low=1, high=1 << 16),
        Parameter("program", ""),
    ),
    "sleep": (Parameter("ms", low=1, high=600_000),),
    "hang": (),
    "flood": (),
}
TRIGGER_KEYS = ("times", "flags")
MAX_TIMES = _MANY

FACTS = (
    "tgid",
    "pid",
    "ppid",
    "pid_tgid",
    "uid",
    "comm",
    "pid_ns_inum",
    "cgroup_id",
    "cpus",
    "ktime_ns",
    "bpfmatrix_argv",
)

ENVIRONMENTS = (
    "no_btf",
    "drop_caps",
    "unprivileged",
    "unprivileged_disabled",
    "lockdown_integrity",
    "lockdown_confidentiality",
    "small_memlock",
)
# Cannot be taken back: the guest is good for nothing else afterwards.
IRREVERSIBLE = frozenset({"lockdown_integrity", "lockdown_confidentiality"})

USER_FUNCTIONS = ("bpfmatrix_plain", "bpfmatrix_nested", "bpfmatrix_moved")


@dataclass(frozen=True, slots=True)
class Target:
    """A form of `to`: what follows the colon, as a pattern and in words; `among`: only these are there."""

    pattern: str
    words: str
    among: tuple[str, ...] = ()


_SYMBOL = r"[A-Za-z_.][A-Za-z0-9_.$]{0,126}"

TARGETS: Mapping[str, Target] = {
    "kprobe": Target(_SYMBOL, "SYMBOL"),
    "kretprobe": Target(_SYMBOL, "SYMBOL"),
    "uprobe": Target(_SYMBOL, "FUNCTION", USER_FUNCTIONS),
    "uretprobe": Target(_SYMBOL, "FUNCTION", USER_FUNCTIONS),
    "uprobe_ret": Target(_SYMBOL, "FUNCTION", USER_FUNCTIONS),
    "tracepoint": Target(r"[A-Za-z0-9_-]{1,63}/[A-Za-z0-9_]{1,63}", "CATEGORY/NAME"),
    "raw_tp": Target(r"[A-Za-z0-9_]{1,63}", "NAME"),
    "cgroup": Target(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,62}", "NAME"),
    "perf": Target(r"[1-9][0-9]{0,11}", "PERIOD_NS"),
}

MAP_FLAGS: Mapping[str, int] = {"BPF_ANY": 0, "BPF_NOEXIST": 1, "BPF_EXIST": 2, "BPF_F_LOCK": 4}
