from __future__ import annotations

import re
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from harness.build import clang, toolchain, vmlinux
from harness.build.builder import Builder, BuildRequest
from harness.build.toolchain import find_compilers, find_llvm
from harness.build.vmlinux import needs_vmlinux
from harness.catalog.programs import load_programs
from harness.errors import HarnessError, InfrastructureError, UserError
from harness.model import BuildFailure, BuiltObject, Compiler, Program, Stage
from harness.paths import project_root

INCLUDE = project_root(Path(__file__).parent) / "programs" / "include"
BODY = """
#include "vmlinux_mini.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
SEC("kprobe/do_nothing")
int BPF_KPROBE(probe, struct task_struct *task)
{
	return BPF_CORE_READ(task, nsproxy, pid_ns_for_children, ns.inum);
}
char LICENSE[] SEC("license") = "GPL";
"""
PLAIN = '__attribute__((section("tc"), used)) int {name}(void *ctx) {{ return {value}; }}\n'


@pytest.fixture(scope="module")
def compiler() -> Compiler:
    return find_compilers([])[0]


def builder(tmp_path: Path) -> Builder:
    return Builder(tmp_path / "cache", shared=INCLUDE)


def source(tmp_path: Path, text: str, name: str = "x.bpf.c") -> Program:
    tmp_path.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(text)
    return load_programs([tmp_path / name])[0]


def template(tmp_path: Path, text: str, manifest: str) -> Program:
    folder = tmp_path / "fam"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "t.bpf.c.j2").write_text(text)
    (folder / "t.yaml").write_text("title: T\nclaim: C\n" + manifest)
    return load_programs([folder])[0]


def built(result: BuiltObject | BuildFailure) -> BuiltObject:
    assert isinstance(result, BuiltObject), result
    return result


def failed(result: BuiltObject | BuildFailure) -> BuildFailure:
    assert isinstance(result, BuildFailure), result
    return result


