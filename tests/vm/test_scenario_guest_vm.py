"""Scenarios and the guest around them: limits, surroundings, what is left behind, a guest thrown away."""

import time
from dataclasses import replace

import pytest
from scenarios import Bench, step, u32, u64

from harness.crew import warm_object
from harness.execute import KernelSession
from harness.guest.options import AccelChoice, GuestOptions
from harness.model import ObservationStatus, Outcome, Stage
from harness.scenario import FACTS, SURROUNDINGS, StepOp, number_names

pytestmark = pytest.mark.vm

TCG = GuestOptions(accel=AccelChoice.TCG)

PLAIN = """
u64 value = 3;
SEC("tracepoint/syscalls/sys_enter_getppid") int fine(void *ctx)
{
    __sync_fetch_and_add(&value, 1);
    return 0;
}
"""

FLOODED = """
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 65536); } events SEC(".maps");
u64 sent, refused;
SEC("raw_tp/sys_enter") int flood(void *ctx)
{
    for (int i = 0; i < 20; i++) {
        char *event = bpf_ringbuf_reserve(&events, 1000, 0);

        if (!event) {
            refused++;
            continue;
        }
        event[0] = i;
        bpf_ringbuf_submit(event, 0);
        sent++;
    }
    return 0;
}
"""

# Attached everywhere a scenario can attach to, with every kind of map and pin.
EVERYWHERE = """
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 65536); } events SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
    __uint(key_size, 4);
    __uint(value_size, 4);
} out SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 64);
    __type(key, u32);
    __type(value, u64);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} table SEC(".maps");
SEC("kprobe") int a(void *ctx) { return 0; }
SEC("kretprobe") int b(void *ctx) { return 0; }
SEC("uprobe") int c(void *ctx) { return 0; }
SEC("raw_tp/sys_enter") int d(void *ctx) { return 0; }
SEC("fentry/__x64_sys_mkdirat") int e(void *ctx) { return 0; }
SEC("perf_event") int f(void *ctx) { return 0; }
SEC("cgroup/bind4") int g(void *ctx) { return 1; }
"""


def everything(*last):
    return (
        step(StepOp.ENV, "unprivileged_enabled", may_fail=True),
        step(StepOp.LOAD),
        step(StepOp.ATTACH, "a", args=("kprobe:__x64_sys_getppid",)),
        step(StepOp.ATTACH, "b", args=("kretprobe:__x64_sys_getppid",)),
        step(StepOp.ATTACH, "c", args=("uretprobe:bpfmatrix_nested",), label="uretprobe"),
        step(StepOp.ATTACH, "d"),
        step(StepOp.ATTACH, "e"),
        step(StepOp.ATTACH, "f", args=("perf:10000000",)),
        step(StepOp.ATTACH, "g", args=("cgroup:pod7",)),
        step(StepOp.PERF_OPEN, "out", count=64),
        step(StepOp.FILL, "table", count=64),
        step(StepOp.TRIGGER, "cgroup_enter", args=("pod7/a/b", "cpu", "pids"), may_fail=True),
        *(step(StepOp.TRIGGER, name) for name in ("mkdirat", "unlink", "fork", "execve", "tcp", "udp")),
        step(StepOp.TRIGGER, "nested", args=("20",)),
        step(StepOp.TRIGGER, "move_context", args=("20",)),
        step(StepOp.ENV, "no_btf"),
        *last,
    )


def counted(bench):
    """What there is of everything a scenario could leave behind."""
    told = bench.run(
        PLAIN,
        step(StepOp.LOAD),
        step(StepOp.FACT, "bpf_ids"),
        step(StepOp.FACT, "leftovers"),
        step(StepOp.FACT, "unprivileged_bpf_disabled", label="sysctl"),
    )
    assert told.observation.status is ObservationStatus.LOADED, told.why
    return told["bpf_ids"].numbers, told["leftovers"].numbers, told["sysctl"].values


def counted_until(bench, before):
    """Counted again; the kernel frees programs and maps a moment after their last user went."""
    end = time.monotonic() + 10
    while (after := counted(bench)) != before and time.monotonic() < end:
        time.sleep(0.1)
    return after


