"""Types, commands and flags asked of real kernels: what is there, what is not, and that nothing stays."""

import time

import pytest

from harness.build import btftypes as kinds
from harness.build.btftypes import Btf
from harness.crew import warm_object
from harness.features.documented import documented
from harness.features.probe.attr import commands, layout
from harness.features.probe.made import (
    probe_attach_types,
    probe_commands,
    probe_link_types,
    probe_map_flags,
    probe_map_types,
    probe_program_flags,
)
from harness.features.probe.program_types import probe_program_types
from harness.features.probe.questions import catalog
from harness.features.probe.subject import Subject
from harness.features.types import FeatureKind, Method, Support
from harness.guest.assets import prepare
from harness.guest.calls import Call, PatchKind, Sys, argument
from harness.guest.guest import start_guest
from harness.guest.options import AccelChoice, GuestOptions

pytestmark = pytest.mark.vm
PROBES = {
    FeatureKind.PROGRAM_TYPE: probe_program_types,
    FeatureKind.MAP_TYPE: probe_map_types,
    FeatureKind.MAP_FLAG: probe_map_flags,
    FeatureKind.PROGRAM_FLAG: probe_program_flags,
    FeatureKind.COMMAND: probe_commands,
    FeatureKind.LINK_TYPE: probe_link_types,
    FeatureKind.ATTACH_TYPE: probe_attach_types,
}
LINK_GET_NEXT_ID, PROG_GET_NEXT_ID = 31, 11
PATIENCE_S = 20.0  # until the kernel has let go of what a process left


@pytest.fixture(scope="module", params=["5.10", "newest"])
def machine(request, kernel, newest):
    return newest if request.param == "newest" else kernel(request.param)


@pytest.fixture(scope="module")
def guest(machine):
    options = GuestOptions(accel=AccelChoice.TCG)
    with start_guest(lambda kvm: prepare(machine, kvm=kvm, warm=warm_object()), options) as started:
        yield started


@pytest.fixture(scope="module")
def old(machine):
    return machine.name == "5.10"


@pytest.fixture(scope="module")
def found(guest, machine):
    """Every answer of this kernel, by kind and name."""
    subject = Subject(guest, machine.btf.read_bytes())
    features = [feature for probe in PROBES.values() for feature in probe(subject)]
    assert len({(feature.kind, feature.name) for feature in features}) == len(features)
    return {(feature.kind, feature.name): feature.finding() for feature in features}


def said(found, kind, name):
    finding = found[kind, name]
    return finding.support, finding.method


def test_no_documented_record_is_missing(found):
    wanted = {key for key in documented() if key[0] in PROBES}
    assert not wanted - set(found)
    assert all(finding.evidence and len(finding.evidence) <= 200 for finding in found.values())


