"""Observation to verdict, verdict to outcome."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.model import (
    BuildFailure,
    Compiler,
    Expectation,
    Expected,
    GuestFacts,
    KernelVersion,
    Observation,
    ObservationStatus,
    Origin,
    Outcome,
    Program,
    ProgramKind,
    Stage,
    Variant,
    Verdict,
    VerdictKind,
    VersionRange,
)
from harness.verdict.classify import interpret, interpret_failure
from harness.verdict.expect import expected_for, judge
from harness.verdict.splat import is_splat

FAILED = Observation(
    ObservationStatus.FAILED, Stage.LOAD, "EACCES", verifier_log="R1 invalid mem access 'scalar'\n"
)


def test_loaded_is_accept_and_failed_is_reject_with_everything() -> None:
    assert interpret(Observation(ObservationStatus.LOADED)) == Verdict(VerdictKind.ACCEPT)
    assert interpret(FAILED) == Verdict(
        VerdictKind.REJECT,
        Stage.LOAD,
        "EACCES",
        "kernel-pointer-dereferenced",
        "R1 invalid mem access 'scalar'",
    )


@pytest.mark.parametrize("status", [ObservationStatus.CRASH, ObservationStatus.HANG])
def test_crash_and_hang_have_no_verdict(status: ObservationStatus) -> None:
    seen = Observation(
        status, note="the agent died", console_tail="[ 1.0] BUG: kernel NULL pointer\n[ 1.1] RIP\n"
    )
    verdict = interpret(seen)
    assert verdict.kind is VerdictKind.NONE
    assert verdict.abnormal is Outcome(status.value)
    assert verdict.message == "the agent died; [ 1.0] BUG: kernel NULL pointer"


@pytest.mark.parametrize("status", [ObservationStatus.LOADED, ObservationStatus.FAILED])
def test_a_splat_is_never_accept_nor_reject(status: ObservationStatus) -> None:
    seen = Observation(
        status, kernel_messages=("[    3.1] WARNING: CPU: 0 PID: 9 at kernel/bpf/verifier.c:1",)
    )
    verdict = interpret(seen)
    assert (verdict.kind, verdict.abnormal) == (VerdictKind.NONE, Outcome.SPLAT)


@pytest.mark.parametrize(
    "line",
    [
        "[    1.23] ------------[ cut here ]------------",
        "<4>[    1.23] WARNING: CPU: 0 PID: 1 at kernel/bpf/core.c:9 bpf_prog_select_runtime+0x1",
        "WARNING: kernel/bpf/verifier.c:123 at do_check+0x1, CPU#0: agent/77",
        "[ 1.2][ T77] BUG: sleeping function called from invalid context at mm/slab.h:1",
        "WARNING: possible circular locking dependency detected",
        "WARNING: suspicious RCU usage",
        "watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [agent:77]",
        "rcu: INFO: rcu_preempt self-detected stall on CPU",
        "INFO: task agent:77 blocked for more than 120 seconds.",
        "Oops: general protection fault, probably for non-canonical address 0xdead: 0000 [#1]",
        "general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#1] SMP",
        "BUG: KASAN: slab-out-of-bounds in bpf_check+0x1",
        "UBSAN: shift-out-of-bounds in kernel/bpf/tnum.c:1",
        "Kernel panic - not syncing: Fatal exception",
        "kernel BUG at mm/slub.c:1!",
        "verifier bug: REG INVARIANTS VIOLATION (x): y",
        "refcount_t: underflow; use-after-free.",
    ],
)
def test_splats_are_recognised(line: str) -> None:
    assert is_splat(line)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[    0.1] Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on, data leaks possible",
        "[    2.0] process 'agent' launched '/dev/fd/3' with NULL argv: empty string added",
        "[    2.1] ** trace_printk() being used. Allocating extra memory.  **",
        "[    2.2] clocksource: timekeeping watchdog on CPU0: Marking clocksource 'tsc' as unstable",
        "[    2.3] perf: interrupt took too long (2510 > 2500), lowering kernel.perf_event_max_sample_rate",
        "[    2.4] random: crng init done",
        "[    2.5] kprobe: kprobe_ftrace: debugging BUG:s is fun",
        "[    2.6] agent invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0",
    ],
)
def test_harmless_lines_are_no_splats(line: str) -> None:
    assert not is_splat(line)


def test_build_failures_are_rejections_of_their_stage() -> None:
    message = (
        "In file included from /cache/x/a.bpf.c:1:\n"
        "/cache/x/a.bpf.c:12:7: fatal error: 'stdio.h' file not found\n"
    )
    verdict = interpret_failure(BuildFailure(Stage.COMPILE, message))
    assert verdict == Verdict(
        VerdictKind.REJECT,
        Stage.COMPILE,
        None,
        "compile-header-missing",
        "a.bpf.c:12: 'stdio.h' file not found",
    )
    assert interpret_failure(BuildFailure(Stage.RENDER, "'x' is undefined")).cause == "render-error"
    empty = interpret_failure(BuildFailure(Stage.OPEN, "x.o: an empty file\n  next: compile it"))
    assert (empty.stage, empty.cause) == (Stage.OPEN, "not-a-bpf-object")


ACCEPT = Verdict(VerdictKind.ACCEPT)
REJECT = interpret(FAILED)


@pytest.mark.parametrize(
    ("verdict", "expected", "outcome", "reason"),
    [
        (ACCEPT, None, Outcome.NO_EXPECTATION, ""),
        (ACCEPT, Expected(VerdictKind.ACCEPT), Outcome.AS_EXPECTED, ""),
        (
            ACCEPT,
            Expected(VerdictKind.REJECT, Stage.LOAD, "EINVAL"),
            Outcome.UNEXPECTED,
            "expected reject at load with EINVAL, got accept",
        ),
        (
            REJECT,
            Expected(VerdictKind.ACCEPT),
            Outcome.UNEXPECTED,
            "expected accept, got reject at load with EACCES (R1 invalid mem access 'scalar')",
        ),
        (REJECT, Expected(VerdictKind.REJECT), Outcome.AS_EXPECTED, ""),
        (
            REJECT,
            Expected(VerdictKind.REJECT, Stage.LOAD, "EACCES", "mem access '(inv|scalar)'"),
            Outcome.AS_EXPECTED,
            "",
        ),
        (
            REJECT,
            Expected(VerdictKind.REJECT, Stage.LOAD, "EINVAL"),
            Outcome.CHANGED,
            "expected reject at load with EINVAL, "
            "got reject at load with EACCES (R1 invalid mem access 'scalar')",
        ),
        (
            REJECT,
            Expected(VerdictKind.REJECT, Stage.MAP_CREATE),
            Outcome.CHANGED,
            "expected reject at map_create, got reject at load with EACCES (R1 invalid mem access 'scalar')",
        ),
        (
            REJECT,
            Expected(VerdictKind.REJECT, message="unbounded"),
            Outcome.CHANGED,
            "expected a message matching 'unbounded', got: R1 invalid mem access 'scalar'",
        ),
        (Verdict(VerdictKind.NONE, message="kernel missing"), None, Outcome.NOT_RUN, "kernel missing"),
    ],
)
def test_judge(verdict: Verdict, expected: Expected | None, outcome: Outcome, reason: str) -> None:
    assert judge(verdict, FAILED, expected) == (outcome, reason)


@pytest.mark.parametrize("outcome", [Outcome.CRASH, Outcome.HANG, Outcome.SPLAT])
def test_abnormal_ends_are_never_as_expected(outcome: Outcome) -> None:
    verdict = Verdict(VerdictKind.NONE, message="boom", abnormal=outcome)
    expected = Expected(VerdictKind.REJECT)
    assert judge(verdict, None, expected) == (outcome, f"{outcome.value}: boom, expected reject")


def test_message_is_searched_in_all_logs_and_build_messages() -> None:
    expected = Expected(VerdictKind.REJECT, message="^libbpf: map")
    seen = Observation(ObservationStatus.FAILED, Stage.LOAD, "EACCES", loader_log="x\nlibbpf: map 'm'\n")
    assert judge(REJECT, seen, expected)[0] is Outcome.AS_EXPECTED
    assert judge(REJECT, BuildFailure(Stage.LOAD, "libbpf: map"), expected)[0] is Outcome.AS_EXPECTED
    assert judge(REJECT, "libbpf: map", expected)[0] is Outcome.AS_EXPECTED
    assert judge(REJECT, "libbpf: prog", expected)[0] is Outcome.CHANGED


def entry(verdict: VerdictKind, kernels: str = "*", needs: tuple[str, ...] = (), **when: Any) -> Expectation:
    conditions = {axis: value if isinstance(value, tuple) else (value,) for axis, value in when.items()}
    return Expectation(
        Expected(verdict),
        VersionRange.parse(kernels),
        conditions,
        needs,
        Origin(Path("x.yaml")),
    )


def program(*entries: Expectation) -> Program:
    return Program("programs/x/y", Path("y.bpf.c.j2"), ProgramKind.TEMPLATE, (), expectations=entries)


FACTS = GuestFacts("6.1.0", "#1", True, frozenset({"ringbuf"}), "1.1.2", "hash", frozenset({"BPF_JIT"}))
V61 = KernelVersion(6, 1, 5)


def chosen(prog: Program, facts: GuestFacts | None = FACTS, **values: str | int | bool) -> VerdictKind | None:
    expected = expected_for(prog, Variant("v", values), V61, facts)
    return expected.verdict if expected else None


def test_needs_of_the_compiler() -> None:
    prog = program(
        entry(VerdictKind.ACCEPT, needs=("clang.16",)),
        entry(VerdictKind.REJECT, needs=("!clang.16",)),
    )

    def decided(compiler: Compiler | None) -> VerdictKind | None:
        expected = expected_for(prog, Variant("v", {}), V61, None, compiler)
        return expected.verdict if expected else None

    assert decided(Compiler("clang-19", Path("clang-19"), "19.1.7")) is VerdictKind.ACCEPT
    assert decided(Compiler("clang-16", Path("clang-16"), "16.0.6")) is VerdictKind.ACCEPT
    assert decided(Compiler("clang-14", Path("clang-14"), "14.0.6")) is VerdictKind.REJECT
    assert decided(None) is None


def test_first_expectation_that_holds_decides() -> None:
    prog = program(
        entry(VerdictKind.REJECT, "<5.11"),
        entry(VerdictKind.REJECT, entries=(0, 1)),
        entry(VerdictKind.ACCEPT, ">=5.11"),
        entry(VerdictKind.REJECT),
    )
    assert chosen(prog, entries=1) is VerdictKind.REJECT
    assert chosen(prog, entries=4096) is VerdictKind.ACCEPT
    assert chosen(program(entry(VerdictKind.REJECT, "<5.11"))) is None


def test_true_and_1_are_different_values_of_an_axis() -> None:
    assert chosen(program(entry(VerdictKind.REJECT, ringbuf=True)), ringbuf=1) is None
    assert chosen(program(entry(VerdictKind.REJECT, ringbuf=True)), ringbuf=True) is VerdictKind.REJECT
    assert chosen(program(entry(VerdictKind.REJECT, other=1)), ringbuf=1) is None


def test_needs_are_facts_of_the_guest_and_unknown_without_one() -> None:
    needs_btf = program(
        entry(VerdictKind.ACCEPT, needs=("btf", "!map_type.arena")), entry(VerdictKind.REJECT)
    )
    assert chosen(needs_btf) is VerdictKind.ACCEPT
    assert chosen(needs_btf, facts=None) is VerdictKind.REJECT
    assert chosen(program(entry(VerdictKind.ACCEPT, needs=("map_type.arena",)))) is None
