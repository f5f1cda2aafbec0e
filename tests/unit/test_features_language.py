"""What is asked of features of the language, and how its answers are read; no kernel is needed."""

from __future__ import annotations

import re

import pytest

from harness.build import btftypes as kinds
from harness.build.btftypes import Btf
from harness.features.documented import documented
from harness.features.objects.core import KernelTypes
from harness.features.probe.asked import EntryQuestion, EnumGroup, Symbol, language
from harness.features.probe.batch import Deed, Script, judged
from harness.features.probe.btfblob import Blob
from harness.features.probe.btfdeeds import load_blobs
from harness.features.probe.commands import Cmd, Memory, Result, bpf_call, drop_calls, number, wide
from harness.features.probe.entries import Entries, Entry
from harness.features.probe.files import text_of
from harness.features.probe.instructions import assemble
from harness.features.probe.kernelconfig import KernelConfig
from harness.features.probe.language import together, without_needed
from harness.features.probe.mapdeeds import make_maps, use_elements
from harness.features.probe.named import constant, entry
from harness.features.probe.netdeeds import attach_to_network
from harness.features.probe.progdeeds import load_programs, run_programs
from harness.features.probe.programs import Program, judged_program, programs
from harness.features.probe.runs import returned, runs
from harness.features.probe.settings import config_finding, settings, symbols
from harness.features.probe.stock import Stock
from harness.features.types import FeatureKind, Finding, Method, Support
from harness.guest.calls import Called, PatchKind, calls_fields

# Deeds that depend on what a kernel's guest shows (probe/tracedeeds.py).
TRACED = {
    "attach_kprobe",
    "attach_lsm",
    "attach_perf_event",
    "attach_raw_tracepoint",
    "attach_tracepoint",
    "bpf_iterator",
    "fentry_fexit",
    "link_kprobe_multi",
    "link_kprobe_session",
    "link_perf_event",
    "link_uprobe_multi",
    "program_replacement_freplace",
    "raw_tracepoint_writable",
    "sleepable_programs",
    "syscall_tracepoint_programs",
    "trampoline",
}


def script() -> Script:
    made = Script()
    for part in (make_maps, use_elements, load_blobs, load_programs, run_programs, attach_to_network):
        part(made)
    return made


def covered() -> set[str]:
    asked = language()
    names = {name for group in asked.enums for name in group.names}
    for section in (asked.entries, asked.config, asked.files, asked.kfuncs, asked.helpers):
        names |= set(section)
    names |= {*asked.suffixes, *asked.architectures, *asked.nobody}
    return names | set(runs()) | set(programs()) | set(script().deeds) | TRACED


def test_every_documented_feature_is_asked_or_said_not_to_be() -> None:
    wanted = {name for kind, name in documented() if kind is FeatureKind.LANGUAGE}
    assert covered() == wanted
    assert set(language().needs) <= wanted


def test_what_nobody_can_ask_is_nowhere_else() -> None:
    asked = language()
    for name in (*asked.nobody, *asked.architectures):
        assert name not in programs()
        assert name not in asked.entries
        assert name not in script().deeds


@pytest.mark.parametrize("name", sorted(programs()))
def test_a_program_and_its_control_assemble(name: str) -> None:
    program = programs()[name]
    for written in filter(None, (program.program, program.control)):
        text = re.sub(r"fill \d+", "r0 = 0", re.sub(r"\{\w+\}", "1", written))
        kfuncs = dict.fromkeys(re.findall(r"call kfunc (\w+)", text), 1)
        assert assemble(text, {**kfuncs, "variable": 1}).code
    for pattern in (program.yes, program.no, program.log):
        re.compile(pattern)


@pytest.mark.parametrize("name", sorted(runs()))
def test_a_program_that_is_run_assembles(name: str) -> None:
    run = runs()[name]
    done = assemble(run.program)
    assert set(run.functions) <= set(done.labels)
    assert set(done.maps.values()) <= set(Stock(0).maps)


@pytest.mark.parametrize(
    ("value", "support"), [(1, Support.YES), (2, Support.NO), (3, Support.UNKNOWN), (0, Support.UNKNOWN)]
)
def test_what_a_run_returned(value: int, support: Support) -> None:
    ran = Called(0, out=bytes(4) + value.to_bytes(4, "little") + bytes(8))
    assert returned((Called(3), ran)).support is support


