"""Scenarios and checks of a manifest: what they become, and where each mistake is found."""

from __future__ import annotations

import contextlib
import json
import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import scenario as scenario_module
from harness.catalog.packets import PACKETS, checksum, packet
from harness.catalog.programs import load_programs
from harness.catalog.steptable import ACTIONS, TARGETS, TRIGGERS, USER_FUNCTIONS, VALUE_TYPES
from harness.errors import UserError
from harness.model import Expected, Program, VerdictKind
from harness.paths import project_root
from harness.scenario import (
    FACTS,
    MORE_NUMBERS,
    NUMBERS,
    SURROUNDINGS,
    Behaviour,
    Check,
    CheckKind,
    Step,
    StepOp,
)

HEAD = "title: T\nclaim: C\naxes:\n  n: [1, 20]\n  way: [here, there]\n"


@pytest.fixture
def pitfall(tmp_path: Path) -> Callable[..., Program]:
    """Write a template that reads nothing and its manifest, load them."""

    def write(manifest: str, template: str = "int a;\n") -> Program:
        folder = tmp_path / "family"
        folder.mkdir(exist_ok=True)
        (folder / "thing.bpf.c.j2").write_text(template)
        (folder / "thing.yaml").write_text(manifest)
        (program,) = load_programs([folder])
        return program

    return write


def scenario(*steps: str, checks: tuple[str, ...] = (), head: str = "title: T\nclaim: C\n") -> str:
    text = head + "scenario:\n" + "".join(f"  - {step}\n" for step in steps)
    return text + ("checks:\n" + "".join(f"  - {check}\n" for check in checks) if checks else "")


def one(program: Program) -> tuple[Step, ...]:
    (variant,) = program.variants
    return variant.scenario


def test_every_step_becomes_what_the_wire_needs(pitfall: Callable[..., Program]) -> None:
    steps = one(
        pitfall(
            scenario(
                "{set: target, u32: 7}",
                "{set: me, fact: tgid}",
                "{set: name, value: [{text: ab, size: 4}, {be16: 80}]}",
                "{load: }",
                "{attach: p, to: 'kprobe:do_x'}",
                "{trigger: mkdirat, path: /tmp/y, times: 3}",
                "{trigger: execve, argv: [a, '', 3]}",
                "{trigger: udp, port: 53}",
                "{trigger: concurrent, map: m, bytes: 64, flags: BPF_F_LOCK}",
                "{test_run: p, hex: '00 ff', ctx_hex: 0102, repeat: 2, as: run}",
                "{update: m, key: {u32: 0}, value: [{u8: 1}, {hex: 0061}], flags: BPF_NOEXIST, "
                "may_fail: true}",
                "{lookup: m, key: {ip4: 10.0.0.1}, as: v, time_limit: 1.5}",
                "{fill: m, times: 9}",
                "{perf_open: m, pages: 8}",
                "{perf: m}",
                "{detach: p}",
                "{env: no_btf}",
                "{env: small_memlock, bytes: 4096}",
                "{preflight: , as: pre, needs: [libbpf=1.4, no_btf]}",
                "{trigger: cgroup_enter, name: pod1, controllers: [cpu]}",
                "{trigger: move_context, rounds: 3, how: swap}",
            )
        )
    )
    assert steps == (
        Step(StepOp.SET, "target", value=b"\x07\0\0\0"),
        Step(StepOp.SET, "me", fact="tgid"),
        Step(StepOp.SET, "name", value=b"ab\0\0\0\x50"),
        Step(StepOp.LOAD, time_limit_s=30.0),
        Step(StepOp.ATTACH, "p", args=("kprobe:do_x",)),
        Step(StepOp.TRIGGER, "mkdirat", args=("/tmp/y",), count=3),
        Step(StepOp.TRIGGER, "execve", args=("a", "", "3")),
        Step(StepOp.TRIGGER, "udp", args=("53", "hello")),
        Step(StepOp.TRIGGER, "concurrent", args=("m", "64"), flags=4),
        Step(StepOp.TEST_RUN, "p", "run", key=b"\x01\x02", value=b"\0\xff", count=2),
        Step(StepOp.UPDATE, "m", key=bytes(4), value=b"\x01\0\x61", flags=1, may_fail=True),
        Step(StepOp.LOOKUP, "m", "v", key=bytes([10, 0, 0, 1]), time_limit_s=1.5),
        Step(StepOp.FILL, "m", count=9),
        Step(StepOp.PERF_OPEN, "m", count=8),
        Step(StepOp.PERF, "m"),
        Step(StepOp.DETACH, "p"),
        Step(StepOp.ENV, "no_btf"),
        Step(StepOp.ENV, "small_memlock", args=("4096",)),
        Step(StepOp.PREFLIGHT, label="pre", args=("libbpf=1.4", "no_btf")),
        Step(StepOp.TRIGGER, "cgroup_enter", args=("pod1", "cpu")),
        Step(StepOp.TRIGGER, "move_context", args=("3", "swap")),
    )
    assert [step.line for step in steps] == list(range(4, 4 + len(steps)))


