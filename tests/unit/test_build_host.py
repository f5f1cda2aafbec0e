from __future__ import annotations

from pathlib import Path

import pytest
from plugin_support import run_of

from harness.build import builder as builder_module
from harness.build import host, hostcache
from harness.build.builder import Builder, Result
from harness.build.host import find_host_compiler, host_tools
from harness.build.toolchain import find_compilers
from harness.catalog.programs import load_programs
from harness.cli.common import exit_status
from harness.errors import UserError
from harness.execute import on_host
from harness.model import (
    HOST,
    BuildFailure,
    BuiltObject,
    Case,
    CaseResult,
    Outcome,
    Program,
    Stage,
    VerdictKind,
)
from harness.paths import project_root
from harness.verdict.classify import interpret_failure

INCLUDE = project_root(Path(__file__).parent) / "programs" / "include"
BPF = """
#include "vmlinux_mini.h"
#include <bpf/bpf_helpers.h>
enum color { RED, GREEN } color;
SEC("raw_tp/sys_enter") int count(void *ctx) { color = GREEN; return 0; }
char LICENSE[] SEC("license") = "GPL";
"""
USER = """
{% if types %}
enum color { RED, GREEN };
{% endif %}
#include "skel.h"
int main(void) { return !skel__open_and_load(); }
"""
MANIFEST = """\
title: T
claim: C
host: {source: t.host.c.j2, skeleton: true}
axes: {types: [true, false], cc: [gcc, g++, clang, clang++]}
expect:
  - {when: {types: [true]}, verdict: accept}
  - {verdict: reject, stage: host_compile, message: "skel\\\\.h:\\\\d+: "}
"""


def load(tmp_path: Path, manifest: str = MANIFEST, user: str = USER, bpf: str = BPF) -> Program:
    folder = tmp_path / "fam"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "t.bpf.c.j2").write_text(bpf)
    (folder / "t.host.c.j2").write_text(user)
    (folder / "t.yaml").write_text(manifest)
    return load_programs([folder])[0]


def build(tmp_path: Path, program: Program, variant: str) -> Result:
    chosen = next(one for one in program.variants if one.name == variant)
    return Builder(tmp_path / "cache", shared=INCLUDE).build(program, chosen, find_compilers([])[0])


def rows(tmp_path: Path, program: Program, *names: str) -> list[CaseResult]:
    chosen = [one for one in program.variants if not names or one.name in names]
    return [on_host(Case(program, one, HOST), build(tmp_path, program, one.name)) for one in chosen]


def test_each_compiler_is_asked(tmp_path: Path) -> None:
    found = rows(tmp_path, load(tmp_path))
    assert [row.variant for row in found][:4] == ["types-gcc", "types-gxx", "types-clang", "types-clangxx"]
    assert [row.verdict.kind.value for row in found] == ["accept"] * 4 + ["reject"] * 4
    assert {row.outcome for row in found} == {Outcome.AS_EXPECTED}
    assert {row.verdict.stage for row in found[4:]} == {Stage.HOST_COMPILE}
    assert {row.verdict.cause for row in found[4:]} <= {"host-skeleton-type", "host-enum-announced"}
    assert (found[0].id, found[0].kernel, found[0].loader) == ("fam/t[types-gcc]@host", "host", "none")


def test_the_words_and_both_sources_are_kept(tmp_path: Path) -> None:
    (row,) = rows(tmp_path, load(tmp_path), "no_types-gxx")
    assert "skel.h:" in row.build_log
    assert "t.host.cpp" in row.build_log
    assert str(tmp_path) not in row.build_log
    assert "// t.host.c\n" in row.source
    assert 'SEC("raw_tp/sys_enter") int count' in row.source


def test_a_program_that_does_not_build_for_bpf_is_refused_there(tmp_path: Path) -> None:
    program = load(tmp_path, bpf=BPF.replace("return 0", "return none"))
    result = build(tmp_path, program, "types-gcc")
    assert isinstance(result, BuildFailure)
    assert result.stage is Stage.COMPILE


def test_a_template_that_does_not_render_says_so(tmp_path: Path) -> None:
    result = build(tmp_path, load(tmp_path, user=USER + "{{ types.none.none }}"), "types-gcc")
    assert isinstance(result, BuildFailure)
    assert result.stage is Stage.RENDER
    assert result.message.startswith("t.host.c.j2:")


def test_a_compiler_that_is_missing_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder_module, "find_host_compiler", lambda _name: None)
    (row,) = rows(tmp_path, load(tmp_path), "types-gxx")
    assert (row.outcome, row.verdict.kind, row.verdict.cause) == (Outcome.NOT_RUN, VerdictKind.NONE, None)
    assert row.reason == "g++ is not installed: `bpfmatrix doctor --install`, or: apt-get install g++"
    assert exit_status(run_of(row)) == 0


def test_vmlinux_h_needs_a_kernels_btf(tmp_path: Path) -> None:
    user = USER.replace('#include "skel.h"', '#include "vmlinux.h"')
    (row,) = rows(tmp_path, load(tmp_path, user=user), "types-gcc")
    assert row.outcome is Outcome.NOT_RUN
    assert "no kernel with BTF is at hand" in row.reason


