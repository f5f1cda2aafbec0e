"""Scenarios in real guests: operations, triggers, facts, surroundings, on an old kernel and the newest."""

import pytest
from scenarios import step, u32, u64

from harness.model import Loader, ObservationStatus, Stage
from harness.scenario import StepOp

pytestmark = pytest.mark.vm

# Counts system calls of one process, and sends a record of each that makes a directory.
COUNTING = """
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 4);
    __type(key, u32);
    __type(value, u64);
} settings SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
} events SEC(".maps");
const volatile u32 target;
u64 hits = 5;
static u64 dropped;
char path[32];
SEC("tracepoint/syscalls/sys_enter_mkdirat") int on_mkdirat(u64 *ctx)
{
    u32 zero = 0;
    u64 *add = bpf_map_lookup_elem(&settings, &zero), *event;

    if (bpf_get_current_pid_tgid() >> 32 != target)
        return 0;
    hits += add ? *add : 1;
    bpf_probe_read_user_str(path, sizeof(path), (void *)ctx[3]);
    event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
    if (!event) {
        dropped++;
        return 0;
    }
    *event = hits;
    bpf_ringbuf_submit(event, 0);
    return 0;
}
"""


def test_set_load_attach_trigger_read_and_drain(bench):
    told = bench.run(
        COUNTING,
        step(StepOp.SET, "target", fact="tgid"),
        step(StepOp.LOAD),
        step(StepOp.ATTACH, "on_mkdirat"),
        step(StepOp.TRIGGER, "mkdirat", args=("/tmp/one",), count=3, label="first"),
        step(StepOp.READ, "hits", label="three"),
        step(StepOp.UPDATE, "settings", key=u32(0), value=u64(100)),
        step(StepOp.LOOKUP, "settings", key=u32(0), label="add"),
        step(StepOp.TRIGGER, "mkdirat", args=("/tmp/two",)),
        step(StepOp.READ, "hits", label="sum"),
        step(StepOp.READ, "path"),
        step(StepOp.READ, "dropped"),
        step(StepOp.RING, "events"),
        step(StepOp.SET, "hits", value=u64(1), label="set"),
        step(StepOp.READ, "hits", label="after"),
    )
    assert told.observation.status is ObservationStatus.LOADED, told.why
    assert [told.value(name) for name in ("three", "add", "sum", "dropped", "after")] == [8, 100, 108, 0, 1]
    assert told["path"].values[0].rstrip(b"\0") == b"/tmp/two"
    assert (told.number("first", "done"), told.number("first", "failed")) == (3, 0)
    assert [told.value("events", i) for i in range(4)] == [6, 7, 8, 108]
    assert (told.number("events", "records"), told.number("events", "bytes")) == (4, 32)
    assert told.observation.insns_processed


def test_a_missing_name_ends_the_scenario_at_stage_run(bench):
    told = bench.run(COUNTING, step(StepOp.READ, "misses"), step(StepOp.READ, "hits"))
    observation = told.observation
    assert (observation.status, observation.stage, observation.errno) == ("failed", Stage.RUN, "ENOENT")
    assert [result.index for result in observation.steps] == [0]
    assert "no global variable 'misses'" in told["misses"].message


MAPS = """
#define MAP(name, kind, entries)            \\
    struct {                                \\
        __uint(type, BPF_MAP_TYPE_##kind);  \\
        __uint(max_entries, entries);       \\
        __type(key, u32);                   \\
        __type(value, u64);                 \\
    } name SEC(".maps")
MAP(table, HASH, 10);
MAP(slots, ARRAY, 4);
MAP(per_cpu, PERCPU_ARRAY, 2);
MAP(recent, LRU_HASH, 64);
SEC("tc") int sum(struct __sk_buff *skb)
{
    u32 zero = 0;
    u64 *here = bpf_map_lookup_elem(&per_cpu, &zero);

    return here ? *here + skb->len : -1;
}
SEC("raw_tp/sys_enter") int nothing(void *ctx) { return 7; }
"""