def test_texts_are_templates_of_the_variant(pitfall: Callable[..., Program]) -> None:
    program = pitfall(
        scenario(
            "{trigger: getppid, times: '{{ n * 2 }}', as: burst}",
            "{attach: '{{ way }}_p', when: {way: [there]}}",
            "{read: hits, as: hits}",
            checks=("{value: hits, equals: '{{ n }}'}", "{value: burst.done, equals: 40, when: {n: [20]}}"),
            head=HEAD,
        )
    )
    variants = {variant.name: variant for variant in program.variants}
    assert [step.name for step in variants["1-here"].scenario] == ["getppid", "hits"]
    assert [step.name for step in variants["20-there"].scenario] == ["getppid", "there_p", "hits"]
    assert variants["20-there"].scenario[0].count == 40
    assert variants["1-here"].checks == (Check("hits", CheckKind.EQUALS, "1"),)
    assert [check.want for check in variants["20-there"].checks] == ["20", "40"]


def test_a_condition_alone_uses_an_axis(pitfall: Callable[..., Program]) -> None:
    steps = ("{attach: p, when: {way: [here]}}", "{trigger: fork, when: {n: [1]}}")
    assert len(pitfall(scenario(*steps, head=HEAD)).variants) == 4


def test_checks_become_what_is_judged(pitfall: Callable[..., Program]) -> None:
    (variant,) = pitfall(
        scenario(
            "{read: g, as: g}",
            "{fact: comm, as: me}",
            "{fill: m, times: 5, as: full, may_fail: true}",
            "{ring: rb, as: ev}",
            checks=(
                "{value: g, equals: -1, offset: 4, type: s32, why: because}",
                "{value: g, equals_value: me}",
                "{value: ev.records, at_least: 1, at_most: 9, kernels: '>=5.8'}",
                "{value: g, text: pod1}",
                "{value: g, bytes: '61 62 00'}",
                "{value: ev.values.3, contains_text: abc}",
                "{value: full.errno, equals: 7}",
                "{value: full.first_errno, equals: E2BIG}",
                "{value: full.errno, equals: 0}",
            ),
        )
    ).variants
    assert variant.checks == (
        Check("g", CheckKind.EQUALS, "-1", offset=4, type="s32", why="because"),
        Check("g", CheckKind.EQUALS_VALUE, "me"),
        Check("ev.records", CheckKind.RANGE, at_least=1, at_most=9, kernels=">=5.8"),
        Check("g", CheckKind.TEXT, "pod1"),
        Check("g", CheckKind.BYTES, "616200"),
        Check("ev.values.3", CheckKind.CONTAINS_TEXT, "abc"),
        Check("full.errno", CheckKind.EQUALS, "E2BIG"),
        Check("full.first_errno", CheckKind.EQUALS, "E2BIG"),
        Check("full.errno", CheckKind.EQUALS, "0"),
    )


