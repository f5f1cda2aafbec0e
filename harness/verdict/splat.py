"""Which lines of the kernel's log mean that the kernel itself is in trouble."""

from __future__ import annotations

import re
from collections.abc import Iterable

from harness.verdict.text import one_line

_PREFIX = re.compile(r"^(?:<\d+>)?\s*(?:\[\s*\d+\.\d+\](?:\[[^\]]*\])?\s*)?")
# Wordings of lib/bug.c, kernel/panic.c, kernel/locking/lockdep.c, mm/kasan/report.c, kernel/rcu/tree_stall.h,
# kernel/watchdog.c, kernel/hung_task.c and arch/x86/kernel/traps.c, anchored at the start of the message.
_SPLAT = re.compile(
    r"-+\[ cut here \]-+"
    r"|(?:watchdog: |rcu: |page_owner: )?BUG: |kernel BUG at "
    r"|WARNING: |INFO: (?:possible|suspicious|trying to register|task \S+ blocked|rcu\w* )"
    r"|(?:rcu: )?INFO: rcu\w* .*(?:stall|detected)"
    r"|Oops(?:: |\[)|Internal error: "
    r"|(?:general protection fault|double fault|stack segment|divide error|invalid opcode|int3)\b"
    r"|Kernel panic|Unable to handle kernel|unable to handle "
    r"|(?:KASAN|KCSAN|KMSAN|KFENCE|UBSAN): |(?:==)?=+ BUG"
    r"|refcount_t: |list_(?:add|del) corruption|Bad page state|Bad rss-counter"
    r"|(?:verifier|kernel subsystem) (?:bug|internal error|misconfigured)"
    r"|inconsistent lock state|possible (?:circular|recursive|irq) lock|suspicious RCU usage"
)
# Lines with an alarming word in them that every boot may print.
_HARMLESS = re.compile(
    r"WARNING: (?:Unprivileged eBPF|Spectre|You are running an? (?:unstable|debug))"
    r"|Spectre V2 ?: "
)


def splat_lines(kernel_messages: Iterable[str]) -> tuple[str, ...]:
    """Return the lines that begin a splat (WARNING, BUG, Oops, lockdep, KASAN, RCU stalls), sanitised."""
    return tuple(one_line(line) for line in kernel_messages if is_splat(line))


def is_splat(line: str) -> bool:
    """Whether one line of the kernel's log, with or without its time stamp, begins a splat."""
    text = _PREFIX.sub("", line[:2000], count=1)
    return bool(_SPLAT.match(text)) and not _HARMLESS.match(text)
