"""Real guests are asked for features of the language, the JIT and the configuration."""

from dataclasses import replace

import pytest

import harness.features.probe.programs as program_module
from harness.crew import warm_object
from harness.features.disagreements import explanations
from harness.features.documented import documented
from harness.features.probe.asked import language
from harness.features.probe.jit import probe_jit
from harness.features.probe.language import probe_language
from harness.features.probe.programs import programs
from harness.features.probe.settings import probe_config, symbols
from harness.features.probe.subject import Subject
from harness.features.types import FeatureKind, Method, Support
from harness.guest.assets import prepare
from harness.guest.guest import start_guest
from harness.guest.options import AccelChoice, GuestOptions

pytestmark = pytest.mark.vm
OLD, NEW = "5.10", "7.3"


def asked(machine):
    options = GuestOptions(accel=AccelChoice.TCG)
    with start_guest(lambda kvm: prepare(machine, kvm=kvm, warm=warm_object()), options) as guest:
        subject = Subject(guest, machine.btf.read_bytes())
        found = [*probe_language(subject), *probe_jit(subject), *probe_config(subject)]
        left = guest.read_file("/proc/self/mounts")  # it still answers
        attached = guest.read_file("/sys/fs/cgroup/cgroup.procs")
    assert left
    assert attached
    return {(one.kind, one.name): one.finding() for one in found}


@pytest.fixture(scope="module")
def old(kernel):
    """What 5.10 answered."""
    return asked(kernel(OLD))


@pytest.fixture(scope="module")
def new(kernel):
    """What 7.3 answered."""
    return asked(kernel(NEW))


def test_every_documented_record_has_an_answer(old, new):
    wanted = {key for key in documented() if key[0] in (FeatureKind.LANGUAGE, FeatureKind.JIT)}
    for answers in (old, new):
        assert wanted <= set(answers)
        assert all(finding.evidence for finding in answers.values())
        assert all(f"CONFIG_{name}" in {each for _, each in answers} for name in symbols())


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("bounded_loops", Support.YES, Support.YES),
        ("atomics_fetch_or_xor_xchg_cmpxchg", Support.NO, Support.YES),
        ("isa_v4", Support.NO, Support.YES),
        ("may_goto", Support.NO, Support.YES),
        ("isa_load_acquire_store_release", Support.NO, Support.YES),
        ("global_functions", Support.YES, Support.YES),
        ("global_function_pointer_args", Support.NO, Support.YES),
        ("btf_enum64", Support.NO, Support.YES),
        ("kfunc_calls", Support.NO, Support.YES),
        ("open_coded_iterators", Support.NO, Support.YES),
        ("kfunc_flag_KF_DESTRUCTIVE", Support.NO, Support.YES),
        ("exceptions", Support.NO, Support.YES),
        ("arena", Support.NO, Support.YES),
        ("spin_lock", Support.YES, Support.YES),
        ("tcx", Support.NO, Support.YES),
        ("BPF_F_AFTER", Support.NO, Support.YES),
        ("BPF_F_PREORDER", Support.NO, Support.YES),
        ("link_kprobe_multi", Support.NO, Support.YES),
        ("map_batch_percpu_array", Support.NO, Support.YES),
        ("BPF_SOCK_OPS_TSTAMP_ACK_CB", Support.NO, Support.YES),
        ("BPF_MTU_CHK_SEGS", Support.NO, Support.YES),
        ("BPF_F_TUNINFO_FLAGS", Support.NO, Support.YES),
        ("BPF_F_CURRENT_NETNS", Support.YES, Support.YES),
        ("module_btf_sysfs", Support.NO, Support.YES),
        ("xdp_generic", Support.YES, Support.YES),
        ("bpfilter", Support.NO, Support.NO),
    ],
)
def test_telling_features(old, new, name, before, after):
    key = FeatureKind.LANGUAGE, name
    assert (old[key].support, new[key].support) == (before, after), (old[key], new[key])