def test_settings_and_expected_behaviour(pitfall: Callable[..., Program]) -> None:
    program = pitfall(
        scenario("{read: g, as: g}", checks=("{value: g, equals: 1}",))
        + "settings: {cpus: 2, disposable: true}\n"
        + "expect:\n  - {verdict: accept, behaviour: misbehaves, kernels: '<6'}\n"
        + "  - {verdict: reject, stage: attach, errno: ENOENT}\n"
    )
    (variant,) = program.variants
    assert (variant.settings.cpus, variant.settings.disposable) == (2, True)
    assert program.expectations[0].expected == Expected(VerdictKind.ACCEPT, behaviour=Behaviour.MISBEHAVES)
    assert program.expectations[1].expected.behaviour is None


def test_results_of_one_name_may_belong_to_different_variants(pitfall: Callable[..., Program]) -> None:
    program = pitfall(
        scenario(
            "{read: a, as: v, when: {way: [here]}}",
            "{read: b, as: v, when: {way: [there]}}",
            "{trigger: fork, times: '{{ n }}'}",
            checks=("{value: v, equals: 1}",),
            head=HEAD,
        )
    )
    assert {variant.scenario[0].name for variant in program.variants} == {"a", "b"}


def test_variants_of_loader_raw_may_have_no_steps(pitfall: Callable[..., Program]) -> None:
    head = "title: T\nclaim: C\naxes:\n  loader: [libbpf, raw]\n"
    text = scenario("{attach: p, when: {loader: [libbpf]}}", head=head)
    assert [len(variant.scenario) for variant in pitfall(text).variants] == [1, 0]
    with pytest.raises(UserError, match=r"thing\.yaml:5: a scenario needs the loader libbpf"):
        pitfall(scenario("{attach: p}", head=head))