def test_a_run_that_was_not_is_unknown() -> None:
    for called in ((Called(-1, "EINVAL"), Called(-1, "EBADF")), (Called(3),), ()):
        assert returned(called).support is Support.UNKNOWN


def test_a_batch_refers_only_to_calls_before() -> None:
    calls = script().calls
    for at, call in enumerate(calls):
        for patch in call.patches:
            assert patch.kind is not PatchKind.RESULT or patch.index < at
            assert patch.kind is not PatchKind.ADDRESS or patch.index < len(call.data)
    assert calls_fields(calls, 1.0)


# Programs.

LOOP = Program(program="x", control="y", no="^back-edge", yes="^loop found")


@pytest.mark.parametrize(
    ("called", "control", "support"),
    [
        (Called(3), Called(3), Support.YES),
        (Called(-1, "EINVAL", "back-edge from insn 3 to 2"), Called(3), Support.NO),
        (Called(-1, "EINVAL", "back-edge from insn 3 to 2"), Called(-1, "EPERM"), Support.UNKNOWN),
        (Called(-1, "EINVAL", "loop found"), Called(3), Support.YES),
        (Called(-1, "EINVAL", "words nobody ever read"), Called(3), Support.UNKNOWN),
        (Called(-1, "EINVAL", "in the middle: back-edge"), Called(3), Support.UNKNOWN),
        (Called(-1, "no answer"), Called(-1, "no answer"), Support.UNKNOWN),
    ],
)
def test_a_no_wants_words_and_a_control(called: Called, control: Called, support: Support) -> None:
    assert judged_program(LOOP, called, control).support is support


def test_an_accepted_program_must_have_been_taken_for_what_it_is() -> None:
    program = Program(program="x", log="^Validating twice")
    assert (
        judged_program(program, Called(3, None, "Validating twice() func#1"), Called(3)).support
        is Support.YES
    )
    assert judged_program(program, Called(3, None, "processed 3 insns"), Called(3)).support is Support.UNKNOWN


def test_only_words_say_yes_where_acceptance_does_not() -> None:
    program = Program(program="x", accepted=False, yes="^Unreleased reference")
    assert judged_program(program, Called(3), Called(3)).support is Support.UNKNOWN
    refused = Called(-1, "EINVAL", "Unreleased reference id=2")
    assert judged_program(program, refused, Called(3)).support is Support.YES


def test_an_errno_says_no_where_it_is_named() -> None:
    program = Program(program="x", control="y", errno="E2BIG")
    assert judged_program(program, Called(-1, "E2BIG"), Called(3)).support is Support.NO
    assert judged_program(program, Called(-1, "ENOMEM"), Called(3)).support is Support.UNKNOWN


# Deeds.


def deed(**changes: object) -> Deed:
    fields = {
        "wanted": 1,
        "controls": (0,),
        "no": frozenset({"EINVAL"}),
        "yes": frozenset({"ENOENT"}),
        "shows": None,
        "what": "something",
    }
    return Deed(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answers", "support", "method"),
    [
        ([Called(3), Called(4)], Support.YES, Method.CREATED),
        ([Called(3), Called(-1, "EINVAL")], Support.NO, Method.ERRNO),
        ([Called(3), Called(-1, "ENOENT")], Support.YES, Method.ERRNO),
        ([Called(3), Called(-1, "ENOMEM")], Support.UNKNOWN, Method.NONE),
        ([Called(-1, "EPERM"), Called(-1, "EINVAL")], Support.UNKNOWN, Method.NONE),
        ([Called(3)], Support.UNKNOWN, Method.NONE),
        ([], Support.UNKNOWN, Method.NONE),
    ],
)
def test_a_refusal_says_no_only_where_what_it_needs_succeeded(
    answers: list[Called], support: Support, method: Method
) -> None:
    found = judged(deed(), answers)
    assert (found.support, found.method) == (support, method)


def test_a_flag_that_is_accepted_like_one_that_is_none_proves_nothing() -> None:
    looked_at = judged(deed(refused=2), [Called(3), Called(4), Called(-1, "EINVAL")])
    ignored = judged(deed(refused=2), [Called(3), Called(4), Called(5)])
    assert (looked_at.support, ignored.support) == (Support.YES, Support.UNKNOWN)