def test_what_bpftool_refuses_is_an_answer(tmp_path: Path) -> None:
    bpf = BPF.replace("enum color {", "extern int nope;\nenum color {").replace("return 0", "return nope")
    result = build(tmp_path, load(tmp_path, bpf=bpf), "types-gcc")
    assert isinstance(result, BuildFailure)
    assert result.message.startswith("bpftool gen skeleton: ")
    assert interpret_failure(result).cause == "host-skeleton-not-made"


def test_a_compiler_without_end_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "gcc"
    slow.write_text("#!/bin/sh\nexec sleep 30\n")
    slow.chmod(0o755)
    monkeypatch.setattr("harness.build.clang.TIME_LIMIT_S", 0.2)
    job = host.HostJob("int x;", "x.c")
    words = host.compile_on_host(job, host.HostCompiler("gcc", slow, "1"))
    assert words == "gcc took longer than 0.2 s and was stopped"


def test_the_tools_of_this_machine_have_versions() -> None:
    tools = host_tools()
    assert {"gcc", "g++", "bpftool"} <= set(tools)
    assert all(version[0].isdigit() for version in tools.values())
    cxx = find_host_compiler("clang++")
    assert cxx is not None
    assert cxx.cxx


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (("t.host.c.j2", "u.host.c.j2"), 3, "there is no u.host.c.j2 beside the template"),
        (("t.host.c.j2", "../t.host.c.j2"), 3, "the name of a template of C code beside this one"),
        (("t.host.c.j2", "t.bpf.c.j2"), 3, "the name of a template of C code beside this one"),
        ((", cc: [gcc, g++, clang, clang++]", ""), 3, "a host part needs the axis 'cc'"),
        (("g++", "gpp"), 4, "no compiler 'gpp'; valid: gcc, g++"),
        (("axes:", "settings: {time_limit: 3}\naxes:"), 4, "'settings' has no meaning beside 'host'"),
        (
            ("verdict: accept", "kernels: '>=5.8', verdict: accept"),
            6,
            "'kernels' has no meaning beside 'host'",
        ),
        (("skeleton: true", "skeletons: true"), 3, "unknown key 'skeletons'"),
        (("types: [true, false]", "types: [true, false], more: [1]"), 4, "does not use the axis 'more'"),
    ],
)
def test_mistakes_have_an_address(tmp_path: Path, change: tuple[str, str], line: int, words: str) -> None:
    with pytest.raises(UserError) as caught:
        load(tmp_path, MANIFEST.replace(*change, 1))
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path}/fam/t.yaml:{line}: ")


def test_a_variable_of_the_host_template_must_be_an_axis(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"t\.host\.c\.j2:7: the variable 'tyeps' is no axis"):
        load(tmp_path, user=USER + "{{ tyeps }}")


def test_an_accepted_object_is_the_bpf_one(tmp_path: Path) -> None:
    result = build(tmp_path, load(tmp_path), "types-clangxx")
    assert isinstance(result, BuiltObject)
    assert result.programs == ("count",)


def test_an_answer_is_kept_until_a_text_or_a_package_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    packages = tmp_path / "status"
    packages.write_text("one")
    monkeypatch.setattr(hostcache, "_PACKAGES", packages)
    monkeypatch.setattr(
        host, "compile_on_host", lambda job, _compiler: asked.append(job.source) or "error: no"
    )
    gcc = host.HostCompiler("gcc", Path("/bin/true"), "1")
    folder = tmp_path / "objects"
    for source in ("int a;", "int a;", "int b;"):
        assert host.answer_of(host.HostJob(source, "a.c"), gcc, folder) == "error: no"
    assert asked == ["int a;", "int b;"]
    packages.write_text("two packages")
    host.answer_of(host.HostJob("int a;", "a.c"), gcc, folder)
    assert asked == ["int a;", "int b;", "int a;"]
    packages.unlink()
    for _ in range(2):
        host.answer_of(host.HostJob("int a;", "a.c"), gcc, folder)
    assert len(asked) == 5, "nothing is kept where nothing tells that the system changed"


@pytest.mark.parametrize("kept", ["", "[]", "{", '{"words": 3}', "{}"])
def test_a_damaged_answer_is_asked_for_again(tmp_path: Path, kept: str) -> None:
    hostcache.keep(tmp_path, "k", None)
    assert hostcache.recall(tmp_path, "k") == (True, None)
    (tmp_path / "host-k.json").write_text(kept)
    assert hostcache.recall(tmp_path, "k")[0] is False


@pytest.mark.parametrize("words", ["killed", "a.c:1: error: x\ngcc took longer than 60 s and was stopped"])
def test_what_a_limit_ended_is_not_kept(tmp_path: Path, words: str) -> None:
    hostcache.keep(tmp_path, "k", words)
    assert hostcache.recall(tmp_path, "k") == (False, None)
