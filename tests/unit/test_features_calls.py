"""Questions asked with system calls: the data, the bytes that are made of it, and what their answers say."""

import json
import struct

import pytest

from harness.errors import UserError
from harness.features.documented import documented
from harness.features.probe.answers import Controls, Kernel, read
from harness.features.probe.attempts import DATA
from harness.features.probe.attr import COMMON_ATTRS, SIZE, commands, layout
from harness.features.probe.enums import Enumeration
from harness.features.probe.made import link_finding, undocumented, with_flag
from harness.features.probe.memory import Asker, Unplaced
from harness.features.probe.questions import Question, catalog
from harness.features.probe.script import Asked, Script
from harness.features.probe.subject import Subject
from harness.features.types import FeatureKind, Method, Support
from harness.guest.calls import ARGUMENTS, Answers, Called, Patch, PatchKind

KINDS = [
    FeatureKind.MAP_TYPE,
    FeatureKind.MAP_FLAG,
    FeatureKind.PROGRAM_FLAG,
    FeatureKind.COMMAND,
    FeatureKind.ATTACH_TYPE,
    FeatureKind.LINK_TYPE,
]
RHASH = Question(FeatureKind.MAP_TYPE, "BPF_MAP_TYPE_RHASH", 35)
FLAG = Question(FeatureKind.PROGRAM_FLAG, "BPF_F_NEW", None, flag={"flags": 1}, unknown={"flags": 2})
OLD = Enumeration("enum bpf_map_type", {"BPF_MAP_TYPE_HASH": 1})
NEW = Enumeration("enum bpf_map_type", {"BPF_MAP_TYPE_HASH": 1, "BPF_MAP_TYPE_RHASH": 35})


def refused(errno, title="BPF_MAP_CREATE", log=""):
    return Asked(((title, Called(-1, errno, log)),))


MADE = Asked((("BPF_MAP_CREATE", Called(3)),))


# The data.


@pytest.mark.parametrize("kind", KINDS)
def test_every_documented_record_is_asked_about_and_once(kind):
    asked = [question.name for question in catalog().of(kind)]
    assert len(asked) == len(set(asked))
    missing = {name for each, name in documented() if each is kind} - set(asked)
    assert not missing


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.endswith("flag")])
def test_every_numbered_kind_has_its_documented_number(kind):
    assert all(question.number is not None for question in catalog().of(kind))


def test_every_thing_that_is_referred_to_is_there():
    things = catalog().things
    texts = [json.dumps(thing) for thing in things.values()]
    texts += [json.dumps([q.step, q.program, q.flag, q.unknown]) for q in catalog().questions]
    named = {name for text in texts for name in _references(text)}
    assert named - set(things) <= {"program"}
    assert not set(things) - named - {q.thing for q in catalog().questions}, "a thing nobody needs"


def _references(text):
    words = text.replace('"', " ").split()
    needed = [words[at + 2] for at, word in enumerate(words) if word == "needs"]
    return {word[1:].rstrip(",]}") for word in words if word.startswith("@")} | {
        w.rstrip(",}") for w in needed
    }


def test_every_flag_has_another_that_no_kernel_has():
    flags = [question for question in catalog().questions if question.kind.endswith("flag")]
    assert all(question.flag and question.unknown for question in flags)
    assert all(set(question.unknown) <= set(question.flag) for question in flags)


def test_a_field_the_command_has_not_is_found_before_anything_is_asked():
    for step in [q.step for q in catalog().questions] + list(catalog().things.values()):
        if "bpf" in step:
            assert set(step.get("with", {})) <= set(layout(step["bpf"])), step


def test_a_misspelt_key_of_the_data_is_refused_with_its_place(tmp_path):
    text = (DATA / "calls.yaml").read_text(encoding="utf-8")
    (tmp_path / "calls.yaml").write_text(text.replace("    needs: pinned", "    need: pinned", 1))
    (tmp_path / "calls.schema.json").write_bytes((DATA / "calls.schema.json").read_bytes())
    with pytest.raises(UserError, match=r"calls\.yaml:\d+: unknown key .need."):
        catalog(tmp_path / "calls.yaml")


# What the answers say.


def test_what_was_made_is_there():
    finding = read(RHASH, MADE, Kernel(NEW))
    assert (finding.support, finding.method) == (Support.YES, Method.CREATED)


def test_an_enumeration_without_the_name_is_a_no_and_says_what_the_call_did():
    finding = read(RHASH, refused("EINVAL"), Kernel(OLD))
    assert (finding.support, finding.method) == (Support.NO, Method.BTF)
    assert finding.evidence == (
        "enum bpf_map_type of the kernel's BTF has no BPF_MAP_TYPE_RHASH; BPF_MAP_CREATE: EINVAL"
    )


@pytest.mark.parametrize("errno", ["EINVAL", "EPERM", "E2BIG", "ENOTSUPP", "ENOMEM", "no answer"])
@pytest.mark.parametrize("kernel", [Kernel(NEW, {"array_map_alloc"}), Kernel(None)])
def test_a_refusal_alone_is_unknown(errno, kernel):
    assert read(RHASH, refused(errno), kernel).support is Support.UNKNOWN


