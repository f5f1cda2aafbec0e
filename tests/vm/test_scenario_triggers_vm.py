"""The built-in actions, each seen by a program that is attached to what it does."""

import pytest
from scenarios import step, u32

from harness.model import ObservationStatus, Stage
from harness.scenario import TRIGGERS, StepOp

pytestmark = pytest.mark.vm

# What the agent's own functions and system calls look like to a program: counters by what was seen.
SYSCALLS = """
u32 target;
u64 calls[512], forks, exits, execs;
char filename[32], argv1[32];
struct event { u64 pad; int nr; u64 args[6]; };
SEC("raw_tp/sys_enter") int on_call(u64 *ctx)
{
    if (bpf_get_current_pid_tgid() >> 32 == target && ctx[1] < 512)
        calls[ctx[1]]++;
    return 0;
}
SEC("tracepoint/syscalls/sys_enter_execve") int on_execve(struct event *event)
{
    const char *word = 0;

    execs++;
    bpf_probe_read_user_str(filename, sizeof(filename), (void *)event->args[0]);
    bpf_probe_read_user(&word, sizeof(word), (void *)(event->args[1] + 8));
    bpf_probe_read_user_str(argv1, sizeof(argv1), word);
    return 0;
}
SEC("raw_tp/sched_process_fork") int on_fork(void *ctx) { forks++; return 0; }
SEC("raw_tp/sched_process_exit") int on_exit(void *ctx) { exits++; return 0; }
"""
MKDIRAT, UNLINKAT, OPENAT, GETPPID, CONNECT, SENDTO, NANOSLEEP, CLOCK_NANOSLEEP = (
    258,
    263,
    257,
    110,
    42,
    44,
    35,
    230,
)


def traced(bench, *steps, text=SYSCALLS):
    """The steps between attaching to everything and reading all counters."""
    told = bench.run(
        text,
        step(StepOp.SET, "target", fact="tgid", label="self"),
        *(step(StepOp.ATTACH, name) for name in ("on_call", "on_execve", "on_fork", "on_exit")),
        *steps,
        *(step(StepOp.READ, name) for name in ("calls", "forks", "exits", "execs", "filename", "argv1")),
        program="on_call",
    )
    assert told.observation.status is ObservationStatus.LOADED, told.why
    return told


def calls(told, number):
    return int.from_bytes(told["calls"].values[0][number * 8 : number * 8 + 8], "little")


def test_files_and_cheap_calls(bench):
    told = traced(
        bench,
        step(StepOp.TRIGGER, "mkdirat", args=("/tmp/dir",), count=4),
        step(StepOp.TRIGGER, "unlink", args=("/tmp/file",), count=5),
        step(StepOp.TRIGGER, "openat", args=("/proc/version",), count=6),
        step(StepOp.TRIGGER, "openat", args=("/no/such/file",), count=2, may_fail=True, label="absent"),
        step(StepOp.TRIGGER, "mkdirat", args=("/sys/forbidden",), may_fail=True, label="outside"),
        step(StepOp.TRIGGER, "getppid", count=70),
        step(StepOp.TRIGGER, "sleep", args=("20",)),
        step(StepOp.TRIGGER, "flood", args=("50",)),
    )
    assert calls(told, MKDIRAT) == 4
    assert calls(told, UNLINKAT) == 5
    assert calls(told, OPENAT) >= 8
    assert calls(told, GETPPID) == 70 + told.number("flood", "done")
    assert told.number("flood", "done") > 100
    assert calls(told, NANOSLEEP) + calls(told, CLOCK_NANOSLEEP) == 1
    assert (told["absent"].errno, told.number("absent", "failed")) == ("ENOENT", 2)
    assert "2 of 2 failed" in told["absent"].message
    assert told["outside"].errno == "EINVAL"