def test_what_an_answer_must_show() -> None:
    shows = deed(shows=lambda called: called.out == b"\1")
    assert judged(shows, [Called(3), Called(0, out=b"\1")]).support is Support.YES
    assert judged(shows, [Called(3), Called(0, out=b"\0")]).support is Support.UNKNOWN


def test_a_kind_of_btf_is_refused_by_words() -> None:
    words = deed(words=r"^\[\d+\] Invalid kind:")
    told = judged(words, [Called(3), Called(-1, "EINVAL", "magic: 0xeb9f\n[3] Invalid kind:17")])
    assert (told.support, told.method) == (Support.NO, Method.VERIFIER)
    assert "[3] Invalid kind:17" in told.evidence
    assert judged(words, [Called(3), Called(-1, "EINVAL", "magic: 0xeb9f")]).support is Support.UNKNOWN


def test_a_call_is_put_together_from_offsets() -> None:
    call = bpf_call(Cmd.PROG_ATTACH, {0: number(7), 4: Result(3), 8: Memory(b"abc"), 16: wide(1 << 40)})
    assert call.data[0][:4] == b"\7\0\0\0"
    assert call.data[0][16:24] == (1 << 40).to_bytes(8, "little")
    assert call.data[1] == b"abc"
    assert [(patch.at, patch.kind) for patch in call.patches[:2]] == [
        (4, PatchKind.RESULT),
        (8, PatchKind.ADDRESS),
    ]


def test_a_capability_is_taken_away_alone() -> None:
    (call,) = drop_calls(22)
    low = int.from_bytes(call.data[1][:4], "little")
    assert low == 0xFFFFFFFF ^ 1 << 22


# What the BTF has.


@pytest.fixture
def has() -> Entries:
    blob = Blob()
    word = blob.integer("int", 4, signed=True)
    for name, enumerators in (("", ("BPF_OLD", "BPF_NEW")), ("named", ("BPF_NAMED",))):
        rest = b"".join(
            blob.string(each).to_bytes(4, "little") + at.to_bytes(4, "little")
            for at, each in enumerate(enumerators)
        )
        blob.add(kinds.ENUM, name, 4, rest, len(enumerators))
    inner = blob.structure("", 4, [("deep", word, 0)])
    rest = b"".join(
        blob.string(name).to_bytes(4, "little") + kind.to_bytes(4, "little") + bytes(4)
        for name, kind in (("shallow", word), ("", inner))
    )
    blob.add(kinds.UNION, "bpf_attr", 4, rest, 2)
    blob.function("bpf_example", blob.prototype(word, [("name__str", word)]))
    return Entries(KernelTypes(Btf(blob.blob())))


@pytest.mark.parametrize(
    ("kind", "name", "there"),
    [
        ("enumerator", "BPF_NEW", True),
        ("enumerator", "BPF_GONE", False),
        ("attribute", "deep", True),
        ("attribute", "deeper", False),
        ("member", "bpf_attr.shallow", True),
        ("member", "bpf_attr.none", False),
        ("member", "none.shallow", False),
        ("function", "bpf_example", True),
        ("struct", "bpf_attr", False),
        ("union", "bpf_attr", True),
    ],
)
def test_what_a_btf_has(has: Entries, kind: str, name: str, there: bool) -> None:
    assert has.has(Entry(kind, name)) is there


def test_an_enum_is_called_by_its_name_or_its_first(has: Entries) -> None:
    assert has.enum_of("BPF_NAMED") == "enum named"
    assert has.enum_of("BPF_NEW") == "the enum of BPF_OLD"
    assert has.parameters("bpf_example") == ["name__str"]
    assert has.parameters("nothing") == []


def test_a_constant_is_absent_only_where_its_enum_or_its_owner_shows_it(has: Entries) -> None:
    def support(name: str, beside: str = "", owner: Entry | None = None) -> Support:
        return constant(has, name, EnumGroup((name,), beside, owner)).support

    assert support("BPF_NEW") is Support.YES
    assert support("BPF_GONE", "BPF_OLD") is Support.NO
    assert support("BPF_GONE", "BPF_ELSEWHERE") is Support.UNKNOWN
    assert support("BPF_GONE", owner=Entry("function", "nothing")) is Support.NO
    assert support("BPF_GONE", owner=Entry("function", "bpf_example")) is Support.UNKNOWN
    assert support("BPF_GONE") is Support.UNKNOWN


