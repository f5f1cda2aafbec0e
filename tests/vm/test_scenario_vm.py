"""Scenarios in real guests: operations, triggers, facts, surroundings, on an old kernel and the newest."""

import pytest
from scenarios import Bench, step, u32, u64

from harness.execute import KernelSession
from harness.guest.options import AccelChoice, GuestOptions
from harness.model import ObservationStatus, Stage
from harness.pipeline import warm_object
from harness.scenario import StepOp

pytestmark = pytest.mark.vm

TCG = GuestOptions(accel=AccelChoice.TCG)

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


@pytest.fixture(scope="module", params=["5.10", "newest"])
def bench(request, kernel, newest, tmp_path_factory):
    """A session on the oldest kernel and on the newest."""
    machine = newest if request.param == "newest" else kernel(request.param)
    with KernelSession(machine, TCG, warm_object()) as session:
        yield Bench(session, tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def old(bench):
    """Whether the kernel is 5.10."""
    return bench.session.kernel.name == "5.10"


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