def forbid_clang(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("clang was started")

    monkeypatch.setattr(clang, "run_bounded", refuse)


def test_a_template_becomes_an_object_per_variant(tmp_path: Path, compiler: Compiler) -> None:
    program = template(tmp_path, BODY + "int n = {{ n }};\n", "axes: {n: [1, 2]}\n")
    results = [built(builder(tmp_path).build(program, variant, compiler)) for variant in program.variants]
    assert [r.source.splitlines()[-1] for r in results] == ["int n = 1;", "int n = 2;"]
    assert results[0].sha256 != results[1].sha256
    assert results[0].programs == ("probe",)
    assert results[0].compiler == compiler


def test_the_same_text_in_another_checkout_is_the_same_bytes(tmp_path: Path, compiler: Compiler) -> None:
    objects = []
    for checkout in ("here", "somewhere/quite/else"):
        root = tmp_path / checkout
        include = root / "programs" / "include"
        include.mkdir(parents=True)
        for header in INCLUDE.iterdir():
            (include / header.name).write_bytes(header.read_bytes())
        program = source(root / "own", '#include "near.h"\n' + BODY)
        (root / "own" / "near.h").write_text("static inline int near(void) { return 1; }\n")
        objects.append(built(Builder(root / "cache", shared=include).build(program, None, compiler)).path)
    contents = [path.read_bytes() for path in objects]
    assert objects[0] != objects[1]
    assert contents[0] == contents[1]
    assert str(tmp_path).encode() not in contents[0]
    assert b"x.bpf.c" in contents[0]  # the verifier's log names this file


def test_a_second_build_starts_no_clang(
    tmp_path: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = source(tmp_path, BODY)
    first = built(builder(tmp_path).build(program, None, compiler))
    forbid_clang(monkeypatch)
    assert builder(tmp_path).build(program, None, compiler) == first


def test_a_changed_header_is_noticed(tmp_path: Path, compiler: Compiler) -> None:
    program = source(tmp_path, '#include "near.h"\n' + PLAIN.format(name="f", value="VALUE"))
    make = builder(tmp_path)
    hashes = set()
    for value in ("1", "22", "1"):
        (tmp_path / "near.h").write_text(f"#define VALUE {value}\n")
        hashes.add(built(make.build(program, None, compiler)).sha256)
    assert len(hashes) == 2


@pytest.mark.parametrize("damage", [b"", b"\x7fELF garbage"])
@pytest.mark.parametrize("suffix", [".o", ".json"])
def test_a_damaged_cache_is_built_again(
    tmp_path: Path, compiler: Compiler, damage: bytes, suffix: str
) -> None:
    program = source(tmp_path, BODY)
    first = built(builder(tmp_path).build(program, None, compiler))
    first.path.with_suffix(suffix).write_bytes(damage)
    again = built(builder(tmp_path).build(program, None, compiler))
    assert again == first
    assert again.path.read_bytes().startswith(b"\x7fELF")


def test_another_compiler_is_another_object(tmp_path: Path, compiler: Compiler) -> None:
    program = source(tmp_path, BODY)
    other = Compiler("clang-x", compiler.path, "0.0.1")
    paths = {built(builder(tmp_path).build(program, None, c)).path for c in (compiler, other)}
    assert len(paths) == 2


def test_render_failures_are_answers(tmp_path: Path, compiler: Compiler) -> None:
    program = template(tmp_path, "a\n{% if %}\n", "axes: {n: [1]}\n")
    failure = failed(builder(tmp_path).build(program, program.variants[0], compiler))
    assert failure.stage is Stage.RENDER
    assert failure.message.startswith("t.bpf.c.j2:2: ")
    assert failure.compiler == compiler


def test_compile_failures_carry_clangs_words_without_folders(tmp_path: Path, compiler: Compiler) -> None:
    (tmp_path / "near.h").write_text("int near = oops;\n")
    failure = failed(builder(tmp_path).build(source(tmp_path, '#include "near.h"\n'), None, compiler))
    assert failure.stage is Stage.COMPILE
    assert "near.h:1:12: error: use of undeclared identifier 'oops'" in failure.message
    assert "In file included from x.bpf.c:1" in failure.message
    assert str(tmp_path) not in failure.message
    assert failure.source == '#include "near.h"\n'


def test_warnings_are_kept_and_do_not_fail(tmp_path: Path, compiler: Compiler) -> None:
    text = "static int unused_one;\n" + PLAIN.format(name="f", value=0)
    for _ in range(2):  # from clang, then from the cache
        result = built(builder(tmp_path).build(source(tmp_path, text), None, compiler))
        assert "unused variable 'unused_one'" in result.warnings


def test_a_source_without_programs_fails_to_open(tmp_path: Path, compiler: Compiler) -> None:
    failure = failed(builder(tmp_path).build(source(tmp_path, "int x;\n"), None, compiler))
    assert failure.stage is Stage.OPEN
    assert "no BPF programs" in failure.message


def test_messages_and_time_are_bounded(
    tmp_path: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy = "".join(f'#warning "{n} {"x" * 300}"\n' for n in range(600)) + "oops\n"
    assert len(failed(builder(tmp_path).build(source(tmp_path, noisy), None, compiler)).message) < 70_000
    monkeypatch.setattr(clang, "TIME_LIMIT_S", 0.2)
    slow = tmp_path / "clang"
    slow.write_text("#!/bin/sh\nexec sleep 30\n")
    slow.chmod(0o755)
    failure = failed(builder(tmp_path).build(source(tmp_path, "int x;"), None, Compiler("c", slow, "1.0.0")))
    assert "clang took longer than 0.2 s and was stopped" in failure.message


def test_clang_that_eats_memory_is_an_answer(
    tmp_path: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    greedy = tmp_path / "clang"
    greedy.write_text("#!/bin/sh\nkill -SEGV $$\n")
    greedy.chmod(0o755)
    failure = failed(
        builder(tmp_path).build(source(tmp_path, "int x;"), None, Compiler("c", greedy, "1.0.0"))
    )
    assert "clang died of SIGSEGV" in failure.message


def test_foreign_objects_stay_where_they_are(tmp_path: Path, compiler: Compiler) -> None:
    made = built(builder(tmp_path).build(source(tmp_path, BODY), None, compiler))
    foreign = tmp_path / "foreign.bpf.o"
    foreign.write_bytes(made.path.read_bytes())
    result = built(builder(tmp_path).build(load_programs([foreign])[0], None, None))
    assert (result.path, result.programs, result.source) == (foreign, ("probe",), "")
    foreign.write_bytes(b"junk")
    with pytest.raises(UserError, match="not an ELF file"):
        builder(tmp_path).build(load_programs([foreign])[0], None, None)


def test_the_subject_must_be_clear(tmp_path: Path, compiler: Compiler) -> None:
    two = PLAIN.format(name="one", value=1) + PLAIN.format(name="two", value=2)
    program = template(tmp_path, two, "program: two\n")
    assert built(builder(tmp_path).build(program, program.variants[0], compiler)).programs == ("one", "two")
    for manifest, words in (("program: tow\n", "did you mean 'two'"), ("", "several BPF programs: one, two")):
        program = template(tmp_path, two, manifest)
        with pytest.raises(UserError, match=words):
            builder(tmp_path).build(program, program.variants[0], compiler)


NAMES = """
#define SEC(name) __attribute__((section(name), used))
int counter;
const volatile int limit = 3;
static volatile int hidden = 4;
struct { int (*type)[1]; } table SEC(".maps");
SEC("tc") int one(void *ctx) { return counter + limit + hidden + (table.type != 0); }
char LICENSE[] SEC("license") = "GPL";
"""


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("{read: counter}", None),
        ("{read: limit}", None),
        ("{read: hidden}", None),
        ("{count: table}", None),
        ("{attach: one}", None),
        ("{trigger: concurrent, map: table, bytes: 4, program: one}", None),
        ("{read: countre}", "has no global variable 'countre'; did you mean 'counter'?"),
        ("{read: LICENSE}", "has no global variable 'LICENSE'"),
        ("{set: table, u32: 1}", "has no global variable 'table'"),
        ("{count: counter}", "has no map 'counter'; maps: table"),
        ("{attach: two}", "has no BPF program 'two'; BPF programs: one"),
        ("{trigger: concurrent, map: tabel, bytes: 4}", "has no map 'tabel'; did you mean 'table'?"),
        ("{trigger: concurrent, map: table, bytes: 4, program: two}", "has no BPF program 'two'"),
    ],
)
def test_what_steps_name_is_in_the_object(
    tmp_path: Path, compiler: Compiler, step: str, words: str | None
) -> None:
    program = template(tmp_path, NAMES, f"scenario:\n  - {{trigger: fork}}\n  - {step}\n")
    if words is None:
        assert built(builder(tmp_path).build(program, program.variants[0], compiler)).programs == ("one",)
        return
    with pytest.raises(UserError) as caught:
        builder(tmp_path).build(program, program.variants[0], compiler)
    assert words in str(caught.value)
    assert re.search(r"\.yaml:5: the object of default has no ", str(caught.value))


def test_build_all_keeps_the_order_and_reports_progress(tmp_path: Path, compiler: Compiler) -> None:
    program = template(tmp_path, PLAIN.format(name="f", value="{{ n }}"), "axes: {n: [3, 1, 2, 4]}\n")
    seen: list[tuple[int, int]] = []
    requests = [BuildRequest(program, variant, compiler) for variant in program.variants]
    results = builder(tmp_path).build_all(requests, lambda done, total: seen.append((done, total)))
    assert [r.source.split("return ")[1][0] for r in results] == ["3", "1", "2", "4"]
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_build_all_ends_at_the_first_error(tmp_path: Path) -> None:
    (tmp_path / "bad.o").write_bytes(b"junk")
    program = load_programs([tmp_path / "bad.o"])[0]
    with pytest.raises(UserError, match="not an ELF file"):
        builder(tmp_path).build_all([BuildRequest(program, None, None)] * 3)


def test_many_builders_of_one_text_agree(tmp_path: Path, compiler: Compiler) -> None:
    program = source(tmp_path, BODY)
    results: list[BuiltObject | BuildFailure] = []

    def work() -> None:
        results.append(builder(tmp_path).build(program, None, compiler))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(result == results[0] for result in results)
    assert not list((tmp_path / "cache" / "objects").glob(".new-*"))


def test_a_cache_that_cannot_be_made_is_the_persons_to_fix(tmp_path: Path, compiler: Compiler) -> None:
    (tmp_path / "cache").write_text("a file in its place")
    with pytest.raises(UserError, match=r"cache cannot be written.*\n.*BPFMATRIX_CACHE"):
        builder(tmp_path).build(source(tmp_path, BODY), None, compiler)


def test_a_full_disk_says_so(tmp_path: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.build.objectcache.write_atomic", full)
    with pytest.raises(InfrastructureError, match="No space left"):
        builder(tmp_path).build(source(tmp_path, BODY), None, compiler)


def test_missing_libbpf_headers_are_not_the_programs_fault(
    tmp_path: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clang, "_system_folders", lambda: (tmp_path,))
    with pytest.raises(UserError, match="apt-get install libbpf-dev"):
        builder(tmp_path).build(source(tmp_path, "#include <bpf/none.h>\n"), None, compiler)


def test_the_environment_does_not_matter(
    tmp_path: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "poison").mkdir()
    (tmp_path / "poison" / "only_here.h").write_text("")
    monkeypatch.setenv("CPATH", str(tmp_path / "poison"))
    failed(builder(tmp_path).build(source(tmp_path, "#include <only_here.h>\n"), None, compiler))


def btf_blob(tmp_path: Path, compiler: Compiler) -> Path:
    """A raw .BTF blob with one struct, in place of a kernel's."""
    made = built(builder(tmp_path).build(source(tmp_path, BODY, "blob.bpf.c"), None, compiler))
    with made.path.open("rb") as file:
        section = ELFFile(file).get_section_by_name(".BTF")
        assert section is not None
        (tmp_path / "blob.btf").write_bytes(section.data())
    return tmp_path / "blob.btf"


def test_vmlinux_h_is_made_from_a_kernels_btf(
    tmp_path: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '#include "mine.h"\n' + PLAIN.format(name="f", value="sizeof(struct nsproxy)")
    (tmp_path / "mine.h").write_text("#include <vmlinux.h>\n")
    program = source(tmp_path, text)
    without = failed(builder(tmp_path).build(program, None, compiler))
    assert "no kernel with BTF is at hand" in without.message
    blob = btf_blob(tmp_path, compiler)
    make = Builder(tmp_path / "cache", shared=INCLUDE, vmlinux_btf=blob)
    first = built(make.build(program, None, compiler))
    assert first.programs == ("f",)
    monkeypatch.setattr(subprocess, "Popen", None)  # everything is in the cache now
    monkeypatch.setattr("harness.build.vmlinux._dump", None)
    assert (
        Builder(tmp_path / "cache", shared=INCLUDE, vmlinux_btf=blob).build(program, None, compiler) == first
    )


def test_no_btf_and_no_bpftool(tmp_path: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    program = source(tmp_path, '#include "vmlinux.h"\n')
    (tmp_path / "junk").write_bytes(b"junk")
    for blob, words in ((tmp_path / "junk", "makes no vmlinux.h of it"), (tmp_path / "none", "No such file")):
        with pytest.raises(HarnessError, match=words):
            Builder(tmp_path / "cache", shared=INCLUDE, vmlinux_btf=blob).build(program, None, compiler)
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    vmlinux.bpftool.cache_clear()
    with pytest.raises(UserError, match="apt-get install bpftool"):
        Builder(tmp_path / "cache", shared=INCLUDE, vmlinux_btf=tmp_path / "junk").build(
            program, None, compiler
        )


def test_ones_own_vmlinux_h_wins(tmp_path: Path) -> None:
    assert needs_vmlinux('  # include  "vmlinux.h"\n', tmp_path)
    assert not needs_vmlinux("// no vmlinux.h\nint vmlinux_h;\n", tmp_path)
    (tmp_path / "vmlinux.h").write_text('#include "vmlinux.h"\n')
    assert not needs_vmlinux('#include "vmlinux.h"\n', tmp_path)


def test_the_shared_header_gives_every_clang_the_kernels_names(tmp_path: Path, compiler: Compiler) -> None:
    text = BODY + 'SEC("tc") int skb(struct __sk_buff *s) { u32 x = s->len; return x > 3 ? true : false; }\n'
    result = built(builder(tmp_path).build(source(tmp_path, text), None, compiler))
    assert result.warnings == ""
    assert result.programs == ("probe", "skb")


def test_an_object_has_no_debugger_sections_and_the_rest_as_clang_made_it(
    tmp_path: Path, compiler: Compiler
) -> None:
    program = source(tmp_path, BODY)
    made = built(builder(tmp_path).build(program, None, compiler))
    options = clang.flags(clang.Includes(program.path.parent, INCLUDE, None), "v1")
    includes = clang.Includes(program.path.parent, INCLUDE, None)
    whole = clang.compile_source(compiler, program.path.read_bytes(), "x.bpf.c", options, includes).object
    assert whole is not None
    assert b".debug_info" in whole
    (tmp_path / "whole.o").write_bytes(whole)
    ours, theirs = (sections(path) for path in (made.path, tmp_path / "whole.o"))
    assert not [name for name in ours if name.startswith(".debug")]
    for name in ("kprobe/do_nothing", "license", ".BTF", ".BTF.ext"):
        assert ours[name] == theirs[name]


def sections(path: Path) -> dict[str, bytes]:
    with path.open("rb") as file:
        return {section.name: section.data() for section in ELFFile(file).iter_sections()}


def test_without_llvm_objcopy_the_package_is_named(
    tmp_path: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolchain, "_LLVM_DIRS", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"llvm-objcopy is missing(.|\n)*apt-get install llvm-"):
        find_llvm(replace(compiler, path=tmp_path / "clang"), "llvm-objcopy")