def test_what_is_said_to_be_there_was_made_and_what_is_not_is_proven(found):
    proofs = {
        Support.YES: {Method.CREATED, Method.ERRNO, Method.VERIFIER},
        Support.NO: {Method.BTF, Method.ERRNO},
        Support.UNKNOWN: {Method.NONE},
    }
    assert {f.method for f in found.values() if f.method not in proofs[f.support]} == set()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (FeatureKind.PROGRAM_TYPE, "BPF_PROG_TYPE_EXT"),
        (FeatureKind.PROGRAM_TYPE, "BPF_PROG_TYPE_STRUCT_OPS"),
        (FeatureKind.MAP_TYPE, "BPF_MAP_TYPE_HASH_OF_MAPS"),
        (FeatureKind.MAP_TYPE, "BPF_MAP_TYPE_INODE_STORAGE"),
        (FeatureKind.MAP_TYPE, "BPF_MAP_TYPE_STRUCT_OPS"),
        (FeatureKind.MAP_TYPE, "BPF_MAP_TYPE_XSKMAP"),
        (FeatureKind.MAP_FLAG, "BPF_F_CLONE"),
        (FeatureKind.MAP_FLAG, "BPF_F_LOCK"),
        (FeatureKind.PROGRAM_FLAG, "BPF_F_SLEEPABLE"),
        (FeatureKind.COMMAND, "BPF_PROG_BIND_MAP"),
        (FeatureKind.COMMAND, "BPF_TASK_FD_QUERY"),
        (FeatureKind.LINK_TYPE, "BPF_LINK_TYPE_NETNS"),
        (FeatureKind.LINK_TYPE, "BPF_LINK_TYPE_TRACING"),
        (FeatureKind.ATTACH_TYPE, "BPF_CGROUP_SYSCTL"),
        (FeatureKind.ATTACH_TYPE, "BPF_FLOW_DISSECTOR"),
        (FeatureKind.ATTACH_TYPE, "BPF_LSM_MAC"),
        (FeatureKind.ATTACH_TYPE, "BPF_MODIFY_RETURN"),
        (FeatureKind.ATTACH_TYPE, "BPF_SK_MSG_VERDICT"),
        (FeatureKind.ATTACH_TYPE, "BPF_XDP_CPUMAP"),
    ],
)
def test_what_both_kernels_have_was_made(found, kind, name):
    assert said(found, kind, name) == (Support.YES, Method.CREATED)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (FeatureKind.PROGRAM_TYPE, "BPF_PROG_TYPE_NETFILTER"),
        (FeatureKind.MAP_TYPE, "BPF_MAP_TYPE_ARENA"),
        (FeatureKind.MAP_TYPE, "BPF_MAP_TYPE_RHASH"),
        (FeatureKind.MAP_FLAG, "BPF_F_CPU"),
        (FeatureKind.MAP_FLAG, "BPF_F_PATH_FD"),
        (FeatureKind.MAP_FLAG, "BPF_F_SEGV_ON_FAULT"),
        (FeatureKind.COMMAND, "BPF_COMMON_ATTRS"),
        (FeatureKind.COMMAND, "BPF_PROG_STREAM_READ_BY_FD"),
        (FeatureKind.LINK_TYPE, "BPF_LINK_TYPE_STRUCT_OPS"),
        (FeatureKind.LINK_TYPE, "BPF_LINK_TYPE_SOCKMAP"),
        (FeatureKind.ATTACH_TYPE, "BPF_NETKIT_PEER"),
        (FeatureKind.ATTACH_TYPE, "BPF_SK_REUSEPORT_SELECT"),
        (FeatureKind.ATTACH_TYPE, "BPF_TCX_INGRESS"),
        (FeatureKind.ATTACH_TYPE, "BPF_TRACE_FENTRY_MULTI"),
        (FeatureKind.ATTACH_TYPE, "BPF_TRACE_UPROBE_SESSION"),
    ],
)
def test_what_only_the_newest_has(found, old, kind, name):
    expected = (Support.NO, Method.BTF) if old else (Support.YES, Method.CREATED)
    assert said(found, kind, name) == expected


def test_flags_of_programs_are_decided_without_btf(found, old):
    finding = found[FeatureKind.PROGRAM_FLAG, "BPF_F_XDP_HAS_FRAGS"]
    if old:
        assert (finding.support, finding.method) == (Support.NO, Method.ERRNO)
        assert "as with a flag no kernel has" in finding.evidence
    else:
        assert (finding.support, finding.method) == (Support.YES, Method.CREATED)


def test_a_number_5_10_does_not_look_at_is_no_yes(found, old):
    finding = found[FeatureKind.ATTACH_TYPE, "BPF_SK_REUSEPORT_SELECT"]
    assert ("with a number no kernel has as well" in finding.evidence) == old


def test_a_type_the_kernel_was_built_without_says_what_proves_it(found):
    finding = found[FeatureKind.PROGRAM_TYPE, "BPF_PROG_TYPE_LIRC_MODE2"]
    assert (finding.support, finding.method) == (Support.NO, Method.ERRNO)
    assert "EINVAL; its BTF has no function lirc_mode2_func_proto" in finding.evidence