def test_processes(bench):
    told = traced(
        bench,
        step(StepOp.TRIGGER, "fork", count=3),
        step(StepOp.TRIGGER, "execve", args=("sh", "-c", "two words", "ä"), count=2),
    )
    assert [told.value(name) for name in ("forks", "exits", "execs")] == [5, 5, 2]
    assert told["filename"].values[0].rstrip(b"\0") == b"/init"
    assert told["argv1"].values[0].rstrip(b"\0") == b"-c"
    assert told.number("fork", "child") > 1


def test_packets_over_loopback(bench):
    told = traced(
        bench,
        step(StepOp.TRIGGER, "tcp", args=("8087",), count=3),
        step(StepOp.TRIGGER, "tcp", label="any port"),
        step(StepOp.TRIGGER, "udp", args=("53", "a question"), count=2),
        step(StepOp.TRIGGER, "udp", args=("70000",), may_fail=True, label="no port"),
    )
    assert calls(told, CONNECT) == 4
    assert calls(told, SENDTO) == 4 + 2  # send() is sendto()
    assert told["tcp"].numbers[:3] == (3, 0, 8087)
    assert told.number("any port", "port") > 1024
    assert told.number("any port", "client_port") > 1024
    assert told.number("udp", "port") == 53
    assert told["no port"].errno == "EINVAL"


CGROUPS = """
#include <bpf/bpf_core_read.h>
#define KERNELS __attribute__((preserve_access_index))
struct kernfs_node { u64 id; } KERNELS;
struct cgroup { struct kernfs_node *kn; } KERNELS;
struct cgroup_subsys_state { struct cgroup *cgroup; } KERNELS;
struct task_group { struct cgroup_subsys_state css; } KERNELS;
struct task_struct { struct task_group *sched_task_group; } KERNELS;
u64 id, scheduled_in;
SEC("raw_tp/sys_enter") int where(u64 *ctx)
{
    struct task_struct *task = (void *)bpf_get_current_task();

    if (ctx[1] != 110)
        return 0;
    id = bpf_get_current_cgroup_id();
    scheduled_in = BPF_CORE_READ(task, sched_task_group, css.cgroup, kn, id);
    return 0;
}
u32 binds;
SEC("cgroup/bind4") int on_bind(void *ctx) { binds++; return 1; }
"""


@pytest.mark.parametrize("controller", [(), ("cpu",)])
def test_entering_a_cgroup(bench, controller):
    told = bench.run(
        CGROUPS,
        step(StepOp.FACT, "cgroup_id", label="before"),
        step(StepOp.TRIGGER, "cgroup_enter", args=("pod1/box", *controller)),
        step(StepOp.ATTACH, "where"),
        step(StepOp.ATTACH, "on_bind", args=("cgroup:pod1",)),
        step(StepOp.TRIGGER, "getppid"),
        step(StepOp.TRIGGER, "udp"),
        *(step(StepOp.FACT, name) for name in ("cgroup_id", "cgroup_name", "cgroup_path")),
        *(step(StepOp.READ, name) for name in ("id", "scheduled_in", "binds")),
        step(StepOp.TRIGGER, "cgroup_enter", args=("../escape",), may_fail=True, label="escape"),
        program="where",
    )
    assert told.observation.status is ObservationStatus.LOADED, told.why
    assert told["cgroup_path"].values == (b"/case/pod1/box\0",)
    assert told["cgroup_name"].values == (b"box\0",)
    assert told.value("id") == told.value("cgroup_id") != told.value("before")
    # only the controller's own hierarchy of groups follows the controller
    assert (told.value("scheduled_in") == told.value("id")) is bool(controller)
    assert told.value("binds") == 2
    assert told["escape"].errno == "EINVAL"


