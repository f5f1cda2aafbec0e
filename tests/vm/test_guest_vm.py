"""Real guests: boot, save, restore, die, hang, come back. Each test ends with no QEMU of its own left."""

import os
import shutil
import signal
import threading
import time
from dataclasses import replace

import pytest

from harness.build.builder import Builder
from harness.build.toolchain import find_compilers
from harness.crew import warm_object
from harness.errors import InfrastructureError
from harness.execute import KernelSession
from harness.guest import guest as guest_module
from harness.guest.assets import prepare
from harness.guest.guest import Guest, start_guest
from harness.guest.options import AccelChoice, GuestOptions
from harness.model import (
    BuiltObject,
    Case,
    Loader,
    LoadSettings,
    ObservationStatus,
    Outcome,
    Program,
    ProgramKind,
    Stage,
    Variant,
    VerdictKind,
)

pytestmark = pytest.mark.vm

TCG = GuestOptions(accel=AccelChoice.TCG)

ACCEPTED = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("socket") int fine(void *ctx) { return 0; }
char LICENSE[] SEC("license") = "GPL";
"""

REJECTED = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, int);
	__type(value, long);
} m SEC(".maps");
SEC("socket") int unchecked(void *ctx)
{
	int key = 0;
	long *value = bpf_map_lookup_elem(&m, &key);
	return *value;
}
char LICENSE[] SEC("license") = "GPL";
"""

# Two runs of a million instructions for the verifier: long enough to be interrupted under emulation.
LONG = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("socket") int endless(struct __sk_buff *skb)
{
	__u32 sum = skb->len;
	for (int i = 0; i < 300000; i++)
		asm volatile("%0 += %1" : "+r"(sum) : "r"(i));
	return sum;
}
char LICENSE[] SEC("license") = "GPL";
"""


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Compile a C text to an object."""
    folder = tmp_path_factory.mktemp("sources")
    builder, clang = Builder(), find_compilers(())[0]

    def make(text):
        path = folder / f"case{len(list(folder.iterdir()))}.bpf.c"
        path.write_text(text)
        built = builder.build(Program(path.name, path, ProgramKind.SOURCE, ()), None, clang)
        assert isinstance(built, BuiltObject), built
        return built

    return make


def case(kernel, settings=LoadSettings()):  # noqa: B008 - frozen
    return Case(Program("test", None, ProgramKind.SOURCE, ()), Variant("v", {}, settings), kernel.name)


@pytest.fixture
def session(newest):
    """A session on the newest kernel, closed whatever happens."""
    with KernelSession(newest, TCG, warm_object()) as session:
        yield session


def test_accept_and_reject_with_all_their_words(session, newest, build):
    good = session.run(case(newest), build(ACCEPTED))
    assert (good.verdict.kind, good.outcome) == (VerdictKind.ACCEPT, Outcome.NO_EXPECTATION)
    assert good.observation.insns_processed == 2
    assert good.observation.bpf_time_us > 0
    bad = session.run(case(newest), build(REJECTED))
    assert (bad.verdict.kind, bad.verdict.stage, bad.verdict.errno) == (
        VerdictKind.REJECT,
        Stage.LOAD,
        "EACCES",
    )
    assert "map_value_or_null" in bad.observation.verifier_log
    assert bad.observation.log_level == 5  # the whole log was fetched because of the rejection
    assert [(made.name, made.type, made.max_entries) for made in bad.observation.maps] == [("m", "hash", 8)]


def test_both_loaders_load_the_same_object(session, newest, build):
    raw = case(newest, LoadSettings(loader=Loader.RAW))
    assert session.run(raw, build(ACCEPTED)).verdict.kind is VerdictKind.ACCEPT
    assert session.run(raw, build(REJECTED)).verdict.errno == "EACCES"


def test_capabilities_and_memlock_are_the_cases_own(session, newest, build):
    nobody = case(newest, LoadSettings(capabilities=()))
    assert session.run(nobody, build(REJECTED)).verdict.errno == "EPERM"
    assert session.run(case(newest), build(ACCEPTED)).verdict.kind is VerdictKind.ACCEPT