def test_what_could_not_be_asked_is_unknown_unless_the_enumeration_lacks_it():
    unplaced = Asked(unplaced="no bpf_iter_task in the kernel's BTF")
    assert read(RHASH, unplaced, Kernel(NEW)).support is Support.UNKNOWN
    assert read(RHASH, unplaced, Kernel(OLD)).support is Support.NO


def test_what_was_made_under_a_name_the_kernel_has_not_is_unknown():
    assert read(RHASH, MADE, Kernel(OLD)).support is Support.UNKNOWN


def test_a_number_under_another_name_is_there():
    enumeration = Enumeration("enum bpf_map_type", {"BPF_MAP_TYPE_RHASH_DEPRECATED": 35})
    assert read(RHASH, refused("EINVAL"), Kernel(enumeration)).support is Support.UNKNOWN


@pytest.mark.parametrize(
    ("functions", "errno", "support"),
    [
        ({"array_map_alloc"}, "EINVAL", Support.NO),
        ({"array_map_alloc"}, "EPERM", Support.UNKNOWN),
        ({"rhtab_map_alloc"}, "EINVAL", Support.UNKNOWN),
        (set(), "EINVAL", Support.UNKNOWN),
    ],
)
def test_a_kernel_built_without_is_told_by_its_functions(functions, errno, support):
    question = Question(FeatureKind.MAP_TYPE, "BPF_MAP_TYPE_RHASH", 35, function="rhtab_map_alloc")
    assert read(question, refused(errno), Kernel(NEW, functions)).support is support


def test_an_errno_only_who_knows_it_returns_is_a_yes_of_the_last_call_only():
    question = Question(FeatureKind.COMMAND, "BPF_LINK_DETACH", 34, known=frozenset({"ENOENT"}))
    assert read(question, refused("ENOENT"), Kernel()).support is Support.YES
    lacks_it = Kernel(Enumeration("enum bpf_cmd", {"BPF_PROG_LOAD": 5}))
    assert read(question, refused("ENOENT"), lacks_it).support is Support.UNKNOWN
    before = Asked((("open /sys", Called(-1, "ENOENT")), ("BPF_LINK_DETACH", Called(-1, "EINVAL"))))
    finding = read(question, before, Kernel())
    assert finding.support is Support.UNKNOWN
    assert finding.evidence == "open /sys: ENOENT"


@pytest.mark.parametrize(
    ("asked", "plain", "unknown", "support"),
    [
        (MADE, MADE, refused("EINVAL"), Support.YES),
        (MADE, MADE, MADE, Support.UNKNOWN),  # takes any flag
        (refused("EINVAL"), MADE, refused("EINVAL"), Support.NO),
        (refused("EINVAL", log="hook is not sleepable"), MADE, refused("EINVAL"), Support.UNKNOWN),
        (refused("EPERM"), MADE, refused("EINVAL"), Support.UNKNOWN),
        (refused("EINVAL"), refused("EINVAL"), refused("EINVAL"), Support.UNKNOWN),  # wrong without it, too
        (refused("EINVAL"), MADE, refused("EPERM"), Support.UNKNOWN),
    ],
)
def test_a_flag_is_judged_beside_one_that_no_kernel_has(asked, plain, unknown, support):
    assert read(FLAG, asked, Kernel(), Controls(unknown, plain)).support is support


def test_a_number_the_kernel_does_not_look_at_proves_nothing():
    assert read(RHASH, MADE, Kernel(NEW), Controls(MADE)).support is Support.UNKNOWN
    assert read(RHASH, MADE, Kernel(OLD), Controls(MADE)).support is Support.NO
    assert read(RHASH, MADE, Kernel(NEW), Controls(refused("EINVAL"))).support is Support.YES


@pytest.mark.parametrize(
    ("info", "support"), [(struct.pack("<4I", 2, 1, 0, 0), Support.YES), (bytes(16), Support.UNKNOWN)]
)
def test_a_link_is_of_the_type_its_information_says(info, support):
    question = Question(FeatureKind.LINK_TYPE, "BPF_LINK_TYPE_TRACING", 2)
    asked = Asked((("BPF_LINK_CREATE", Called(5)), ("BPF_OBJ_GET_INFO_BY_FD", Called(0, out=info))))
    assert link_finding(question, asked).support is support


def test_what_only_the_kernel_knows_is_unknown_and_other_names_are_left_out():
    enumeration = Enumeration("enum x", {"BPF_MAP_TYPE_NEXT": 36, "BPF_MAP_TYPE_OTHER_NAME": 35})
    found = undocumented(enumeration, [RHASH])
    assert {name: finding.support for name, finding in found.items()} == {
        "BPF_MAP_TYPE_NEXT": Support.UNKNOWN
    }


# The bytes.


class Recorder:
    """Stands for a guest: keeps the calls, and answers each with its number in the batch."""

    def calls(self, calls, _limit):
        self.asked = calls
        return Answers(tuple(Called(number) for number, _ in enumerate(calls)))