def test_nothing_is_left_behind(bench):
    before = counted(bench)
    assert before[0][:3] == (1, 1, 0)  # of the counting case itself
    assert before[1][:2] == (2, 0)  # the agent and the case's process
    inside = (step(StepOp.FACT, "bpf_ids", label="ids"), step(StepOp.FACT, "leftovers", label="rest"))
    told = bench.run(EVERYWHERE, *everything(*inside), program="a")
    assert told.observation.status is ObservationStatus.LOADED, told.why
    assert told["ids"].numbers[0] >= 7  # so the counting does see them
    assert told.number("rest", "cgroups") == told.number("rest", "pins") == 1
    assert counted_until(bench, before) == before
    hung = bench.run(EVERYWHERE, *everything(step(StepOp.TRIGGER, "hang", time_limit_s=0.3)), program="a")
    assert hung.observation.errno == "ETIMEDOUT", hung.why
    cut = bench.run(EVERYWHERE, *everything(step(StepOp.TRIGGER, "hang")), program="a", time_limit_s=2.5)
    assert cut.observation.status is ObservationStatus.HANG, cut.why
    in_fork = bench.run(
        EVERYWHERE,
        *everything(step(StepOp.TRIGGER, "fork", count=1_000_000, time_limit_s=0.5)),
        program="a",
    )
    assert in_fork.observation.errno == "ETIMEDOUT", in_fork.why
    orphan = bench.run(
        PLAIN, step(StepOp.TRIGGER, "move_context", args=("100000",), time_limit_s=0.3)
    )  # its contexts run in a process of their own, which outlives the case's
    assert orphan.observation.errno == "ETIMEDOUT", orphan.why
    making = bench.run(PLAIN, step(StepOp.TRIGGER, "mkdirat", count=10_000_000, time_limit_s=0.3))
    assert making.observation.errno == "ETIMEDOUT", making.why
    assert counted_until(bench, before) == before


def test_a_step_past_its_limit_is_timed_out_and_the_guest_goes_on(bench):
    bench.session.start()
    pid = bench.session._guest.pid
    started = time.monotonic()
    told = bench.run(
        PLAIN,
        step(StepOp.ATTACH, "fine"),
        step(StepOp.TRIGGER, "getppid", count=4),
        step(StepOp.READ, "value"),
        step(StepOp.TRIGGER, "hang", time_limit_s=0.4, may_fail=True),
        step(StepOp.READ, "value", label="never"),
    )
    assert time.monotonic() - started < 10
    observation = told.observation
    assert (observation.status, observation.stage, observation.errno) == ("failed", Stage.RUN, "ETIMEDOUT")
    assert [result.index for result in observation.steps] == [0, 1, 2, 3]
    assert told.value("value") == 7  # what was finished before is kept
    assert told["hang"].errno == "ETIMEDOUT"
    assert "limit of 400 ms" in told["hang"].message
    assert observation.insns_processed  # and so is what the load said
    assert bench.run(PLAIN, step(StepOp.LOAD)).observation.status is ObservationStatus.LOADED
    assert bench.session._guest.pid == pid


def test_the_cases_own_limit_holds_too(bench):
    told = bench.run(PLAIN, step(StepOp.TRIGGER, "hang", time_limit_s=60), time_limit_s=0.5)
    assert told.observation.status is ObservationStatus.HANG, told.why
    assert told["hang"].errno == "ETIMEDOUT"


def test_a_program_that_floods_the_ring_buffer(bench):
    told = bench.run(
        FLOODED,
        step(StepOp.ATTACH, "flood"),
        step(StepOp.TRIGGER, "flood", args=("300",)),
        step(StepOp.DETACH, "flood", label="off"),
        step(StepOp.RING, "events"),
        step(StepOp.READ, "sent"),
        step(StepOp.READ, "refused"),
    )
    assert told.observation.status is ObservationStatus.LOADED, told.why
    assert told.number("events", "records") == told.value("sent") == 65536 // 1008
    kept = told["events"]  # the first 64 records, of which a row has room for 16 KiB
    assert sum(map(len, kept.values)) + kept.omitted == 64 * 1000
    assert told.value("refused") > 1000


def test_draining_while_the_program_goes_on_filling(bench):
    steps = (step(StepOp.ATTACH, "flood"), *(step(StepOp.RING, "events") for _ in range(50)))
    told = bench.run(FLOODED, *steps)
    assert told.observation.status is ObservationStatus.LOADED, told.why
    assert told.number("events", "records") > 0


