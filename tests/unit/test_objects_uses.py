"""What an object uses, what of it is optional, and what kernels lack: on objects compiled here."""

from __future__ import annotations

import pytest
from objects_support import compiled
from test_objects_fuzz import RICH

from harness.errors import UserError
from harness.features.kernels import targets
from harness.features.objects.analysis import Analysis
from harness.features.objects.core import KernelTypes
from harness.features.objects.judge import Judge, Judgement
from harness.features.objects.minimum import lowest_documented
from harness.features.objects.read import parse_bpf_object, read_bpf_object
from harness.features.objects.sections import meaning_of
from harness.features.objects.uses import Necessity, ObjectUses, UseKind
from harness.features.objects.view import KernelView
from harness.features.types import Support


def _uses(path) -> ObjectUses:
    return Analysis.of_file(path).uses()


def _named(uses: ObjectUses, name: str):
    found = [use for use in uses.uses if use.key.name == name]
    assert found, f"{name} is not among {sorted(use.key.name for use in uses.uses)}"
    return found[0]


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("rich"), RICH)


def test_everything_is_listed(rich):
    uses = _uses(rich)
    names = {(use.key.kind, use.key.name) for use in uses.uses}
    assert names >= {
        (UseKind.MAP_TYPE, "BPF_MAP_TYPE_HASH"),
        (UseKind.MAP_TYPE, "BPF_MAP_TYPE_ARRAY_OF_MAPS"),
        (UseKind.MAP_FLAG, "BPF_F_NO_PREALLOC"),
        (UseKind.LANGUAGE, "spin_lock"),
        (UseKind.LANGUAGE, "global_data"),
        (UseKind.LANGUAGE, "vmlinux_btf_sysfs"),
        (UseKind.PROGRAM_TYPE, "BPF_PROG_TYPE_RAW_TRACEPOINT"),
        (UseKind.HELPER, "bpf_get_current_task"),
        (UseKind.HELPER, "bpf_map_delete_elem"),
        (UseKind.LANGUAGE, "bpf2bpf_calls"),
        (UseKind.LANGUAGE, "bounded_loops"),
        (UseKind.LANGUAGE, "callback_functions"),
        (UseKind.KFUNC, "bpf_rcu_read_lock"),
        (UseKind.BTF_KIND, "btf_var_datasec"),
    }
    assert [program.name for program in uses.programs] == ["traced", "dropped"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("offset(task_struct.pid)", "only if exists(task_struct.pid)"),
        ("bpf_probe_read_kernel", "only if exists(task_struct.pid)"),
        ("bpf_ktime_get_boot_ns", "only if exists(BPF_FUNC_ringbuf_output___x)"),
        ("bpf_rcu_read_lock", "only if exists(bpf_rcu_read_lock)"),
        ("BPF_PROG_TYPE_XDP", "the program is not loaded unless asked for (`?` in its section)"),
    ],
)
def test_what_a_guard_leads_to_is_optional(rich, name, why):
    use = next(use for use in _uses(rich).uses if use.key.name == name and use.key.kind is not UseKind.KSYM)
    assert (use.necessity, use.why) == (Necessity.OPTIONAL, why)


def test_what_two_guards_lead_to_is_optional_only_without_both(rich):
    use = _named(_uses(rich), "bpf_loop")
    assert use.necessity is Necessity.OPTIONAL
    assert use.why == "only if LINUX_KERNEL_VERSION or asked"


def test_what_is_used_on_both_sides_is_needed(tmp_path):
    text = """
struct task_struct { int pid; } __attribute__((preserve_access_index));
SEC("raw_tp/x") int p(void *ctx)
{
	struct task_struct *task = 0;
	if (bpf_core_field_exists(task->pid))
		return bpf_ktime_get_boot_ns() + bpf_get_smp_processor_id();
	return bpf_ktime_get_boot_ns() + 1;
}
"""
    uses = _uses(compiled(tmp_path, text))
    assert _named(uses, "bpf_ktime_get_boot_ns").necessity is Necessity.NEEDED
    assert _named(uses, "bpf_get_smp_processor_id").necessity is Necessity.OPTIONAL


def test_a_guard_that_cannot_be_followed_makes_nothing_optional(tmp_path):
    text = """
struct task_struct { int pid; } __attribute__((preserve_access_index));
volatile int there;
SEC("raw_tp/x") int p(void *ctx)
{
	struct task_struct *task = 0;
	there = bpf_core_field_exists(task->pid);
	return there ? bpf_ktime_get_boot_ns() : 0;
}
"""
    assert _named(_uses(compiled(tmp_path, text)), "bpf_ktime_get_boot_ns").necessity is Necessity.NEEDED


@pytest.mark.parametrize(
    ("option", "level"), [("-mcpu=v1", 1), ("-mcpu=v2", 2), ("-mcpu=v3", 3), ("-mcpu=v4", 4)]
)
def test_the_instruction_set_is_told(tmp_path, option, level):
    text = """
SEC("xdp") int p(struct xdp_md *ctx)
{
	short *data = (void *)(long)ctx->data;
	if ((void *)(data + 4) > (void *)(long)ctx->data_end)
		return 1;
	if (LEVEL == 2)
		asm volatile("if %0 < 7 goto +0" :: "r"(data));
	return data[0] * 2 < (int)ctx->rx_queue_index ? data[1] : 2;
}
"""
    assert _uses(compiled(tmp_path, text, option, f"-DLEVEL={level}")).isa == level