def test_the_evidence_is_the_kernels_own(old, new):
    def evidence(answers, name):
        found = answers[FeatureKind.LANGUAGE, name]
        return found.method, found.evidence

    assert evidence(old, "kfunc_calls") == (Method.VERIFIER, "BPF_CALL uses reserved fields")
    assert evidence(old, "isa_v4") == (Method.VERIFIER, "unknown opcode d7")
    assert evidence(old, "btf_decl_tags")[0] is Method.VERIFIER
    assert "Invalid btf_info" in evidence(old, "btf_decl_tags")[1]
    assert evidence(old, "BPF_SOCK_OPS_TSTAMP_ACK_CB") == (
        Method.BTF,
        "the enum of BPF_SOCK_OPS_VOID lacks BPF_SOCK_OPS_TSTAMP_ACK_CB",
    )
    assert evidence(old, "BPF_F_TUNINFO_FLAGS")[0] is Method.CALLED
    assert evidence(old, "arena") == (
        Method.ERRNO,
        "BPF_MAP_CREATE: EINVAL; its BTF has no BPF_MAP_TYPE_ARENA",
    )
    assert "CAP_SYS_BOOT" in evidence(new, "kfunc_flag_KF_DESTRUCTIVE")[1]
    assert evidence(new, "tcx")[0] is Method.CREATED


def test_what_does_not_decide_is_unknown(old, new):
    for answers in (old, new):
        for name in (*language().nobody, *language().architectures):
            needs = language().needs.get(name)
            if not needs:
                assert answers[FeatureKind.LANGUAGE, name].support is Support.UNKNOWN
        # A driver that is built, of a device the guest has not got.
        driver = answers[FeatureKind.LANGUAGE, "xdp_driver_ixgbe"]
        assert (driver.support, "CONFIG_IXGBE=m" in driver.evidence) == (Support.UNKNOWN, True)


def test_words_nobody_knows_are_unknown(kernel, monkeypatch):
    other = replace(programs()["may_goto"], no="^never said")
    changed = {**programs(), "may_goto": other}
    monkeypatch.setattr(program_module, "programs", lambda: changed)
    found = asked(kernel(OLD))[FeatureKind.LANGUAGE, "may_goto"]
    assert found.support is Support.UNKNOWN
    assert "unknown opcode e5" in found.evidence


def test_the_jit_and_the_configuration(old, new):
    for answers in (old, new):
        assert answers[FeatureKind.JIT, "x86_64"].support is Support.YES
        assert answers[FeatureKind.JIT, "arm64"].support is Support.UNKNOWN
        assert answers[FeatureKind.CONFIG, "CONFIG_BPF_SYSCALL"].support is Support.YES
        assert answers[FeatureKind.CONFIG, "btf_vmlinux"].support is Support.YES
        assert answers[FeatureKind.CONFIG, "unprivileged_bpf_disabled"].method is Method.FILE
    assert old[FeatureKind.CONFIG, "CONFIG_FPROBE"].support is Support.NO
    assert new[FeatureKind.CONFIG, "CONFIG_FPROBE"].support is Support.YES
    assert new[FeatureKind.CONFIG, "CONFIG_FPROBE"].evidence == "CONFIG_FPROBE=y"


def test_each_contradiction_with_the_documents_is_explained(old, new):
    known = [one for one in explanations() if one.kind is FeatureKind.LANGUAGE]
    for version, answers in ((OLD, old), (NEW, new)):
        series = tuple(map(int, version.split(".")))
        for (kind, name), finding in answers.items():
            record = documented().get((kind, name))
            if record is None or finding.support is Support.UNKNOWN or record.removed:
                continue
            since = tuple(int(part) for part in record.since.split(".")[:2])
            predicted = Support.YES if series >= since else Support.NO
            assert predicted is finding.support or any(name in one.names for one in known), (version, name)