def test_maps_from_user_space(bench):
    told = bench.run(
        MAPS,
        step(StepOp.FILL, "table", count=13),
        step(StepOp.COUNT, "table", label="entries"),
        step(StepOp.LOOKUP, "table", key=u32(9), label="nine"),
        step(StepOp.LOOKUP, "table", key=u32(12), label="none", may_fail=True),
        step(StepOp.DELETE, "table", key=u32(9), label="gone"),
        step(StepOp.UPDATE, "table", key=u32(3), value=u64(1), flags=1, may_fail=True, label="noexist"),
        step(StepOp.UPDATE, "slots", key=u32(4), value=u64(1), may_fail=True, label="beyond"),
        step(StepOp.UPDATE, "slots", key=u32(0), value=u32(1), may_fail=True, label="narrow"),
        step(StepOp.COUNT, "slots"),
        step(StepOp.FILL, "recent", count=500),
        step(StepOp.UPDATE, "per_cpu", key=u32(0), value=u64(1000), label="spread"),
        step(StepOp.LOOKUP, "per_cpu", key=u32(0), label="each"),
        step(StepOp.TEST_RUN, "sum", value=bytes(64)),
        step(StepOp.LOOKUP, "absent", key=u32(0), may_fail=True),
        program="sum",
    )
    assert told.observation.status is ObservationStatus.LOADED, told.why
    assert told["table"].numbers == (10, 3, 7)  # E2BIG
    assert told.number("entries", "entries") == 10
    assert told.value("nine") == 9
    assert [told[name].errno for name in ("none", "gone", "noexist", "beyond", "narrow")] == [
        "ENOENT",
        None,
        "EEXIST",
        "E2BIG",
        "EINVAL",
    ]
    assert "values of 8 bytes, the step's has 4" in told["narrow"].message
    assert told.number("slots", "entries") == 4
    assert told["recent"].numbers == (500, 0, 0)  # evicted, not refused
    assert told.value("each") == 1000
    assert told.number("sum", "retval") == 1064
    assert len(told["sum"].values[0]) == 64
    assert "it has: per_cpu table slots recent" in told["absent"].message


def test_a_test_run_with_a_context(bench):
    told = bench.run(MAPS, step(StepOp.TEST_RUN, "nothing", key=bytes(16)), program="nothing")
    assert told.number("nothing", "retval") == 7, told.why


def test_attaching_where_the_step_says(bench, old):
    text = """
    u64 entries, returns, last;
    SEC("kprobe") int enter(struct pt_regs *ctx) { entries++; return 0; }
    SEC("kretprobe") int leave(struct pt_regs *ctx) { returns++; last = PT_REGS_RC(ctx); return 0; }
    SEC("raw_tp") int raw(void *ctx) { return 0; }
    SEC("tracepoint") int point(void *ctx) { return 0; }
    """
    told = bench.run(
        text,
        step(StepOp.ATTACH, "enter", args=("kprobe:__x64_sys_getppid",)),
        step(StepOp.ATTACH, "leave", args=("kretprobe:__x64_sys_getppid",)),
        step(StepOp.ATTACH, "raw", args=("raw_tp:sys_enter",)),
        step(StepOp.ATTACH, "point", args=("tracepoint:syscalls/sys_enter_getppid",)),
        step(StepOp.TRIGGER, "getppid", count=50),
        step(StepOp.READ, "entries"),
        step(StepOp.READ, "returns"),
        step(StepOp.READ, "last"),
        step(StepOp.DETACH, "enter", label="off"),
        step(StepOp.TRIGGER, "getppid", count=50, label="again"),
        step(StepOp.READ, "entries", label="still"),
        step(StepOp.READ, "returns", label="more"),
        program="enter",
    )
    assert told.observation.status is ObservationStatus.LOADED, told.why
    assert [told.value(name) for name in ("entries", "returns", "last")] == [50, 50, 1]
    assert [told.value(name) for name in ("still", "more")] == [50, 100]


@pytest.mark.parametrize(
    ("to", "errno", "words"),
    [
        ("kprobe:no_such_function_here", "ENOENT", "was not attached"),
        ("uprobe:strlen", "ENOENT", "bpfmatrix_plain bpfmatrix_nested bpfmatrix_moved"),
        ("tracepoint:mkdirat", "EINVAL", "CATEGORY/NAME"),
        ("xdp:lo", "ENOENT", "unknown attach target 'xdp:lo'"),
        ("", "ENOENT", "unknown attach target ''"),
    ],
)
def test_an_attach_target_that_is_none(bench, to, errno, words):
    text = 'SEC("kprobe") int probe(void *ctx) { return 0; }'
    told = bench.run(text, step(StepOp.ATTACH, "probe", args=(to,)), step(StepOp.TRIGGER, "fork"))
    observation = told.observation
    assert (observation.status, observation.stage, observation.errno) == ("failed", Stage.ATTACH, errno)
    assert words in told["probe"].message, told.why
    assert len(observation.steps) == 1