READ = "{read: g, as: g}"


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("{atach: p}", "unknown step 'atach'; did you mean 'attach'? steps: set, load, attach"),
        ("{as: x}", "a step without an action; steps: set, load"),
        ("{read: g, lookup: m}", "one action per step, here read and lookup"),
        ("{load: p}", "load takes nothing; write `load:`"),
        ("{attach: 3}", "attach: expected a BPF program's name"),
        ("{attach: 'a b'}", "'a b' cannot be a BPF program's name"),
        ("{attach: p, target: x}", "'target' does not belong to attach; "),
        ("{trigger: mkdir}", "unknown trigger 'mkdir'; did you mean 'mkdirat'? triggers: mkdirat, unlink"),
        ("{trigger: fork, path: /x}", "'path' does not belong to trigger fork; its keys: times, flags, as"),
        ("{trigger: execve}", "trigger execve needs the key 'argv'"),
        ("{trigger: execve, argv: ls}", "argv: expected a list of one or more texts"),
        ("{trigger: fork, times: 0}", "times: 0 is not from 1 to 1000000"),
        ("{trigger: fork, times: many}", "times: 'many' is no whole number"),
        ("{trigger: tcp, port: 65536}", "port: 65536 is not from 0 to 65535"),
        ("{trigger: mkdirat, path: /etc/x}", "path: '/etc/x'; expected a path below /tmp"),
        ("{trigger: unlink, path: /tmp/../x}", "expected a path below /tmp"),
        ("{trigger: move_context, how: fly}", "how: 'fly'; expected move or swap"),
        ("{trigger: cgroup_enter, name: a/../b}", "name: 'a/../b'; expected words with a / between them"),
        ("{env: no_btf, bytes: 3}", "bytes belongs to small_memlock, not to no_btf"),
        ("{preflight: , needs: [magic]}", "needs: 'magic'; expected libbpf=N.N"),
        ("{fact: tgidd, as: x}", "unknown fact 'tgidd'; did you mean 'tgid'? facts: tgid"),
        ("{set: x, fact: tgidd}", "unknown fact 'tgidd'; did you mean 'tgid'?"),
        ("{set: x}", "a value has one type, here no type; types: u8"),
        ("{set: x, u32: 1, u64: 2}", "a value has one type, here u32 and u64 at once"),
        ("{set: x, u32: 1, fact: tgid}", "set takes one of: a typed value, value, fact"),
        ("{set: x, u33: 1}", "'u33' does not belong to set; did you mean 'u32'? its keys: fact, u8"),
        ("{set: x, u8: 256}", "256 does not fit u8"),
        ("{set: x, u8: one}", "'one' is no whole number"),
        ("{set: x, text: abc, size: 2}", "the text has 3 bytes, size is 2"),
        ("{set: x, u8: 1, size: 2}", "size belongs to a text"),
        ("{set: x, hex: 0g}", "'0g' is no row of bytes"),
        ("{set: x, ip4: 10.0.0}", "'10.0.0' is no address"),
        ("{env: no_btff}", "unknown surrounding 'no_btff'; did you mean 'no_btf'?"),
        ("{env: lockdown_integrity}", "cannot be taken back: the guest must be thrown away"),
        (
            "{attach: p, to: 'krpobe:x'}",
            "unknown attach target 'krpobe:x'; did you mean 'kprobe'? forms: kprobe:",
        ),
        ("{attach: p, to: do_x}", "unknown attach target 'do_x'; forms: kprobe:SYMBOL, kretprobe:SYMBOL"),
        ("{attach: p, to: 'tracepoint:x'}", "'tracepoint:x': expected tracepoint:CATEGORY/NAME"),
        ("{attach: p, to: kprobe}", "'kprobe': expected kprobe:SYMBOL"),
        ("{attach: p, to: 'uprobe:bpfmatrix_plane'}", "no function 'bpfmatrix_plane'; did you mean 'bpfm"),
        ("{attach: p, to: 'perf:0'}", "expected perf:PERIOD_NS"),
        ("{test_run: p, packet: tpc4}", "unknown packet 'tpc4'; did you mean 'tcp4'? packets: tcp4, udp4"),
        ("{test_run: p, packet: tcp4, hex: 00}", "packet or hex, not both"),
        ("{update: m, key: {u32: 0}}", "update needs the key 'value'"),
        ("{update: m, key: 3, value: {u8: 1}}", "key: expected a value such as {u32: 5}"),
        (
            "{update: m, key: {u32: 0}, value: {u8: 1}, flags: LOCK}",
            "flags: 'LOCK'; a number, or one of: BPF_ANY",
        ),
        ("{lookup: m, key: [3]}", "key: item 0 is no value"),
        ("{read: g, as: Hits}", "as: 'Hits' is no name"),
        ("{read: g, time_limit: 0}", "time_limit: expected: seconds, above 0"),
        ("{read: g, time_limit: 31}", "the step may take 31 s, the whole case only 30 s"),
        ("{read: g, may_fail: perhaps}", "may_fail: expected true or false"),
        ("{read: g, as: '{{ n }'}", "not a template: unexpected '}'"),
        ("{read: '{{ sise }}'}", "the variable 'sise' is no axis of thing.yaml"),
        ("{read: '{{ 1 / 0 }}'}", "does not render: division by zero"),
        ("{read: g, when: {way: [nowhere]}}", "no axis 'way'"),
        ("{perf: events}", "perf drains what perf_open opened"),
        ("{detach: p}", "no step before attaches 'p'"),
        ('{trigger: mkdirat, path: "a\\0b"}', "a NUL cannot stand in this text"),
    ],
)
def test_a_mistake_in_a_step_has_an_address(pitfall: Callable[..., Program], step: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        pitfall(scenario(READ, step))
    assert words in str(caught.value)
    assert "thing.yaml:5: " in str(caught.value)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ((READ, READ), "two results are called 'g'; the first in line 4"),
        (("{attach: p}", "{load: }"), "the object is loaded already, by the step in line 4"),
        (("{load: }", "{load: }"), "the object is loaded already"),
    ],
)
def test_steps_that_cannot_follow_each_other(
    pitfall: Callable[..., Program], steps: tuple[str, ...], words: str
) -> None:
    with pytest.raises(UserError) as caught:
        pitfall(scenario(*steps))
    assert f"thing.yaml:5: {words}" in str(caught.value)


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ("{value: gg, equals: 1}", "no step gives a result called 'gg'; did you mean 'g'? results: g, t, ev"),
        ("{value: t, equals: 1}", "t has no value of its own; its parts: t.done, t.failed, t.child, t.errno"),
        (
            "{value: ev.recods, equals: 1}",
            "ev has no part 'recods'; did you mean 'ev.records'? parts: records",
        ),
        ("{value: g.values.x, equals: 1}", "g has no part 'values.x'"),
        ("{value: g.errno, equals: ENOENT}", "g.errno is always 0: a step that fails ends the scenario"),
        ("{value: upd.errno, equals: ENOWAY}", "no errno 'ENOWAY'"),
        ("{value: upd.errno, at_least: 1}", "errno is an errno; compare with equals"),
        ("{value: g}", "a check compares in one way, here none; ways: equals"),
        ("{value: g, equals: 1, text: a}", "here equals and text"),
        ("{value: g, equals: pod}", "'pod' is no whole number of 64 bits"),
        ("{value: g, equals_value: hh}", "no step gives a result called 'hh'"),
        ("{value: ev.records, text: a}", "records is a number, not bytes"),
        ("{value: ev.records, equals: 1, offset: 4}", "records is a number, not bytes: it has no offset"),
        ("{value: g, text: a, type: u8}", "type belongs to equals"),
        ("{value: g, equals: 1, type: u7}", "unknown type 'u7'; types: u8, u16"),
        ("{value: g, bytes: abc}", "'abc' is no row of bytes"),
        ("{value: g, equals: 1, kernels: '5.x'}", "'5.x' is not a comparison"),
        ("{value: g, equal: 1}", "unknown key 'equal'; did you mean 'equals'?"),
        ("{equals: 1}", "the key 'value' is missing"),
        ("{value: g, equals: true}", "equals: true; expected: a text or a whole number"),
        ("{value: g, equals: 1, when: {way: [here]}}", "no axis 'way'"),
    ],
)
def test_a_mistake_in_a_check_has_an_address(pitfall: Callable[..., Program], check: str, words: str) -> None:
    steps = (
        READ,
        "{trigger: fork, as: t}",
        "{ring: rb, as: ev}",
        "{update: m, key: {u8: 0}, value: {u8: 0}, may_fail: true, as: upd}",
    )
    with pytest.raises(UserError) as caught:
        pitfall(scenario(*steps, checks=(check,)))
    assert words in str(caught.value)
    assert "thing.yaml:9: " in str(caught.value)