@pytest.fixture
def recorder():
    return Recorder()


def script_on(recorder, things=None):
    return Script(Subject(recorder, None), things or {})


def test_no_layout_is_longer_than_the_attribute():
    for command in commands():
        last = list(layout(command).values())[-1]
        assert last.at + last.width <= SIZE


def test_a_step_becomes_a_call_that_refers_to_what_it_needs(recorder):
    things = {
        "hash": {"bpf": "BPF_MAP_CREATE", "with": {"map_type": 1, "key_size": 4}},
        "filled": {
            "bpf": "BPF_MAP_UPDATE_ELEM",
            "with": {"map_fd": "@hash", "key": {"bytes": 4}, "flags": 1 << 33},
        },
    }
    script = script_on(recorder, things)
    last = script.add({"bpf": "BPF_MAP_FREEZE", "with": {"map_fd": "@hash"}, "needs": "filled"}, Asker())
    script.run()
    made, filled, frozen = recorder.asked
    assert made.data[0][:8] == struct.pack("<II", 1, 4)
    assert filled.arguments == (2, 0, SIZE)
    assert filled.data[0][24:32] == struct.pack("<Q", 1 << 33)
    assert Patch(0, 0, PatchKind.RESULT, 0) in filled.patches
    assert Patch(0, 8, PatchKind.ADDRESS, 1) in filled.patches
    assert Patch(ARGUMENTS, 1, PatchKind.ADDRESS, 0) in frozen.patches
    titles = [title for title, _ in script.asked(last).steps]
    assert titles == ["BPF_MAP_CREATE", "BPF_MAP_UPDATE_ELEM", "BPF_MAP_FREEZE"]


def test_common_attributes_go_with_the_command(recorder):
    script = script_on(recorder)
    script.add({"bpf": "BPF_MAP_CREATE", "common": True, "with": {"map_type": 1}}, Asker())
    script.run()
    assert recorder.asked[0].arguments[0] == COMMON_ATTRS
    assert recorder.asked[0].arguments[4] == 24


def test_texts_words_and_arrays_of_texts_become_memory(recorder):
    script = script_on(recorder)
    fields = {"prog_fd": 3, "cnt": 2, "syms": {"texts": ["one", "two"]}}
    script.add({"bpf": "BPF_LINK_CREATE/kprobe_multi", "with": fields}, Asker())
    script.add({"call": "open", "arguments": ["/run/x", {"u32": [1, 258]}]}, Asker())
    script.run()
    linked, opened = recorder.asked
    assert linked.data[2:] == (b"one\0", b"two\0")
    assert Patch(1, 8, PatchKind.ADDRESS, 3) in linked.patches
    assert opened.data == (b"/run/x\0", struct.pack("<II", 1, 258))


def test_what_stays_is_undone_at_the_end_and_in_the_other_order(recorder):
    things = {
        "folder": {
            "call": "mkdir",
            "arguments": ["/a", 448],
            "undo": {"call": "rmdir", "arguments": ["/a"]},
        },
        "file": {"call": "open", "arguments": ["/a/b"], "needs": "folder", "undo": {"call": "unlink"}},
    }
    script = script_on(recorder, things)
    script.thing("file")
    script.run()
    assert [call.number for call in recorder.asked] == [83, 2, 87, 84]


def test_things_that_look_alike_are_different_things_and_a_repeated_step_is_made_once(recorder):
    one = {"bpf": "BPF_MAP_CREATE", "with": {"map_type": 15}}
    script = script_on(recorder, {"one": one, "other": dict(one)})
    assert script.thing("one") != script.thing("other")
    assert script.add(one, Asker("a")) == script.add(dict(one), Asker("b"))
    numbered = {"bpf": "BPF_MAP_CREATE", "with": {"map_type": "$number"}}
    assert script.add(numbered, Asker("a", 1)) != script.add(numbered, Asker("b", 2))


@pytest.mark.parametrize("value", ["function:filp_close", "size:bpf_prog", "$number"])
def test_a_number_nobody_knows_makes_no_call(recorder, value):
    with pytest.raises(Unplaced):
        script_on(recorder).add({"bpf": "BPF_MAP_CREATE", "with": {"map_type": value}}, Asker("x"))


def test_a_batch_that_ends_early_leaves_no_answer_and_no_no(recorder):
    script = script_on(recorder)
    index = script.add({"bpf": "BPF_MAP_CREATE", "with": {"map_type": 35}}, Asker())
    recorder.calls = lambda *_: Answers(())
    script.run()
    asked = script.asked(index)
    assert asked.failed()[1].errno == "no answer"
    assert read(RHASH, asked, Kernel(NEW)).support is Support.UNKNOWN


def test_a_flag_is_set_among_the_fields_or_of_the_program():
    step = {"bpf": "BPF_MAP_CREATE", "with": {"map_type": 1, "map_flags": 1}}
    assert with_flag(step, {"map_flags": 3})["with"] == {"map_type": 1, "map_flags": 3}
    assert with_flag({"program": "xdp"}, {"flags": 32}) == {"program": "xdp", "flags": 32}