def test_an_entry_is_absent_only_beside_what_is_there(has: Entries) -> None:
    gone, there = Entry("attribute", "gone"), Entry("attribute", "deep")
    assert entry(has, EntryQuestion(there), None).support is Support.YES
    assert entry(has, EntryQuestion(gone, alternative=there), None).support is Support.YES
    assert entry(has, EntryQuestion(gone, beside=there), None).support is Support.NO
    assert entry(has, EntryQuestion(gone, beside=gone), None).support is Support.UNKNOWN
    assert entry(has, EntryQuestion(gone), None).support is Support.UNKNOWN
    assert entry(has, EntryQuestion(there, proves=False), None).support is Support.UNKNOWN


def test_an_entry_of_a_module_is_unknown(has: Entries) -> None:
    question = EntryQuestion(Entry("struct", "gone"), beside=Entry("attribute", "deep"), module="HID")
    assert entry(has, question, KernelConfig("CONFIG_HID=m\n")).support is Support.UNKNOWN
    assert entry(has, question, KernelConfig("CONFIG_HID=y\n")).support is Support.NO
    assert entry(has, question, None).support is Support.UNKNOWN


# Settings.


@pytest.mark.parametrize(
    ("text", "proves", "support", "words"),
    [
        ("CONFIG_X=y\n", True, Support.YES, "CONFIG_X=y"),
        ("CONFIG_X=m\n", True, Support.YES, "CONFIG_X=m"),
        ("# CONFIG_X is not set\n", True, Support.NO, "CONFIG_X is not set"),
        ("CONFIG_XY=y\n", True, Support.NO, "CONFIG_X is not set"),
        ("CONFIG_X=m\n", False, Support.UNKNOWN, "CONFIG_X=m"),
        ("# CONFIG_X is not set\n", False, Support.NO, "CONFIG_X is not set"),
    ],
)
def test_a_symbol(text: str, proves: bool, support: Support, words: str) -> None:
    found = config_finding(KernelConfig(text), Symbol("X", proves))
    assert found.support is support
    assert words in found.evidence


def test_no_configuration_is_unknown() -> None:
    assert config_finding(None, Symbol("X", proves=True)).support is Support.UNKNOWN


def test_a_text_of_a_configuration_is_kept_without_quotes() -> None:
    assert KernelConfig('CONFIG_LSM="yama,bpf"\n').value("LSM") == "yama,bpf"


def test_the_configuration_is_asked_with_reasons() -> None:
    assert {"BPF_SYSCALL", "DEBUG_INFO_BTF", "BPF_LSM", "FPROBE"} <= set(symbols())
    assert {"unprivileged_bpf_disabled", "bpf_jit_enable", "lockdown", "btf_vmlinux"} <= set(settings())
    assert re.search(settings()["lockdown"].on, "none [integrity] confidentiality")
    assert not re.search(settings()["lockdown"].on, "[none] integrity confidentiality")


def test_text_of_a_file_ends_where_it_was_read() -> None:
    files = {"/a": Called(2, out=b"1\nold"), "/b": Called(-1, "ENOENT")}
    assert text_of(files, "/a") == "1"
    assert text_of(files, "/b") is None
    assert text_of(files, "/c") is None


# Together.

YES, NO, UNKNOWN = (Finding(support, Method.BTF, str(support)) for support in Support)


def test_several_ways_of_asking() -> None:
    assert together([UNKNOWN, YES]) == YES
    assert together([NO, UNKNOWN]) == NO
    assert together([UNKNOWN]) == UNKNOWN
    assert together([]).support is Support.UNKNOWN
    disputed = together([YES, NO])
    assert disputed.support is Support.UNKNOWN
    assert "yes by btf: yes, yet no by btf: no" in disputed.evidence


def test_what_needs_something_missing_is_missing() -> None:
    found = dict.fromkeys(documented_names(), UNKNOWN) | {"tcx": NO, "BPF_F_ID": YES}
    without_needed(found)
    assert found["BPF_F_BEFORE"] == NO
    assert found["BPF_F_ID"] == YES
    assert found["spin_lock"] == UNKNOWN


def documented_names() -> list[str]:
    return [name for kind, name in documented() if kind is FeatureKind.LANGUAGE]