USER = """
u64 entries, sum, returned, at_ret, depth, right, wrong, lost;
char text[16];
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, u64);
    __type(value, u64);
} begun SEC(".maps");
SEC("uprobe") int plain(struct pt_regs *ctx)
{
    entries++;
    sum += PT_REGS_PARM1(ctx) + PT_REGS_PARM2(ctx);
    bpf_probe_read_user_str(text, sizeof(text), (void *)PT_REGS_PARM3(ctx));
    return 0;
}
SEC("uprobe") int plain_back(struct pt_regs *ctx) { returned += PT_REGS_RC(ctx); return 0; }
SEC("uprobe") int plain_ret(struct pt_regs *ctx) { at_ret += PT_REGS_RC(ctx); return 0; }
SEC("uprobe") int nested(struct pt_regs *ctx) { depth++; return 0; }
SEC("uprobe") int enter(struct pt_regs *ctx)
{
    u64 key = bpf_get_current_pid_tgid(), id = PT_REGS_PARM1(ctx);

    bpf_map_update_elem(&begun, &key, &id, BPF_ANY);
    return 0;
}
SEC("uprobe") int leave(struct pt_regs *ctx)
{
    u64 key = bpf_get_current_pid_tgid(), *id = bpf_map_lookup_elem(&begun, &key);

    if (!id)
        lost++;
    else if (*id == PT_REGS_RC(ctx))
        right++;
    else
        wrong++;
    bpf_map_delete_elem(&begun, &key);
    return 0;
}
"""
PAIRS = ("right", "wrong", "lost")


def test_functions_of_the_agents_own(bench):
    told = bench.run(
        USER,
        step(StepOp.ATTACH, "plain", args=("uprobe:bpfmatrix_plain",)),
        step(StepOp.ATTACH, "plain_back", args=("uretprobe:bpfmatrix_plain",)),
        step(StepOp.ATTACH, "plain_ret", args=("uprobe_ret:bpfmatrix_plain",)),
        step(StepOp.ATTACH, "nested", args=("uprobe:bpfmatrix_nested",)),
        step(StepOp.TRIGGER, "user_function", args=("4", "some text")),
        step(StepOp.TRIGGER, "nested", args=("9",), label="deep"),
        *(step(StepOp.READ, name) for name in ("entries", "sum", "returned", "at_ret", "depth", "text")),
        program="plain",
    )
    assert told.observation.status is ObservationStatus.LOADED, told.why
    numbers = [told.value(name) for name in ("entries", "sum", "returned", "at_ret", "depth")]
    assert numbers == [4, 18, 18, 18, 10]
    assert told["text"].values[0].rstrip(b"\0") == b"some text"


@pytest.mark.parametrize(
    ("mode", "want"),
    [("move", [0, 0, 5]), ("swap", [0, 5, 5])],  # right, wrong, lost
)
def test_a_context_that_moves_between_threads_breaks_pairing_by_thread(bench, mode, want):
    told = bench.run(
        USER,
        step(StepOp.ATTACH, "enter", args=("uprobe:bpfmatrix_moved",)),
        step(StepOp.ATTACH, "leave", args=("uprobe_ret:bpfmatrix_moved",)),
        step(StepOp.TRIGGER, "move_context", args=("5", mode)),
        *(step(StepOp.READ, name) for name in PAIRS),
        program="enter",
    )
    assert told.observation.status is ObservationStatus.LOADED, told.why
    assert told["move_context"].numbers == (5, 0, 0)
    assert [told.value(name) for name in PAIRS] == want


def test_a_uretprobe_kills_what_returns_on_another_thread(bench):
    """The kernel finds no return address kept for that thread: SIGILL, which is why Go's tracers avoid it."""
    told = bench.run(
        USER,
        step(StepOp.ATTACH, "leave", args=("uretprobe:bpfmatrix_moved",)),
        step(StepOp.TRIGGER, "move_context", args=("5",), may_fail=True),
        step(StepOp.READ, "lost"),
        program="leave",
    )
    assert told.observation.status is ObservationStatus.LOADED, told.why
    assert told["move_context"].errno == "EINTR"
    assert told.number("move_context", "signal") == 4
    assert told.value("lost") == 0


SESSIONS = """
u64 kernel_calls, user_calls;
SEC("kprobe.session/x") int on_kernel(void *ctx) { kernel_calls++; return 0; }
SEC("uprobe.session") int on_user(void *ctx) { user_calls++; return 0; }
"""