def test_new_atomics_and_signed_division(tmp_path):
    text = """
int total;
SEC("xdp") int p(struct xdp_md *ctx)
{
	int old = __sync_fetch_and_add(&total, 1);
	return old / (int)ctx->rx_queue_index;
}
"""
    uses = _uses(compiled(tmp_path, text, "-mcpu=v4"))
    assert _named(uses, "atomics_fetch_or_xor_xchg_cmpxchg").places
    assert _named(uses, "isa_v4").places


@pytest.mark.parametrize(
    ("section", "kind", "attach"),
    [
        ("xdp", "XDP", "BPF_XDP"),
        ("kprobe/do_unlinkat", "KPROBE", ""),
        ("fentry.s/do_unlinkat", "TRACING", "BPF_TRACE_FENTRY"),
        ("tcx/ingress", "SCHED_CLS", "BPF_TCX_INGRESS"),
        ("cgroup/connect_unix", "CGROUP_SOCK_ADDR", "BPF_CGROUP_UNIX_CONNECT"),
        ("?struct_ops.s/init", "STRUCT_OPS", "BPF_STRUCT_OPS"),
    ],
)
def test_section_names(section, kind, attach):
    meaning = meaning_of(section)
    assert meaning is not None
    assert (meaning.program_type, meaning.attach_type) == (f"BPF_PROG_TYPE_{kind}", attach)


@pytest.mark.parametrize("section", ["xdp_filter", "kprobes/x", "xdp/other", "", "tracing"])
def test_section_names_libbpf_does_not_know(section):
    assert meaning_of(section) is None


def test_big_endian_objects_are_read(tmp_path, rich):
    made = compiled(tmp_path, RICH, target="bpfeb")
    ours, theirs = _uses(made), _uses(rich)
    assert any("big-endian" in note for note in ours.notes)
    assert {use.key for use in ours.uses} == {use.key for use in theirs.uses}
    assert [use.why for use in ours.uses] == [use.why for use in theirs.uses]


def test_an_object_without_btf_is_read_in_part(tmp_path):
    made = compiled(tmp_path, 'SEC("xdp") int p(void *c) { return bpf_ktime_get_ns(); }', "-g0")
    uses = _uses(made)
    assert any("no BTF" in note for note in uses.notes)
    assert _named(uses, "bpf_ktime_get_ns").program_type == "xdp"


def test_btf_that_lies_about_its_length_costs_the_types_only(tmp_path, rich):
    found = parse_bpf_object(rich.read_bytes(), "x")
    assert not found.notes
    raw = bytearray(rich.read_bytes())
    at = raw.index(b"\x9f\xeb\x01\x00\x18\x00\x00\x00")
    raw[at + 12 : at + 16] = b"\xff\xff\xff\x7f"
    uses = Analysis.of_bytes(bytes(raw), "x").uses()
    assert any("damaged BTF (the header says its types end at" in note for note in uses.notes)
    assert _named(uses, "bpf_get_current_task").places


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "an empty file"),
        (b"#!/bin/sh\n", "not an ELF file"),
        (b"\x7fELF" + bytes(60), "truncated or damaged ELF"),
    ],
)
def test_what_is_no_object(tmp_path, raw, words):
    path = tmp_path / "x.o"
    path.write_bytes(raw)
    with pytest.raises(UserError, match=words):
        read_bpf_object(path)


def test_a_file_of_a_hundred_megabytes(tmp_path):
    path = tmp_path / "x.o"
    with path.open("wb") as file:
        file.write(b"\x7fELF")
        file.truncate(100 << 20)
    with pytest.raises(UserError, match="larger than 64 MiB"):
        read_bpf_object(path)


def test_a_program_of_another_machine():
    with open("/bin/true", "rb") as file, pytest.raises(UserError, match="not for BPF"):  # noqa: PTH123
        parse_bpf_object(file.read(), "true")


def _judged(path, kernel: str) -> Judgement:
    return Judge(Analysis.of_file(path)).on(KernelView(targets(kernel, ())[0]))


def test_a_kernel_that_lacks_something(tmp_path):
    text = """
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } ring SEC(".maps");
SEC("tp/x/y") int p(void *ctx) { return bpf_ringbuf_output(&ring, &ring, 0, 0); }
"""
    made = compiled(tmp_path, text)
    assert _judged(made, "5.7").support is Support.NO
    assert "BPF_MAP_TYPE_RINGBUF" in _judged(made, "5.7").reason
    assert _judged(made, "5.8").support is Support.YES
    assert lowest_documented(_uses(made)).kernel == "5.8"


def test_the_kernels_own_answer_to_a_guard_decides(rich):
    judge = Judge(Analysis.of_file(rich))
    view = KernelView(targets("6.1", ())[0])
    found = read_bpf_object(rich)
    assert found.btf is not None
    view.__dict__["types"] = KernelTypes(found.btf)  # a kernel that has just what the object declares
    answers = {(a.use.key.kind, a.use.key.name): a for a in judge.on(view).answers}
    relocation = answers[UseKind.CORE, "offset(task_struct.pid)"]
    assert (relocation.support, relocation.reached) == (Support.YES, True)
    assert dict(judge.on(view).guards)["exists(task_struct.pid)"] is True
