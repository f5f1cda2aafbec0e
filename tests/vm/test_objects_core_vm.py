"""CO-RE relocations: what we compute is what libbpf writes into the program, in guests.

Each program compares one relocation's value with ours and calls a helper that does not exist if they differ.
libbpf's value is a constant, so the verifier takes the program exactly when both are the same.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "unit"))
from objects_support import compiled

from harness import pipeline
from harness.build.btftypes import Btf
from harness.catalog.programs import load_programs
from harness.features.objects.core import KernelTypes, Resolution, resolve
from harness.features.objects.read import read_bpf_object
from harness.guest.options import AccelChoice, GuestOptions
from harness.model import VerdictKind
from harness.plan import RunOptions
from harness.watching import Silent

pytestmark = pytest.mark.vm

TYPES = """
#define CORE __attribute__((preserve_access_index))
typedef unsigned long long u64; typedef unsigned int u32;
struct list_head { struct list_head *next, *prev; } CORE;
struct task_struct { u32 in_execve : 1; int pid; char comm[16]; void *stack; struct list_head tasks; } CORE;
struct task_struct___other { u64 no_such_field; int comm; long tgid; struct list_head *tasks; } CORE;
struct task_struct___long { char comm[4096]; } CORE;
struct page {
	unsigned long flags; union { struct { struct { struct { int counter; } _refcount; }; }; };
} CORE;
struct sk_buff { u32 len; char cb[48]; unsigned char pkt_type : 3; } CORE;
struct no_such_struct { int a; } CORE;
struct bpf_iter_num___x { u64 opaque[1]; } CORE;
struct path { void *mnt; void *dentry; } CORE;
struct path___wrong { int mnt; } CORE;
struct qstr { union { struct { u32 hash; u32 len; }; u64 hash_len; }; const unsigned char *name; } CORE;
typedef unsigned int gfp_t;
enum bpf_func_id___x { BPF_FUNC_ringbuf_output___x = 1, BPF_FUNC_no_such___x = 2, BPF_FUNC_loop___x = 3 };
enum bpf_map_type___y { BPF_MAP_TYPE_ARENA___y = 33 };
struct wrapper { struct path path; struct path more[2]; } CORE;
struct file { struct path f_path; u32 f_flags; } CORE;
"""
TASK = "((struct task_struct *)0)->"
OTHER = "((struct task_struct___other *)0)->"
QUESTIONS = [
    *(
        f"__builtin_preserve_field_info({TASK}{name}, {kind})"
        for name in ("pid", "comm", "comm[3]", "tasks.prev")
        for kind in (0, 1, 2)
    ),
    *(f"__builtin_preserve_field_info({TASK}in_execve, {kind})" for kind in range(6)),
    *(
        f"__builtin_preserve_field_info(((struct sk_buff *)0)->{name}, {kind})"
        for name in ("len", "cb[7]", "pkt_type")
        for kind in (0, 1, 2)
    ),
    f"__builtin_preserve_field_info({TASK}pid, 3)",
    f"__builtin_preserve_field_info({TASK}pid, 4)",
    f"__builtin_preserve_field_info({TASK}pid, 5)",
    f"__builtin_preserve_field_info({OTHER}no_such_field, 2)",
    f"__builtin_preserve_field_info({OTHER}no_such_field, 0)",
    f"__builtin_preserve_field_info({OTHER}comm, 2)",
    f"__builtin_preserve_field_info({OTHER}tgid, 2)",
    f"__builtin_preserve_field_info({OTHER}tasks, 2)",
    "__builtin_preserve_field_info(((struct task_struct___long *)0)->comm[15], 2)",
    "__builtin_preserve_field_info(((struct task_struct___long *)0)->comm[16], 2)",
    "__builtin_preserve_field_info(((struct page *)0)->_refcount.counter, 2)",
    "__builtin_preserve_field_info(((struct page *)0)->_refcount.counter, 0)",
    "__builtin_preserve_field_info(((struct path___wrong *)0)->mnt, 2)",
    "__builtin_preserve_field_info(((struct qstr *)0)->len, 0)",
    "__builtin_preserve_field_info(((struct file *)0)->f_path.dentry, 0)",
    "__builtin_preserve_field_info(((struct file *)0)[2].f_flags, 0)",
    "__builtin_preserve_field_info(((struct no_such_struct *)0)->a, 2)",
    "__builtin_preserve_field_info(((struct no_such_struct *)0)->a, 0)",
    *(
        f"__builtin_preserve_type_info(*(struct {name} *)0, {kind})"
        for name in ("task_struct", "bpf_iter_num___x", "no_such_struct", "path", "qstr", "list_head")
        for kind in (0, 1, 2)
    ),
    "__builtin_preserve_type_info(*(gfp_t *)0, 0)",
    "__builtin_preserve_type_info(*(gfp_t *)0, 2)",
    "__builtin_btf_type_id(*(struct path *)0, 1)",
    *(
        f"__builtin_preserve_enum_value(*(enum {name} *){value}, {kind})"
        for name, value in (
            ("bpf_func_id___x", "BPF_FUNC_ringbuf_output___x"),
            ("bpf_func_id___x", "BPF_FUNC_no_such___x"),
            ("bpf_func_id___x", "BPF_FUNC_loop___x"),
            ("bpf_map_type___y", "BPF_MAP_TYPE_ARENA___y"),
        )
        for kind in (0, 1)
    ),
]


def _text(wanted: list[int]) -> str:
    programs = [
        f'SEC("socket") int q{n}(void *ctx)\n'
        f"{{ if ((u64)({question}) != {wanted[n]}ULL) return ((int (*)(void))99999)(); return 0; }}\n"
        for n, question in enumerate(QUESTIONS)
    ]
    return TYPES + "".join(programs)


@pytest.fixture(params=["5.10", "6.1", "newest"])
def machine(request, kernel, newest):
    return newest if request.param == "newest" else kernel(request.param)


def test_values_are_libbpfs(machine, tmp_path):
    ours = _ours(compiled(tmp_path, _text([0] * len(QUESTIONS))), KernelTypes(Btf(machine.btf.read_bytes())))
    wanted = [resolution.value or 0 for resolution in ours]
    verdicts = _verdicts(machine, compiled(tmp_path, _text(wanted), name="asking"))
    different = [
        (QUESTIONS[n], resolution, verdicts[f"q{n}"])
        for n, resolution in enumerate(ours)
        if (resolution.value is not None) is not (verdicts[f"q{n}"] is VerdictKind.ACCEPT)
    ]
    assert not different
    assert sum(resolution.value is None for resolution in ours) >= 2  # some that cannot be satisfied
    assert sum(bool(resolution.value) for resolution in ours) > len(QUESTIONS) // 2


def test_a_wrong_value_is_noticed(newest, tmp_path):
    """The comparison above can fail: with other values no program is taken that asks for one."""
    types = KernelTypes(Btf(newest.btf.read_bytes()))
    ours = _ours(compiled(tmp_path, _text([0] * len(QUESTIONS))), types)
    wrong = [(resolution.value or 0) + 1 for resolution in ours]
    verdicts = _verdicts(newest, compiled(tmp_path, _text(wrong), name="asking"))
    assert set(verdicts.values()) == {VerdictKind.REJECT}


def _ours(path: Path, types: KernelTypes) -> list[Resolution]:
    found = read_bpf_object(path)
    assert found.btf is not None
    programs = {function.name: function for function in found.programs}
    results = []
    for n in range(len(QUESTIONS)):
        (relocation,) = programs[f"q{n}"].core.values()
        results.append(resolve(found.btf, relocation, types))
    return results


def _verdicts(kernel, path: Path) -> dict[str, VerdictKind]:
    options = RunOptions(
        kernels=(kernel,), programs=load_programs([path]), guest=GuestOptions(accel=AccelChoice.TCG)
    )
    run = pipeline.run(options, Silent())
    return {case.variant: case.verdict.kind for case in run.cases}
