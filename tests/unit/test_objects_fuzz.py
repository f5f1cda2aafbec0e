"""The object reader on damaged objects: a UserError or an answer, nothing else, in bounded work."""

from __future__ import annotations

import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from objects_support import compiled

from harness.build.btftypes import Btf
from harness.errors import UserError
from harness.features.kernels import targets
from harness.features.objects.analysis import Analysis
from harness.features.objects.core import KernelTypes
from harness.features.objects.judge import Judge
from harness.features.objects.minimum import Lowest, Minimum, lowest_documented, lowest_measured
from harness.features.objects.read import parse_bpf_object
from harness.features.objects.view import KernelView
from harness.report.objectcheck import ObjectReport, one_liner, render, to_json

RICH = """
struct task_struct { int pid; char comm[16]; } __attribute__((preserve_access_index));
enum bpf_func_id___x { BPF_FUNC_ringbuf_output___x = 130 };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __uint(map_flags, 1);
	__type(key, int); __type(value, struct { struct bpf_spin_lock lock; }); } held SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 1); __type(key, int);
	__array(values, struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1);
	__type(key, int); __type(value, int); }); } outer SEC(".maps");
extern int LINUX_KERNEL_VERSION __kconfig;
extern void bpf_rcu_read_lock(void) __ksym __weak;
const volatile int asked = 0;
int counter;
static int each(__u32 index, void *context) { counter++; return 0; }
__noinline int helper_of_all(int a) { return a + counter; }
SEC("raw_tp/sched_switch") int traced(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	int pid = 0, key = 0;

	if (bpf_core_field_exists(task->pid))
		bpf_probe_read_kernel(&pid, 4, &task->pid);
	if (bpf_core_enum_value_exists(enum bpf_func_id___x, BPF_FUNC_ringbuf_output___x))
		bpf_ktime_get_boot_ns();
	if (asked || LINUX_KERNEL_VERSION > 0x51100)
		bpf_loop(4, each, 0, 0);
	if (bpf_rcu_read_lock)
		bpf_rcu_read_lock();
	for (int i = 0; i < pid; i++)
		bpf_map_delete_elem(&held, &key);
	return helper_of_all(pid);
}
SEC("?xdp") int dropped(struct xdp_md *ctx) { return bpf_map_lookup_elem(&outer, &counter) ? 1 : 2; }
"""
EDGES = (0, 1, 8, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds")
    made = [
        compiled(folder, RICH, *extra, name=name).read_bytes()
        for name, extra in (("rich", ()), ("newer", ("-mcpu=v3",)))
    ]
    plain = compiled(folder, 'SEC("xdp") int p(void *c) { return 2; }', "-g0", name="bare").read_bytes()
    return [*made, plain]


@pytest.fixture(scope="module")
def kernels(seeds):
    """Stand-ins for kernels, whose BTF is an object's own: what resolves and what does not."""
    types = KernelTypes(parse_bpf_object(seeds[0], "seed").btf or Btf(b""))
    views = [KernelView(targets(name, ())[0]) for name in ("5.4", "6.1")]
    for view in views:
        view.__dict__["types"] = types
    return views


CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("byte"), st.floats(0, 1, exclude_max=True), st.integers(0, 255)),
        st.tuples(st.just("bit"), st.floats(0, 1, exclude_max=True), st.integers(0, 7)),
        st.tuples(st.just("length"), st.floats(0, 1, exclude_max=True), st.sampled_from(EDGES)),
        st.tuples(st.just("word"), st.floats(0, 1, exclude_max=True), st.integers(0, 1 << 16)),
        st.tuples(st.just("cut"), st.floats(0, 1, exclude_max=True), st.just(0)),
        st.tuples(st.just("remove"), st.floats(0, 1, exclude_max=True), st.integers(1, 64)),
        st.tuples(st.just("insert"), st.floats(0, 1, exclude_max=True), st.integers(1, 64)),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(which=st.integers(0, 2), changes=CHANGES)
def test_damaged_objects_are_an_answer_or_a_user_error(seeds, kernels, which, changes):
    raw = _changed(seeds[which], changes)
    try:
        analysis = Analysis.of_bytes(raw, "damaged.o")
    except UserError:
        return
    judge = Judge(analysis)
    judgements = tuple(judge.on(kernel) for kernel in kernels)
    minimum = Minimum(lowest_documented(judge.uses), lowest_measured(judgements), Lowest(None, ""))
    report = ObjectReport("damaged.o", judge.uses, judgements, minimum)
    text = render([report])
    assert all(line.isprintable() for line in text.splitlines())
    assert to_json([report])
    assert "\n" not in one_liner(report)


def _changed(seed: bytes, changes: list[tuple[str, float, int]]) -> bytes:
    raw = bytearray(seed)
    for kind, place, value in changes:
        at = int(place * len(raw))
        if kind == "byte":
            raw[at] = value
        elif kind == "bit":
            raw[at] ^= 1 << value
        elif kind in ("length", "word"):
            struct.pack_into("<I", raw, max(0, min(at & ~3, len(raw) - 4)), value)
        elif kind == "cut":
            del raw[max(at, 8) :]
        elif kind == "remove":
            del raw[at : at + value]
        else:
            raw[at:at] = bytes(value)
        if len(raw) < 8:
            break
    return bytes(raw)