def test_a_session_probe_runs_at_entry_and_at_return(bench, old):
    """Since 6.10 (kernel functions) and 6.13 (user functions); an older kernel refuses the link."""
    told = bench.run(
        SESSIONS,
        step(StepOp.ATTACH, "on_kernel", args=("kprobe_session:__x64_sys_getppid",), may_fail=True),
        step(StepOp.ATTACH, "on_user", args=("uprobe_session:bpfmatrix_plain",), may_fail=True),
        step(StepOp.TRIGGER, "getppid", count=3),
        step(StepOp.TRIGGER, "user_function", args=("4",)),
        step(StepOp.READ, "kernel_calls"),
        step(StepOp.READ, "user_calls"),
        program="on_kernel",
    )
    assert told.observation.status is ObservationStatus.LOADED, told.why
    assert [told[name].errno for name in ("on_kernel", "on_user")] == ["EINVAL" if old else None] * 2
    assert told.value("kernel_calls") == (0 if old else 6)
    assert told.value("user_calls") == (0 if old else 8)


def test_a_session_ends_when_it_is_detached(bench, old):
    if old:
        pytest.skip("the kernel has no session probes")
    told = bench.run(
        SESSIONS,
        step(StepOp.ATTACH, "on_user", args=("uprobe_session:bpfmatrix_plain",)),
        step(StepOp.DETACH, "on_user"),
        step(StepOp.TRIGGER, "user_function", args=("4",)),
        step(StepOp.READ, "user_calls"),
        program="on_user",
    )
    assert told.observation.status is ObservationStatus.LOADED, told.why
    assert told.value("user_calls") == 0


TORN = """
struct value { struct bpf_spin_lock lock; u32 pad; u64 words[64]; };
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct value);
} shared SEC(".maps");
u64 reads, torn;
static int check(int locked)
{
    u32 zero = 0;
    struct value *value = bpf_map_lookup_elem(&shared, &zero);
    u64 first, last;

    if (!value)
        return 0;
    if (locked)
        bpf_spin_lock(&value->lock);
    first = *(volatile u64 *)&value->words[0];
    last = *(volatile u64 *)&value->words[63];
    if (locked)
        bpf_spin_unlock(&value->lock);
    reads++;
    torn += first != last;
    return 0;
}
SEC("tc") int bare(struct __sk_buff *skb) { return check(0); }
SEC("tc") int careful(struct __sk_buff *skb) { return check(1); }
"""


def test_a_map_that_changes_while_a_program_reads_it(bench):
    def run(program, flags):
        told = bench.run(
            TORN,
            step(
                StepOp.TRIGGER,
                "concurrent",
                args=("shared", "520", program),
                count=3000,
                flags=flags,
                time_limit_s=60,
            ),
            step(StepOp.READ, "reads"),
            step(StepOp.READ, "torn"),
            program=program,
            cpus=2,
            time_limit_s=90,
        )
        assert told.observation.status is ObservationStatus.LOADED, told.why
        assert told.value("reads") == told.number("concurrent", "done") == 3000
        assert told.number("concurrent", "updates") > 0
        return told.value("torn")

    assert run("careful", 4) == 0  # BPF_F_LOCK
    torn = run("bare", 0)
    print("torn reads without the lock:", torn)


def test_an_unknown_trigger_lists_the_known_ones(bench):
    told = bench.run(SYSCALLS, step(StepOp.TRIGGER, "reboot"), program="on_call")
    assert (told.observation.stage, told.observation.errno) == (Stage.RUN, "ENOENT"), told.why
    words = told["reboot"].message
    assert words.startswith("unknown trigger 'reboot'; there are: ")
    assert words.split("there are: ")[1].split() == list(TRIGGERS)


def test_a_trigger_may_come_before_the_load(bench):
    told = bench.run(
        SYSCALLS, step(StepOp.TRIGGER, "fork"), step(StepOp.SET, "target", value=u32(1)), program="on_call"
    )
    assert told.observation.status is ObservationStatus.LOADED, told.why