def test_without_btf_nothing_that_is_missing_becomes_a_no(guest, old):
    """5.10 has no RHASH and no netfilter links; without its BTF, EINVAL alone must not say so."""
    blind = Subject(guest, None)
    types = {feature.name: feature.support() for feature in probe_map_types(blind)}
    assert types["BPF_MAP_TYPE_RHASH"] is (Support.UNKNOWN if old else Support.YES)
    assert types["BPF_MAP_TYPE_HASH"] is Support.YES
    assert types["BPF_MAP_TYPE_STRUCT_OPS"] is Support.UNKNOWN  # nothing to describe it with
    for probe in (probe_attach_types, probe_link_types, probe_commands, probe_program_types):
        answers = {feature.support() for feature in probe(blind)}
        assert Support.YES in answers
        assert Support.NO not in answers


def test_a_question_put_wrongly_is_unknown_and_no_no(guest, machine, monkeypatch):
    """An LPM trie without the flag it needs is refused by every kernel, as an unknown type is."""
    question = next(q for q in catalog().questions if q.name == "BPF_MAP_TYPE_LPM_TRIE")
    monkeypatch.setitem(question.step["with"], "map_flags", 0)
    subject = Subject(guest, machine.btf.read_bytes())
    finding = next(f for f in probe_map_types(subject) if f.name == question.name).finding()
    assert (finding.support, finding.evidence) == (Support.UNKNOWN, "BPF_MAP_CREATE: EINVAL")


def test_where_links_fail_programs_are_attached_to_cgroups_themselves(guest, machine, monkeypatch):
    """As kernels before 5.7 need it: every cgroup's attach type is there all the same."""
    question = next(q for q in catalog().questions if q.name == "BPF_CGROUP_DEVICE")
    monkeypatch.setitem(question.step["with"], "target_fd", 60_000)
    found = probe_attach_types(Subject(guest, machine.btf.read_bytes()))
    device = next(feature for feature in found if feature.name == question.name).finding()
    assert (device.support, device.evidence) == (Support.YES, "BPF_PROG_ATTACH succeeds")


@pytest.mark.usefixtures("found")
def test_nothing_stays_behind(guest):
    assert wait_for(lambda: next_id(guest, LINK_GET_NEXT_ID) == "ENOENT"), "a link is left"
    assert wait_for(lambda: next_id(guest, PROG_GET_NEXT_ID) == "ENOENT"), "a program is left"
    left = ["/sys/fs/cgroup/bpfmatrix-probe", "/sys/fs/bpf/bpfmatrix-probe", "/run/bpfmatrix-probe"]
    left.append("/sys/class/net/probe0")
    opened = [Call(Sys.OPEN, data=(path.encode() + b"\0",), patches=(argument(0),)) for path in left]
    assert [called.errno for called in guest.calls(opened, 10).called] == ["ENOENT"] * len(left)


def wait_for(holds):
    deadline = time.monotonic() + PATIENCE_S
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.2)
    return holds()


def next_id(guest, command):
    asking = Call(Sys.BPF, (command, 0, 16), (bytes(16),), (argument(1, PatchKind.ADDRESS, 0),))
    return guest.calls([asking], 10).called[0].errno


def test_bpf_attr_is_laid_out_as_the_newest_kernel_has_it(newest):
    """Every command's fields stand where one of the structs in the kernel's union bpf_attr has them."""
    structs = attr_structs(Btf(newest.btf.read_bytes()))
    renamed = {"id", "multi_flags", "netfilter_flags", "target_fd", "prog_cnt"}
    for command in commands():
        wanted = {(name, place.at) for name, place in layout(command).items() if name not in renamed}
        assert any(wanted <= struct for struct in structs), command


def attr_structs(btf):
    """The structs of union bpf_attr: names of members, of inner ones as well, with their offsets in bytes."""
    number = next(n for n in range(1, len(btf)) if btf.kind(n) == kinds.UNION and btf.name(n) == "bpf_attr")
    return [set(_offsets(btf, member.type, 0)) for member in btf.members(btf[number])]


def _offsets(btf, number, start):
    number = btf.resolve(number)
    if btf.kind(number) in (kinds.STRUCT, kinds.UNION):
        for member in btf.members(btf[number]):
            at = start + member.offset // 8
            inner = list(_offsets(btf, member.type, at))
            yield from inner or [(member.name, at)]
