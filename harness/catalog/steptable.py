"""What a scenario can say: actions, triggers, facts, surroundings and attach targets. Data only.

`docs/scenarios.md` explains every word; what the guest does for each is in harness/guest/PROTOCOL.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.scenario import FACTS, IRREVERSIBLE, SURROUNDINGS, StepOp

__all__ = [
    "ACTIONS",
    "COMMON_KEYS",
    "FACTS",
    "INTEGERS",
    "IRREVERSIBLE",
    "MAP_FLAGS",
    "MAX_TIMES",
    "PREFLIGHT_NEEDS",
    "SURROUNDINGS",
    "TARGETS",
    "TRIGGERS",
    "TRIGGER_KEYS",
    "USER_FUNCTIONS",
    "VALUE_TYPES",
    "Action",
    "Parameter",
    "Target",
]

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
    "fill": Action(StepOp.FILL, MAP, ("times",), ("flags",), loads=True),
    "count": Action(StepOp.COUNT, MAP, loads=True),
    "read": Action(StepOp.READ, GLOBAL, gives=True, loads=True),
    "ring": Action(StepOp.RING, MAP, gives=True, loads=True),
    "perf_open": Action(StepOp.PERF_OPEN, MAP, ("pages",), loads=True),
    "perf": Action(StepOp.PERF, MAP, gives=True, loads=True),
    "fact": Action(StepOp.FACT, "a fact", gives=True),
    "preflight": Action(StepOp.PREFLIGHT, "", optional=("needs",), gives=True),
    "env": Action(StepOp.ENV, "a surrounding", optional=("bytes",)),
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a trigger is told. A number when it has `low` and `high`; a list of words when `many`."""

    name: str
    default: str | None = None  # None: must be given; "": nothing is sent
    low: int | None = None
    high: int | None = None
    many: bool = False
    pattern: str = ""  # of a word
    words: str = ""  # the pattern, for people


_MANY = 1_000_000
# Files are made below /tmp only: that is what the agent empties after the case.
_OWN_PATH = Parameter("path", "/tmp/bpfmatrix", pattern=r"(?!.*/\.\.)/tmp/.+", words="a path below /tmp")  # noqa: S108

_WORD = r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,62}"  # of a cgroup's name: no dot in front

# Trigger -> its parameters, in the order the wire carries them.
TRIGGERS: Mapping[str, tuple[Parameter, ...]] = {
    "mkdirat": (_OWN_PATH,),
    "unlink": (_OWN_PATH,),
    "openat": (Parameter("path"),),
    "execve": (Parameter("argv", many=True),),
    "fork": (),
    "tcp": (Parameter("port", "0", 0, 65535),),
    "udp": (Parameter("port", "0", 0, 65535), Parameter("payload", "hello")),
    "getppid": (),
    "cgroup_enter": (
        Parameter("name", pattern=rf"{_WORD}(/{_WORD}){{0,7}}", words="words with a / between them"),
        Parameter("controllers", "", many=True),
    ),
    "nested": (Parameter("depth", "1", 0, 1000),),
    "move_context": (
        Parameter("rounds", "1", 1, 100_000),
        Parameter("how", "move", pattern="move|swap", words="move or swap"),
    ),
    "user_function": (Parameter("n", "1", 0, 100_000_000), Parameter("text", "bpfmatrix")),
    "concurrent": (
        Parameter("map"),
        Parameter("bytes", low=1, high=1 << 16),
        Parameter("program", ""),
    ),
    "sleep": (Parameter("ms", low=1, high=600_000),),
    "hang": (),
    "flood": (Parameter("ms", "500", 1, 600_000),),
}
TRIGGER_KEYS = ("times", "flags")
MAX_TIMES = _MANY

# What a preflight may be told to need, beyond the kernel's BTF, tracing and libbpf 1.0.
PREFLIGHT_NEEDS = r"libbpf=[0-9]{1,3}\.[0-9]{1,3}|memlock=[0-9]{1,18}|no_btf|no_tracing"

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
    "kprobe_session": Target(_SYMBOL, "SYMBOL"),
    "uprobe": Target(_SYMBOL, "FUNCTION", USER_FUNCTIONS),
    "uretprobe": Target(_SYMBOL, "FUNCTION", USER_FUNCTIONS),
    "uprobe_ret": Target(_SYMBOL, "FUNCTION", USER_FUNCTIONS),
    "uprobe_session": Target(_SYMBOL, "FUNCTION", USER_FUNCTIONS),
    "tracepoint": Target(r"[A-Za-z0-9_-]{1,63}/[A-Za-z0-9_]{1,63}", "CATEGORY/NAME"),
    "raw_tp": Target(r"[A-Za-z0-9_]{1,63}", "NAME"),
    "cgroup": Target(_WORD, "NAME"),
    "perf": Target(r"[1-9][0-9]{3,11}", "PERIOD_NS, 1000 or more"),
}

MAP_FLAGS: Mapping[str, int] = {"BPF_ANY": 0, "BPF_NOEXIST": 1, "BPF_EXIST": 2, "BPF_F_LOCK": 4}