def test_memlock_limits_a_map_before_5_11(kernel, build):
    old = kernel("5.10")
    with KernelSession(old, TCG, warm_object()) as session:
        # Far more than the limit: what libbpf's own trial program locked may not be given back yet.
        large = build(REJECTED.replace("max_entries, 8", "max_entries, 100000"))
        small = session.run(case(old, LoadSettings(memlock=65536)), large)
        assert (small.verdict.stage, small.verdict.errno) == (Stage.MAP_CREATE, "EPERM")
        assert session.run(case(old), build(REJECTED)).verdict.stage is Stage.LOAD


def test_a_time_limit_ends_the_case_and_not_the_guest(session, newest, build):
    hung = session.run(case(newest, LoadSettings(time_limit_s=0.3)), build(LONG))
    assert (hung.outcome, hung.verdict.kind) == (Outcome.HANG, VerdictKind.NONE)
    pid = session._guest.pid
    assert session.run(case(newest), build(ACCEPTED)).verdict.kind is VerdictKind.ACCEPT
    assert session._guest.pid == pid


def during(action):
    """Do `action` a moment later, while a case runs."""
    timer = threading.Timer(1.0, action)
    timer.start()
    return timer


def test_qemu_killed_from_outside_is_a_crash_and_the_guest_comes_back(session, newest, build):
    session.start()
    killer = during(lambda: os.kill(session._guest.pid, signal.SIGKILL))
    crashed = session.run(case(newest), build(LONG))
    killer.join()
    assert (crashed.outcome, crashed.verdict.kind) == (Outcome.CRASH, VerdictKind.NONE)
    assert "SIGKILL" in crashed.observation.note
    assert session.run(case(newest), build(ACCEPTED)).verdict.kind is VerdictKind.ACCEPT


def test_a_kernel_panic_is_a_crash_with_the_consoles_tail(newest, build):
    fragile = replace(newest, boot_args=(*newest.boot_args, "unknown_nmi_panic"))
    with KernelSession(fragile, replace(TCG, snapshots=False)) as session:
        session.start()
        nmi = during(lambda: session._guest._qemu.monitor.execute("inject-nmi"))
        crashed = session.run(case(newest), build(LONG))
        nmi.join()
        assert crashed.outcome is Outcome.CRASH
        assert "Kernel panic" in crashed.observation.console_tail
        assert session.run(case(newest), build(ACCEPTED)).verdict.kind is VerdictKind.ACCEPT


def test_a_guest_that_stops_answering_is_a_hang_and_is_replaced(newest, build):
    impatient = replace(TCG, grace_s=0.5)
    with KernelSession(newest, impatient, warm_object()) as session:
        session.start()
        pid = session._guest.pid
        os.kill(pid, signal.SIGSTOP)
        hung = session.run(case(newest, LoadSettings(time_limit_s=1.0)), build(ACCEPTED))
        assert hung.outcome is Outcome.HANG
        assert session.run(case(newest), build(ACCEPTED)).verdict.kind is VerdictKind.ACCEPT
        assert session._guest.pid != pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_guest_that_never_becomes_ready_says_why(newest):
    broken = replace(newest, boot_args=("rdinit=/nothing", "init=/nothing"))
    with KernelSession(broken, replace(TCG, snapshots=False)) as session:
        with pytest.raises(InfrastructureError, match="panic") as raised:
            session.start()
        assert "console" in str(raised.value)
        assert session.kernel_run.problem


def test_a_guest_that_dies_while_it_boots_is_booted_once_more(newest, monkeypatch):
    assets, launch = prepare(newest, kvm=False), guest_module._launch
    dying = iter([replace(assets, append=f"{assets.append} rdinit=/nothing init=/nothing")])
    monkeypatch.setattr(guest_module, "_launch", lambda given, *more: launch(next(dying, given), *more))
    with start_guest(lambda _: assets, replace(TCG, snapshots=False)) as started:
        assert started.alive()
        assert started.note.startswith("booted twice; the first time: the guest of kernel")


@pytest.mark.parametrize("name", ["5.10", None])
def test_the_second_guest_is_restored_and_answers_the_same(name, kernel, newest, build):
    machine = newest if name is None else kernel(name)
    answers = []
    for _ in range(2):
        with KernelSession(machine, TCG, warm_object()) as session:
            restored = session.start().restored
            result = session.run(case(machine), build(REJECTED))
            answers.append((result.verdict, result.observation.insns_processed))
    assert restored
    assert answers[0] == answers[1]


