from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.build import claims
from harness.build.builder import Builder
from harness.build.disassembly import normal
from harness.build.toolchain import find_compilers, find_objdump, installed
from harness.catalog.programs import load_programs
from harness.errors import UserError
from harness.execute import failed_build
from harness.model import (
    BuildFailure,
    BuiltObject,
    Case,
    Compiler,
    Expected,
    Outcome,
    Program,
    Stage,
    VerdictKind,
)
from harness.paths import project_root

INCLUDE = project_root(Path(__file__).parent) / "programs" / "include"
CALLS = """
#include "vmlinux_mini.h"
#include <bpf/bpf_helpers.h>
extern unsigned long strlen(const char *s);
struct event { u64 ts; u32 direct:1, flag:7; union { int a; char b[3]; }; enum { RED, BLUE = -1 } color; };
struct event last;
u64 result;
static __attribute__((noinline)) int twice(int x) { return bpf_get_prandom_u32() > x ? 2 * x : x; }
SEC("raw_tp/sys_enter")
int call(void *ctx)
{
	char comm[16];

	last.ts = bpf_get_current_comm(comm, sizeof(comm));
	result = strlen({{ "comm" if text == "unknown" else '"bash"' }});
	return twice(last.ts);
}
char LICENSE[] SEC("license") = "GPL";
"""
HEAD = "title: T\nclaim: C\naxes: {text: [unknown, constant]}\ncontains:\n"


@pytest.fixture(scope="module")
def compiler() -> Compiler:
    return find_compilers([])[0]


def load(tmp_path: Path, *entries: str, text: str = CALLS) -> Program:
    folder = tmp_path / "fam"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "t.bpf.c.j2").write_text(text)
    (folder / "t.yaml").write_text(HEAD + "".join(f"  - {entry}\n" for entry in entries))
    return load_programs([folder])[0]


def build(tmp_path: Path, program: Program, known: str, compiler: Compiler) -> BuiltObject | BuildFailure:
    variant = next(variant for variant in program.variants if variant.values["text"] == known)
    return Builder(tmp_path / "cache", shared=INCLUDE).build(program, variant, compiler)


def test_a_strlen_that_clang_folds_is_caught(tmp_path: Path, compiler: Compiler) -> None:
    program = load(tmp_path, "{insns: 'call -1 ; strlen'}")
    assert isinstance(build(tmp_path, program, "unknown", compiler), BuiltObject)
    folded = build(tmp_path, program, "constant", compiler)
    assert isinstance(folded, BuildFailure)
    assert folded.stage is Stage.COMPILE
    first, _, listing = folded.message.partition("\n")
    assert first.startswith("the object is not what its manifest claims: nothing matches insns 'call -1 ; st")
    assert first.endswith("(t.yaml:5)")
    assert "call:\n" in listing  # the instructions there are


def test_what_it_lacks_is_never_an_answer(tmp_path: Path, compiler: Compiler) -> None:
    program = load(tmp_path, "{insns: 'call -1 ; strlen'}")
    folded = build(tmp_path, program, "constant", compiler)
    assert isinstance(folded, BuildFailure)
    case = Case(program, program.variants[1], "6.1", compiler)
    for expected in (None, Expected(VerdictKind.REJECT, Stage.COMPILE), Expected(VerdictKind.ACCEPT)):
        row = failed_build(case, folded, expected)
        assert (row.verdict.kind, row.verdict.cause) == (VerdictKind.NONE, "variant-lacks-claim")
        assert row.outcome is Outcome.UNEXPECTED
        assert "nothing matches insns" in row.reason


@pytest.mark.parametrize(
    "claim",
    [
        r"{when: {text: [constant]}, lacks: 'strlen'}",
        r"{insns: 'call -1 ; twice$', function: call, times: 1}",
        r"{insns: 'call -1 ; twice\n\d+: exit', function: call}",
        r"{insns: '^twice:\n0: ', function: twice}",
        r"{lacks: '0x|LBB'}",
        r"{btf: 'struct event size=24 \{ u64 ts @0; u32 direct @64:1; u32 flag @65:7; union \{ int a @0; '}",
        r"{btf: 'char\[3\] b @0 \} @96; enum \{ RED=0, BLUE=-1 \} color @128 \}$'}",
        r"{btf: '^func call\(void \* ctx\) -> int global$'}",
        r"{btf: '^func twice\(int x\) -> int static$', times: 1}",
        r"{btf: '^var result: u64 global$'}",
        r"{lacks_btf: 'task_struct'}",
    ],
)
def test_claims_that_hold(tmp_path: Path, compiler: Compiler, claim: str) -> None:
    result = build(tmp_path, load(tmp_path, claim), "constant", compiler)
    assert isinstance(result, BuiltObject), result


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        ("{lacks: 'call'}", "matches of lacks 'call', which must not be there"),
        ("{insns: 'call', times: 9}", "matches of insns 'call', not 9"),
        ("{insns: 'call', function: trice}", "there is no function 'trice'; functions: twice, call"),
        ("{insns: 'exit exit', function: call}", "nothing matches insns 'exit exit' in call()"),
        ("{btf: 'struct none'}", "nothing matches btf 'struct none'"),
        ("{lacks_btf: 'struct event'}", "matches of lacks_btf 'struct event', which must not be there"),
    ],
)
def test_claims_that_do_not_hold(tmp_path: Path, compiler: Compiler, claim: str, words: str) -> None:
    result = build(tmp_path, load(tmp_path, claim), "constant", compiler)
    assert isinstance(result, BuildFailure)
    assert words in result.message