def test_a_check_of_a_result_only_other_variants_give_names_the_variant(
    pitfall: Callable[..., Program],
) -> None:
    steps = ("{read: a, as: v, when: {way: [here]}}", "{trigger: fork, times: '{{ n }}'}")
    with pytest.raises(UserError, match=r":10: no step gives a result called 'v' in the variant 1-there"):
        pitfall(scenario(*steps, checks=("{value: v, equals: 1}",), head=HEAD))


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (
            scenario(READ) + "expect: [{verdict: accept, behaviour: behaves}]\n",
            5,
            "no variant this covers has checks",
        ),
        (
            scenario(READ, checks=("{value: g, equals: 1}",))
            + "expect: [{verdict: reject, behaviour: misbehaves}]\n",
            7,
            "verdict reject has no behaviour",
        ),
        ("title: T\nclaim: C\nexpect: [{verdict: reject, stage: run}]\n", 3, "has a scenario"),
        (
            scenario("{trigger: fork, times: '{{ n }}', when: {way: [here], n: [20]}}", head=HEAD).replace(
                "scenario:", "exclude: [{when: {n: [20]}, why: w}]\nscenario:"
            ),
            8,
            "this condition selects no variant",
        ),
        ("title: T\nclaim: C\nsettings: {cpus: 5}\n", 3, "processors of the guest, 1 to 4"),
        ("title: T\nclaim: C\nscenario: []\n", 3, "scenario"),
    ],
)
def test_what_does_not_go_together(pitfall: Callable[..., Program], text: str, line: int, words: str) -> None:
    with pytest.raises(UserError) as caught:
        pitfall(text)
    assert words in str(caught.value)
    assert f"thing.yaml:{line}: " in str(caught.value)


def test_an_axis_nobody_reads_is_still_refused(pitfall: Callable[..., Program]) -> None:
    with pytest.raises(UserError, match="does not use the axis 'way'"):
        pitfall(scenario("{trigger: fork, times: '{{ n }}'}", head=HEAD))