def test_results_are_bounded(bench):
    text = "char big[3000000];" + PLAIN
    told = bench.run(text, *(step(StepOp.READ, "big") for _ in range(20)), step(StepOp.READ, "value"))
    assert told.observation.status is ObservationStatus.LOADED, told.why
    assert len(told.observation.steps) == 21
    assert told.value("value") == 3
    assert "values left out" in told["big"].message


def test_every_fact(bench):
    told = bench.run(
        PLAIN,
        *(step(StepOp.FACT, name) for name in FACTS),
        step(StepOp.FACT, "moon_phase", may_fail=True),
    )
    assert told.observation.status is ObservationStatus.LOADED, told.why
    for name in FACTS:
        assert len(told[name].values) == 1
        assert len(told[name].numbers) == len(number_names(StepOp.FACT, name))
    assert told.value("pid_tgid") == told.value("tgid") << 32 | told.value("pid")
    assert (told.value("ppid"), told.value("uid"), told.value("cpus")) == (1, 0, 1)
    assert told["comm"].values == (b"init\0",)
    assert told["cgroup_path"].values == (b"/\0",)
    assert told.value("pid_ns_inum") == 0xEFFFFFFC  # PROC_PID_INIT_INO, include/linux/proc_ns.h
    assert told["release"].values[0].decode().startswith(bench.session.kernel.release)
    assert told["moon_phase"].message.split("there are: ")[1].split() == list(FACTS)


CORE = """
#include <bpf/bpf_core_read.h>
struct task_struct { int tgid; } __attribute__((preserve_access_index));
int seen;
SEC("raw_tp/sys_enter") int core(void *ctx)
{
    seen = BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), tgid);
    return 0;
}
"""


def preflight(bench, *surroundings, needs=()):
    """Whether preflight says start, its words, and the errno of the load that follows."""
    told = bench.run(
        CORE,
        *(step(StepOp.ENV, name, args=args) for name, *args in surroundings),
        step(StepOp.PREFLIGHT, args=needs, label="pre"),
        step(StepOp.LOAD, may_fail=True, label="load"),
        disposable=any(name.startswith("lockdown") for name, *_ in surroundings),
    )
    assert told.observation.status is ObservationStatus.LOADED, told.why
    return told.number("pre", "start"), told["pre"].values[0].decode(), told["load"].errno


def test_preflight_says_start_where_the_load_works(bench):
    start, words, errno = preflight(bench)
    assert (start, errno) == (1, None)
    assert all(line.startswith("ok: ") for line in words.rstrip("\0").splitlines())


@pytest.mark.parametrize(
    ("surroundings", "words", "errno"),
    [
        ([("no_btf",)], "no: the kernel's BTF is not there", "ESRCH"),
        ([("drop_caps",)], "no: neither CAP_BPF nor CAP_SYS_ADMIN", "EPERM"),
        ([("unprivileged",)], "no: neither CAP_BPF nor CAP_SYS_ADMIN", "EPERM"),
        ([("unprivileged_disabled",), ("unprivileged",)], "unprivileged_bpf_disabled is 2", "EPERM"),
        ([("unprivileged_enabled",), ("unprivileged",)], "allows socket filters only", "EPERM"),
        ([("lockdown_confidentiality",)], "no: lockdown is 'confidentiality'", "EINVAL"),
    ],
)
def test_preflight_says_do_not_start_where_the_load_fails(bench, surroundings, words, errno):
    start, said, error = preflight(bench, *surroundings)
    assert (start, error) == (0, errno), said
    assert words in said


def test_preflight_under_integrity_lockdown_starts(bench):
    start, said, errno = preflight(bench, ("lockdown_integrity",))
    assert (start, errno) == (1, None)
    assert "lockdown is 'integrity'" in said


def test_preflight_knows_its_needs(bench, old):
    start, said, _ = preflight(bench, needs=("libbpf=9.9",))
    assert start == 0
    assert "at least 9.9 is needed" in said
    start, said, _ = preflight(bench, ("small_memlock", "4096"), ("drop_caps",), needs=("memlock=65536",))
    assert start == 0
    assert ("65536 are needed" in said) is old
    start, said, _ = preflight(bench, ("no_btf",), needs=("no_btf",))
    assert start == 1, said