def test_a_claim_concerns_its_variants_only(tmp_path: Path) -> None:
    program = load(tmp_path, "{when: {text: [unknown]}, insns: strlen}", "{insns: exit, why: 'a  b'}")
    assert [[claim.pattern for claim in variant.claims] for variant in program.variants] == [
        ["strlen", "exit"],
        ["exit"],
    ]
    assert program.variants[1].claims[0].why == "a b"
    assert program.variants[1].claims[0].origin.line == 6


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("{when: {text: [unknown]}}", "this claim has none of insns, lacks, btf, lacks_btf"),
        ("{insns: a, btf: b}", "this claim has insns and btf, but only one of"),
        ("{insns: '('}", "not a regular expression"),
        ("{when: {shape: [x]}, insns: a}", "no axis 'shape'"),
        ("{when: {text: [y]}, insns: a}", "axis 'text' has no value 'y'"),
        ("{btf: a, function: call}", "'function' has no meaning beside 'btf'"),
        ("{lacks: a, times: 2}", "'times' has no meaning beside 'lacks'"),
        ("{insns: a, times: 0}", "how often it must match, from 1"),
        ("{insn: a}", "unknown key 'insn'; did you mean 'insns'"),
    ],
)
def test_claims_that_make_no_sense_have_an_address(tmp_path: Path, entry: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        load(tmp_path, "{insns: exit}", entry)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path}/fam/t.yaml:6: ")


def test_a_condition_of_excluded_variants_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"t\.yaml:5: this condition selects no variant"):
        load(
            tmp_path,
            "{when: {text: [unknown]}, insns: a}\nexclude:\n  - {when: {text: [unknown]}, why: w}",
        )


def test_a_second_build_reads_no_object(
    tmp_path: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = load(tmp_path, "{insns: exit}", "{btf: 'struct event'}")
    first = build(tmp_path, program, "constant", compiler)

    def refuse(*_: object) -> None:
        raise AssertionError("the object was read again")

    monkeypatch.setattr(claims, "disassemble", refuse)
    monkeypatch.setattr(claims, "btf_text", refuse)
    assert build(tmp_path, program, "constant", compiler) == first


def test_a_damaged_answer_is_found_again(tmp_path: Path, compiler: Compiler) -> None:
    program = load(tmp_path, "{insns: nothing_like_it}")
    first = build(tmp_path, program, "constant", compiler)
    for damage in (b"", b"[]", b'{"7": "x"}'):
        (kept,) = (tmp_path / "cache" / "objects").glob("*.claims")
        kept.write_bytes(damage)
        assert build(tmp_path, program, "constant", compiler) == first


@pytest.mark.parametrize("compiler", installed(), ids=lambda compiler: compiler.name)
def test_every_clang_here_is_read_alike(tmp_path: Path, compiler: Compiler) -> None:
    program = load(
        tmp_path,
        r"{insns: 'call -1 ; strlen\n'}",
        r"{insns: 'if r\d+ s?[<>]=? r\d+ goto \+\d+$', function: twice}",
        r"{lacks: '0x|LBB'}",
    )
    result = build(tmp_path, program, "unknown", compiler)
    assert isinstance(result, BuiltObject), result


def test_no_objdump_is_the_persons_to_install(
    compiler: Compiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.build.toolchain._LLVM_DIRS", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="apt-get install llvm-"):
        find_objdump(replace(compiler, path=tmp_path / "clang"))


def test_the_disassembler_beside_the_compiler_comes_first(compiler: Compiler, tmp_path: Path) -> None:
    own = tmp_path / "llvm-objdump"
    own.write_text("#!/bin/sh\n")
    beside = replace(compiler, path=tmp_path / "clang")
    assert find_objdump(beside) != own  # it cannot be run yet
    own.chmod(0o755)
    assert find_objdump(beside) == own


def test_a_comparison_is_no_label() -> None:
    head = "Disassembly of section x:\n\n0000000000000000 <f>:\n"
    listing = head + "       0:\tif r1 < 0x28 goto -0x1 <f>\n       1:\tcall 0x7 <f+0x8>\n"
    assert normal(listing)["f"] == "f:\n0: if r1 < 40 goto -1\n1: call 7 ; f\n"