def test_a_damaged_snapshot_is_discarded_and_the_guest_booted(newest, tmp_path, monkeypatch):
    assets = prepare(newest, kvm=False, warm=warm_object())
    with start_guest(lambda _: assets, TCG):
        pass  # makes sure there is one
    original = assets.snapshot()
    mine = replace(original, folder=tmp_path / "snapshot" / "key")
    shutil.copytree(original.folder, mine.folder)
    monkeypatch.setattr("harness.guest.assets.snapshot_for", lambda *_: mine)
    with mine.stream.open("r+b") as file:  # one flipped byte in the middle of the guest's memory
        file.seek(mine.stream.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    with start_guest(lambda _: assets, TCG) as guest:
        assert not guest.restored
        assert "thrown away" in guest.note
    with start_guest(lambda _: assets, TCG) as guest:
        assert guest.restored  # the boot left a good one


CORE = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
struct task_struct { int pid; } __attribute__((preserve_access_index));
int seen;
SEC("raw_tp/sys_enter") int core(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	seen = BPF_CORE_READ(task, pid);
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
"""


def test_a_kernel_without_btf_is_the_reason_and_an_external_file_the_way_out(kernel, build):
    """The guest hides its BTF from libbpf; the file is the same kernel's, as BTFHub would serve it."""
    blind = replace(kernel("6.12"), boot_args=("bpfmatrix.hide-btf",))
    with KernelSession(blind, replace(TCG, snapshots=False), warm_object()) as session:
        refused = session.run(case(blind), build(CORE))
        assert session.kernel_run.has_btf is False
        assert (refused.verdict.kind, refused.verdict.cause) == (VerdictKind.REJECT, "kernel-no-btf")
        assert session.run(case(blind), build(ACCEPTED)).verdict.kind is VerdictKind.ACCEPT
    helped = replace(blind, external_btf=blind.btf)
    for _ in range(2):  # booted, then restored
        with KernelSession(helped, TCG, warm_object()) as session:
            result = session.run(case(helped), build(CORE))
            assert result.verdict.kind is VerdictKind.ACCEPT, result.observation
            restored = session.kernel_run.restored
    assert restored


def hasty(monkeypatch, boots):
    """Let the clocks of the next so many guests seem to run 15 times too fast."""
    true, calls = Guest.clock, []

    def clock(guest):
        calls.append(guest)
        here, there = true(guest)
        return here, there * 15 if len(calls) <= 2 * boots else there

    monkeypatch.setattr(Guest, "clock", clock)
    return calls


def test_a_guest_whose_clock_is_wrong_is_booted_again_and_never_saved(newest, monkeypatch):
    calls = hasty(monkeypatch, boots=1)
    assets = prepare(newest, kvm=False)
    with start_guest(lambda _: assets, replace(TCG, snapshots=False)) as guest:
        assert guest.alive()
    assert len({id(each) for each in calls}) == 2
    assert not calls[0].alive()
    hasty(monkeypatch, boots=99)
    with pytest.raises(InfrastructureError, match=r"1[0-9]\.[0-9] times as fast"):
        start_guest(lambda _: assets, replace(TCG, snapshots=False))


def test_fresh_guest_replaces_the_guest_before_every_case(newest, build):
    with KernelSession(newest, replace(TCG, fresh_guest=True), warm_object()) as session:
        pids = set()
        for _ in range(3):
            assert session.run(case(newest), build(ACCEPTED)).verdict.kind is VerdictKind.ACCEPT
            pids.add(session._guest.pid)
    assert len(pids) == 3


def test_a_line_of_the_kernels_log_belongs_to_the_case_it_came_with(session, newest, build):
    session.start()
    nmi = during(lambda: session._guest._qemu.monitor.execute("inject-nmi"))
    noisy = session.run(case(newest), build(LONG))
    nmi.join()
    assert any("NMI" in line for line in noisy.observation.kernel_messages)
    quiet = session.run(case(newest), build(ACCEPTED))
    assert quiet.observation.status is ObservationStatus.LOADED
    assert quiet.observation.kernel_messages == ()


def test_a_session_leaves_no_qemu_behind(newest):
    with KernelSession(newest, TCG, warm_object()) as session:
        session.start()
        pid = session._guest.pid
    time.sleep(0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