def test_hostile_templates_are_bounded(pitfall: Callable[..., Program]) -> None:
    with pytest.raises(UserError, match="does not render: "):
        pitfall(scenario("{read: '{{ \"x\" * 99999999 }}'}"))
    with pytest.raises(UserError, match="does not render: "):
        pitfall(scenario("{read: '{{ [].__class__.__mro__ }}'}"))


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["{{ n }}", "{{", "a", ""])
)
keys = st.sampled_from(
    [*ACTIONS, *TRIGGERS, *VALUE_TYPES, "as", "when", "times", "to", "argv", "value", "size"]
)
nested = st.recursive(
    scalars | st.sampled_from([*TRIGGERS, *FACTS, "kprobe:x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(keys, nested, min_size=1, max_size=4), min_size=1, max_size=3), nested)
def test_nothing_but_a_user_error_comes_of_nonsense(
    pitfall: Callable[..., Program], steps: list[object], check: object
) -> None:
    head = {"title": "T", "claim": "C", "axes": {"n": [1, 20]}, "scenario": steps}
    text = json.dumps(head | {"checks": [{"value": "x", "equals": check}]})  # JSON is YAML
    with contextlib.suppress(UserError):
        pitfall(text)


@pytest.mark.parametrize("name", PACKETS)
def test_packets_are_whole(name: str) -> None:
    raw = packet(name)
    kind = int.from_bytes(raw[12:14], "big")
    assert len(raw) >= 14
    if name in ("tcp4", "udp4", "icmp4"):
        assert kind == 0x0800
        assert struct.unpack_from("!H", raw, 16)[0] == len(raw) - 14
        assert checksum(raw[14:34]) == 0  # a sum over a header with its checksum is zero
        protocol, body = raw[23], raw[34:]
        pseudo = raw[26:34] + struct.pack("!HH", protocol, len(body)) if protocol != 1 else b""
        assert checksum(pseudo + body) == 0
    elif name in ("tcp6", "udp6"):
        assert (kind, raw[14] >> 4) == (0x86DD, 6)
        body = raw[54:]
        assert struct.unpack_from("!H", raw, 18)[0] == len(body)
        assert checksum(raw[22:54] + struct.pack("!HH", raw[20], len(body)) + body) == 0
    elif name == "arp":
        assert (kind, len(raw)) == (0x0806, 42)


def test_tcp4_byte_by_byte() -> None:
    assert packet("tcp4")[:38].hex(" ") == (
        "02 00 00 00 00 02 02 00 00 00 00 01 08 00 "
        "45 00 00 2d 00 01 40 00 40 06 26 c8 0a 00 00 01 0a 00 00 02 9c 40 00 50"
    )
    assert packet("tcp4").endswith(b"hello")


def documented() -> str:
    return (project_root(Path(__file__).parent) / "docs" / "scenarios.md").read_text()


def test_the_manifest_in_the_documentation_is_accepted(pitfall: Callable[..., Program]) -> None:
    program = pitfall(documented().split("```yaml\n")[1].split("```")[0])
    assert [len(variant.scenario) for variant in program.variants] == [5, 4, 5, 4]
    assert all(len(variant.checks) == 4 for variant in program.variants)
    assert program.expectations[0].expected.behaviour is Behaviour.MISBEHAVES


def test_the_documentation_has_every_word() -> None:
    text = documented()
    words = [*ACTIONS, *TRIGGERS, *TARGETS, *FACTS, *SURROUNDINGS, *PACKETS, *VALUE_TYPES, *USER_FUNCTIONS]
    words += [parameter.name for parameters in TRIGGERS.values() for parameter in parameters]
    words += [key for action in ACTIONS.values() for key in (*action.required, *action.optional)]
    words += [name for names in (*NUMBERS.values(), *MORE_NUMBERS.values()) for name in names]
    missing = [word for word in words if not re.search(rf"`[^`]*\b{word}\b[^`]*`", text)]
    assert missing == []


def test_the_tables_name_what_the_agent_has() -> None:
    assert set(TRIGGERS) == set(scenario_module.TRIGGERS)
    assert set(TARGETS) == set(scenario_module.ATTACH_TARGETS)


def test_every_op_has_an_action() -> None:
    assert {action.op for action in ACTIONS.values()} == set(StepOp)