TRACING = """
struct {
    __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
    __uint(key_size, 4);
    __uint(value_size, 4);
} out SEC(".maps");
u64 ticks, sent, refused, pairs;
u32 target;
char record[1000];
SEC("perf_event") int tick(void *ctx) { __sync_fetch_and_add(&ticks, 1); return 0; }
SEC("raw_tp/sys_enter") int send(u64 *ctx)
{
    if (ctx[1] != 110 || bpf_get_current_pid_tgid() >> 32 != target) /* getppid */
        return 0;
    if (bpf_perf_event_output(ctx, &out, BPF_F_CURRENT_CPU, record, sizeof(record)))
        refused++;
    else
        sent++;
    return 0;
}
SEC("fexit/__x64_sys_mkdirat") int BPF_PROG(left, struct pt_regs *regs, long ret)
{
    pairs += ret == 0;
    return 0;
}
"""


def test_perf_buffers_events_and_fexit(bench):
    told = bench.run(
        TRACING,
        step(StepOp.SET, "target", fact="tgid"),
        step(StepOp.PERF_OPEN, "out", count=8, label="opened"),
        step(StepOp.PERF_OPEN, "out", count=8, may_fail=True, label="twice"),
        step(StepOp.ATTACH, "send"),
        step(StepOp.ATTACH, "left"),
        step(StepOp.ATTACH, "tick", args=("perf:1000000",)),
        step(StepOp.TRIGGER, "getppid", count=40),
        step(StepOp.TRIGGER, "mkdirat", count=3),
        step(StepOp.TRIGGER, "sleep", args=("30",)),
        step(StepOp.PERF, "out", label="first"),
        step(StepOp.TRIGGER, "getppid", count=1, label="one more"),
        step(StepOp.PERF, "out", label="second"),
        step(StepOp.READ, "sent"),
        step(StepOp.READ, "refused"),
        step(StepOp.READ, "pairs"),
        step(StepOp.READ, "ticks"),
        program="send",
    )
    assert told.observation.status is ObservationStatus.LOADED, told.why
    assert told["opened"].numbers == (9 * 4096, 1, 8)  # 8 pages and the one of the head
    assert told["twice"].errno == "EALREADY"
    fits, lost = told.value("sent") - 1, told.value("refused")
    assert fits + lost == 40
    assert lost > 0
    assert (told.number("first", "records"), told.number("first", "lost")) == (fits, 0)
    # the kernel owns up to what it lost when the next record fits
    assert (told.number("second", "records"), told.number("second", "lost")) == (1, lost)
    kept = told["first"]  # each with its padding
    assert sum(map(len, kept.values)) + kept.omitted == told.number("first", "bytes") == fits * 1004
    assert told.value("pairs") == 3
    assert told.value("ticks") > 5


@pytest.mark.parametrize("pages", [0, 3, 64, 1024])
def test_pages_of_a_perf_buffer(bench, pages):
    told = bench.run(TRACING, step(StepOp.PERF_OPEN, "out", count=pages, may_fail=True), program="send")
    assert told.observation.status is ObservationStatus.LOADED, told.why
    if pages in {0, 3}:
        assert told["out"].errno == "EINVAL"
        assert "power of two" in told["out"].message
    else:
        assert told.number("out", "bytes") == (pages + 1) * 4096


def test_the_program_that_is_refused_is_the_one_that_is_told(bench):
    text = """
    SEC("socket") int fine(void *ctx) { return 0; }
    SEC("socket") int bad(void *ctx) { return *(int *)0; }
    SEC("?socket") int off(void *ctx) { return *(int *)8; }
    """
    for program in ("fine", "bad"):
        told = bench.run(text, step(StepOp.LOAD), step(StepOp.TRIGGER, "fork"), program=program)
        observation = told.observation
        assert (observation.status, observation.stage, observation.errno) == ("failed", Stage.LOAD, "EACCES")
        assert "bad" in observation.verifier_log
        assert observation.log_level == 5
        assert [result.errno for result in observation.steps] == ["EACCES"]
    told = bench.run(text, step(StepOp.LOAD, may_fail=True), step(StepOp.TRIGGER, "fork"), program="fine")
    assert told.observation.status is ObservationStatus.LOADED, told.why


def test_read_only_data_is_read_only_once_loaded(bench):
    told = bench.run(COUNTING, step(StepOp.LOAD), step(StepOp.SET, "target", value=u32(1)))
    assert (told.observation.stage, told.observation.errno) == (Stage.RUN, "EACCES"), told.why
    told = bench.run(COUNTING, step(StepOp.SET, "target", value=u64(1)))
    assert (told.observation.stage, told.observation.errno) == (Stage.RUN, "E2BIG"), told.why


def test_raw_does_no_scenarios(bench):
    told = bench.run(COUNTING, step(StepOp.LOAD), loader=Loader.RAW)
    assert (told.observation.stage, told.observation.errno) == (Stage.OPEN, "ENOTSUP"), told.why