def test_small_memlock_refuses_a_map_before_5_11(bench, old):
    text = """
    struct {
        __uint(type, BPF_MAP_TYPE_ARRAY);
        __uint(max_entries, 20000);
        __type(key, u32);
        __type(value, u64);
    } large SEC(".maps");
    SEC("socket") int fine(void *ctx) { return 0; }
    """
    told = bench.run(text, step(StepOp.ENV, "small_memlock"), step(StepOp.LOAD))
    want = ("failed", Stage.MAP_CREATE, "EPERM") if old else ("loaded", None, None)
    assert (told.observation.status, told.observation.stage, told.observation.errno) == want, told.why


def test_unknown_surroundings_list_the_known_ones(bench):
    told = bench.run(PLAIN, step(StepOp.ENV, "vacuum"))
    assert (told.observation.stage, told.observation.errno) == (Stage.RUN, "ENOENT")
    assert told["vacuum"].message.split("there are: ")[1].split() == list(SURROUNDINGS)


def locked_down(bench, level):
    """The lockdown file as a case that locks the kernel down reads it, and the guest's process."""
    told = bench.run(PLAIN, step(StepOp.ENV, f"lockdown_{level}"), step(StepOp.FACT, "lockdown"))
    assert told.observation.status is ObservationStatus.LOADED, told.why
    return told["lockdown"].values[0], bench.session._guest.pid


def test_a_locked_down_guest_serves_only_cases_that_lock_it_down_alike(bench):
    words, first = locked_down(bench, "integrity")
    assert b"[integrity]" in words
    assert locked_down(bench, "integrity") == (words, first)
    words, second = locked_down(bench, "confidentiality")
    assert b"[confidentiality]" in words
    assert second != first
    told = bench.run(PLAIN, step(StepOp.FACT, "lockdown"))
    assert b"[none]" in told["lockdown"].values[0], told.why
    assert bench.session._guest.pid not in (first, second)


def test_a_disposable_guest_is_thrown_away_and_the_next_one_is_whole(bench):
    bench.session.start()
    pid = bench.session._guest.pid
    told = bench.run(PLAIN, step(StepOp.FACT, "lockdown"), disposable=True)
    assert b"[none]" in told["lockdown"].values[0], told.why
    assert bench.session._guest is None
    bench.run(PLAIN, step(StepOp.LOAD))
    assert bench.session._guest.pid != pid


def test_processors_are_what_the_case_asks_for(bench):
    def cpus(asked):
        told = bench.run(PLAIN, step(StepOp.FACT, "cpus"), cpus=asked)
        return told.value("cpus"), bench.session._guest.pid

    one, two, again, default = cpus(1), cpus(2), cpus(2), cpus(None)
    assert [count for count, _ in (one, two, again, default)] == [1, 2, 2, 1]
    assert two[1] == again[1] != one[1]


def test_the_depth_of_nested_calls_is_bounded(bench):
    told = bench.run(PLAIN, step(StepOp.TRIGGER, "nested", args=("1001",)))
    assert told.observation.errno == "EINVAL", told.why


def test_the_agents_own_death_is_a_crash_and_the_remaining_cases_run(newest, tmp_path):
    mortal = replace(newest, boot_args=(*newest.boot_args, "bpfmatrix.die=poison"))
    with KernelSession(mortal, TCG, warm_object()) as session:
        bench = Bench(session, tmp_path)
        session.start()
        pid = session._guest.pid
        dead = bench.run(PLAIN.replace("fine", "poison"))
        assert dead.row.outcome is Outcome.CRASH
        assert "Attempted to kill init" in dead.observation.console_tail
        assert "QEMU ended" in dead.observation.note
        rest = [bench.run(PLAIN) for _ in range(2)]
        assert [told.observation.status for told in rest] == [ObservationStatus.LOADED] * 2
        assert session._guest.pid != pid
        assert session._guest.restored
        assert bench.run(PLAIN.replace("fine", "poison")).row.outcome is Outcome.CRASH


def test_keys_values_and_arguments_may_hold_anything(bench):
    told = bench.run(
        PLAIN,
        step(StepOp.SET, "value", value=u64(2**64 - 1)),
        step(StepOp.SET, "value", value=u32(9), label="short"),
        step(StepOp.READ, "value", label="now"),
        step(StepOp.TRIGGER, "execve", args=tuple(f"{i}\n'\"\\é" for i in range(200))),
    )
    assert told.observation.status is ObservationStatus.LOADED, told.why
    assert told.value("now") == 9
