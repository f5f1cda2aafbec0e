"""Asking the running kernel: harmless calls in a child, words that decide, and what nothing decides."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.cli import main
from harness.errors import UserError
from harness.features.documented import documented
from harness.features.host import ask as room
from harness.features.host.ask import Host, line
from harness.features.host.btf import HostTypes, host_types
from harness.features.host.calls import HostKernel, NotHarmlessError, may_ask
from harness.features.host.questions import helper_call, helper_finding, made_finding, questions
from harness.features.names import Feature
from harness.features.types import FeatureKind, Method, Support
from harness.guest.calls import Answers, Call, Called, Ending, PatchKind, Sys, argument

LOOP = Feature(FeatureKind.HELPER, "bpf_loop")
RINGBUF = Feature(FeatureKind.MAP_TYPE, "BPF_MAP_TYPE_RINGBUF")
COUNTS = "processed 1 insns (limit 1000000) max_states_per_insn 0"
asks = pytest.mark.skipif(not may_ask(), reason="asking the running kernel needs CAP_BPF")


class Fake(HostKernel):
    """A kernel that gives prepared answers."""

    def __init__(self, *answers: Called) -> None:
        self.answers = answers
        self.asked: list[Call] = []

    def calls(self, calls: Sequence[Call], time_limit_s: float) -> Answers:
        self.asked += calls
        assert time_limit_s > 0
        return Answers(tuple(self.answers[at % len(self.answers)] for at in range(len(calls))))


def said(words: str, errno: str = "EINVAL") -> Called:
    return Called(-1, errno, f"0: (85) call bpf_x#1\n{words}\n{COUNTS}\n")


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Host:
    monkeypatch.setattr(room, "may_ask", lambda: True)
    return Host(Fake(said("R2 !read_ok", "EACCES")), tmp_path)


@pytest.mark.parametrize(
    ("called", "support", "absent"),
    [
        (Called(3), "yes", False),
        (said("R1 type=ctx expected=map_ptr", "EACCES"), "yes", False),
        (said("R2 !read_ok", "EACCES"), "yes", False),
        (said("program of this type cannot use helper bpf_x#1"), "no", False),
        (said("unknown func bpf_x#1"), "no", False),
        (said("invalid func unknown#999"), "no", True),
        (said("helper call is not allowed in probe"), "unknown", False),
        (said("words of a kernel to come"), "unknown", False),
        (Called(-1, "EPERM"), "unknown", False),
    ],
)
def test_the_verifiers_words_decide_and_unknown_words_do_not(
    called: Called, support: str, absent: bool
) -> None:
    finding, none = helper_finding(called)
    assert (finding.support, none) == (support, absent)
    assert finding.evidence


@pytest.mark.parametrize(
    ("called", "support"),
    [
        (Called(3), "yes"),
        (Called(-1, "EINVAL"), "no"),
        (Called(-1, "EPERM"), "unknown"),
        (Called(-1, "ENOMEM"), "unknown"),
        (Called(-1, "EINVAL", "some words"), "unknown"),
    ],
)
def test_only_einval_without_words_says_that_a_type_is_missing(called: Called, support: str) -> None:
    assert made_finding(called).support == support


def test_questions_are_about_documented_types() -> None:
    for name in questions().program_types:
        assert documented()[FeatureKind.PROGRAM_TYPE, f"BPF_PROG_TYPE_{name.upper()}"].id is not None
    for name in questions().map_types:
        assert documented()[FeatureKind.MAP_TYPE, name].id is not None


def test_all_types_saying_no_leaves_those_that_were_not_asked(host: Host) -> None:
    host.kernel = Fake(said("program of this type cannot use helper bpf_loop#181"))
    assert host.ask(LOOP).support is Support.UNKNOWN
    assert host.ask(LOOP, "xdp").support is Support.NO
    host.kernel = Fake(said("invalid func unknown#181"))
    assert host.ask(LOOP).support is Support.NO


def test_a_program_type_that_needs_a_target_is_not_guessed(host: Host) -> None:
    assert host.ask(LOOP, "tracing").support is Support.UNKNOWN


def test_what_would_change_the_system_is_not_tried(host: Host) -> None:
    found = host.ask(Feature(FeatureKind.LINK_TYPE, "BPF_LINK_TYPE_XDP"))
    assert found.support is Support.UNKNOWN
    assert isinstance(host.kernel, Fake)
    assert host.kernel.asked == []


@pytest.mark.parametrize(
    ("feature", "support"),
    [
        (Feature(FeatureKind.ATTACH_TYPE, "BPF_TRACE_FENTRY"), "unknown"),  # known, but can it be attached?
        (Feature(FeatureKind.ATTACH_TYPE, "BPF_TRACE_FSESSION"), "no"),
        (Feature(FeatureKind.COMMAND, "BPF_MAP_CREATE"), "yes"),
        (Feature(FeatureKind.COMMAND, "BPF_TOKEN_CREATE"), "no"),
        (Feature(FeatureKind.KFUNC, "bpf_obj_new_impl"), "yes"),
        (Feature(FeatureKind.KFUNC, "crash_kexec"), "unknown"),  # a function, but is it a kfunc?
        (Feature(FeatureKind.KFUNC, "bpf_wq_init"), "no"),
    ],
)
def test_btf_proves_absence_and_seldom_presence(host: Host, feature: Feature, support: str) -> None:
    names = frozenset({"BPF_TRACE_FENTRY", "BPF_MAP_CREATE"})
    functions = frozenset({"bpf_obj_new_impl", "crash_kexec"})
    host._types.append(HostTypes(names, functions, frozenset({"bpf_obj_new_impl"})))
    found = host.ask(feature)
    assert found.support == support


def test_a_module_may_bring_a_kfunc(host: Host) -> None:
    host._types.append(HostTypes(frozenset(), frozenset(), frozenset()))
    (host.btf / "nf_conntrack").touch()
    assert host.ask(Feature(FeatureKind.KFUNC, "bpf_skb_ct_lookup")).support is Support.UNKNOWN


def test_without_the_capability_it_says_so(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "may_ask", lambda: False)
    with pytest.raises(UserError, match=r"needs CAP_BPF .* which is lacking here"):
        host.ask(LOOP)


def test_one_line_says_it_all(host: Host) -> None:
    assert line(LOOP, "xdp", host.ask(LOOP, "xdp")).startswith("bpf_loop (helper) in xdp programs: yes on ")
    unknown = line(RINGBUF, None, host.ask(Feature(FeatureKind.LINK_TYPE, "BPF_LINK_TYPE_XDP")))
    assert "for such kernels: " in unknown
    assert "\n" not in unknown


def test_calls_that_leave_something_behind_are_refused_before_any_is_made() -> None:
    attach = Call(Sys.BPF, (8, 0, 128), (bytes(128),), (argument(1),))
    for call in (attach, Call(Sys.MOUNT), Call(Sys.OPEN, (0, os.O_WRONLY)), Call(Sys.BPF)):
        with pytest.raises(NotHarmlessError):
            HostKernel().calls([call], 1.0)


def test_files_are_read_by_calls(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"what it says")
    opened = Call(Sys.OPEN, data=(bytes(file) + b"\0",), patches=(argument(0),))
    read = Call(Sys.READ, (0, 0, 64), (bytes(64),), (argument(0, PatchKind.RESULT, 0), argument(1)), out=0)
    missing = Call(Sys.OPEN, data=(bytes(tmp_path / "none") + b"\0",), patches=(argument(0),))
    answers = HostKernel().calls([opened, read, missing], 10.0)
    assert answers.ending is Ending.ALL
    assert answers.called[1].out[: answers.called[1].value] == b"what it says"
    assert answers.called[2].errno == "ENOENT"


def test_a_call_that_waits_is_ended_and_nothing_is_left_behind(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    waits = Call(Sys.OPEN, data=(bytes(fifo) + b"\0",), patches=(argument(0),))
    start = time.monotonic()
    answers = HostKernel().calls([Call(Sys.CLOSE, (-1,)), waits], 0.3)
    assert (answers.ending, len(answers.called)) == (Ending.LIMIT, 1)
    assert time.monotonic() - start >= 0.3
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_batch_whose_process_dies_tells_how_far_it_came() -> None:
    bad = Call(Sys.READ, (0,), patches=(argument(0, PatchKind.RESULT, 7),))  # refers to a call that never was
    answers = HostKernel().calls([Call(Sys.CLOSE, (-1,)), bad], 10.0)
    assert (answers.ending, len(answers.called)) == (Ending.EARLY, 1)
    assert answers.called[0].errno == "EBADF"


@asks
def test_the_running_kernel_answers_about_what_every_kernel_has() -> None:
    kernel = Host()
    assert kernel.ask(Feature(FeatureKind.HELPER, "bpf_map_lookup_elem"), "xdp").support is Support.YES
    assert kernel.ask(Feature(FeatureKind.MAP_TYPE, "BPF_MAP_TYPE_HASH")).method is Method.CREATED
    assert kernel.ask(Feature(FeatureKind.PROGRAM_TYPE, "BPF_PROG_TYPE_XDP")).support is Support.YES
    assert kernel.ask(Feature(FeatureKind.HELPER, "bpf_skb_load_bytes"), "xdp").support is Support.NO


@asks
def test_a_helper_no_kernel_has_is_absent() -> None:
    call = helper_call(0x7FFF, "xdp", 6)
    finding, absent = helper_finding(HostKernel().calls([call], 20.0).called[0])
    assert (finding.support, absent) == (Support.NO, True)


@asks
def test_the_commands_exit_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "map:hash", "prog:xdp", "--host"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["check", "bpf_skb_load_bytes", "--program-type", "xdp", "--host"]) == 1
    assert main(["check", "link:xdp", "--host"]) in (1, 3)
    assert main(["check", "map:hash", "--host", "--json"]) == 0


@pytest.mark.parametrize(
    "blob", [b"", b"\x9f\xeb\x01\x00", struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 99, 0, 1)]
)
def test_btf_that_cannot_be_read_is_no_btf(tmp_path: Path, blob: bytes) -> None:
    (tmp_path / "vmlinux").write_bytes(blob)
    assert host_types(tmp_path) is None
    assert host_types(tmp_path / "none") is None
