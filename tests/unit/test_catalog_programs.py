from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.catalog.programs import expand, load_programs
from harness.errors import UserError
from harness.model import BuiltObject, Loader, Program, ProgramKind, Stage, VerdictKind
from harness.paths import project_root

TEMPLATE = "int a = {{ size }};\nint b = {{ form }};\n"
HEAD = "title: T\nclaim: C\naxes:\n  size: [1, 2, 3]\n  form: [x, y]\n  loader: [libbpf, raw]\n"


@pytest.fixture
def pitfall(tmp_path: Path) -> Callable[..., Program]:
    """Write a template and its manifest in a folder called `family`, load it."""

    def write(manifest: str, template: str = TEMPLATE) -> Program:
        folder = tmp_path / "family"
        folder.mkdir(exist_ok=True)
        (folder / "thing.bpf.c.j2").write_text(template)
        (folder / "thing.yaml").write_text(manifest)
        (program,) = load_programs([folder])
        return program

    return write


def expect(*entries: str) -> str:
    return HEAD + "expect:\n" + "".join(f"  - {entry}\n" for entry in entries)


def test_axes_become_variants_in_axis_order(pitfall: Callable[..., Program]) -> None:
    program = pitfall(HEAD)
    assert program.name == "family/thing"
    assert program.kind is ProgramKind.TEMPLATE
    assert program.has_manifest
    assert [variant.name for variant in program.variants][:3] == ["1-x-libbpf", "1-x-raw", "1-y-libbpf"]
    assert len(program.variants) == 12
    assert dict(program.variants[1].values) == {"size": 1, "form": "x", "loader": "raw"}
    assert program.variants[1].settings.loader is Loader.RAW


def test_values_are_frozen(pitfall: Callable[..., Program]) -> None:
    with pytest.raises(TypeError):
        pitfall(HEAD).variants[0].values["size"] = 9  # type: ignore[index]  # that is the test


def test_booleans_exclusions_settings_slow_and_program(pitfall: Callable[..., Program]) -> None:
    program = pitfall(
        textwrap.dedent("""\
        title: T
        claim: >-
          two
          lines
        axes:
          size: [1, 2]
          form: [true, false]
          memlock: [65536, unlimited]
        exclude:
          - {when: {size: [2], form: [true]}, why: pointless}
        settings: {time_limit: 90, log_bytes: 4096, capabilities: [CAP_BPF]}
        program: main_one
        slow: {when: {size: [2]}}
        """)
    )
    names = {variant.name: variant for variant in program.variants}
    assert list(names) == [
        "1-form-65536",
        "1-form-unlimited",
        "1-no_form-65536",
        "1-no_form-unlimited",
        "2-no_form-65536",
        "2-no_form-unlimited",
    ]
    variant = names["2-no_form-65536"]
    assert variant.slow
    assert not names["1-form-65536"].slow
    assert variant.bpf_program == "main_one"
    assert variant.settings.memlock == 65536
    assert names["1-form-unlimited"].settings.memlock is None
    assert variant.settings.capabilities == ("CAP_BPF",)
    assert (variant.settings.time_limit_s, variant.settings.log_bytes) == (90.0, 4096)
    assert program.claim == "two lines"


def test_no_axes_is_one_variant(pitfall: Callable[..., Program]) -> None:
    (variant,) = pitfall("title: T\nclaim: C\n", "int a;\n").variants
    assert variant.name == "default"


def test_expectations_keep_their_lines(pitfall: Callable[..., Program]) -> None:
    program = pitfall(
        expect(
            "{when: {size: [1]}, kernels: '>=5.8', needs: [btf], verdict: reject, stage: load, "
            "errno: EINVAL, message: 'R[0-9]', why: w, unmeasured: true}",
            "{verdict: accept}",
        )
    )
    first, second = program.expectations
    assert first.origin.line == 8
    assert second.origin.line == 9
    assert first.expected.verdict is VerdictKind.REJECT
    assert first.expected.stage is Stage.LOAD
    assert first.expected.errno == "EINVAL"
    assert first.expected.unmeasured
    assert first.needs == ("btf",)
    assert dict(first.when) == {"size": (1,)}
    assert second.expected.verdict is VerdictKind.ACCEPT


@pytest.mark.parametrize(
    ("manifest", "line", "words"),
    [
        (
            HEAD.replace("form:", "shape:"),
            5,
            "does not use the axis 'shape'; variables without an axis: form",
        ),
        (HEAD.replace("[1, 2, 3]", "[1, 1]"), 4, "lists 1 twice"),
        (HEAD.replace("[1, 2, 3]", "[1, true]"), 4, "mixes true/false with numbers"),
        (HEAD.replace("[1, 2, 3]", "[a b]"), 4, "cannot stand in a variant's name"),
        (HEAD.replace("[1, 2, 3]", "[-1]"), 4, "cannot stand in a variant's name"),
        (HEAD.replace("[1, 2, 3]", "[1.5]"), 4, "expected: a string, a whole number, or true/false"),
        (HEAD.replace("[1, 2, 3]", "[]"), 4, "a list of one or more values"),
        (HEAD.replace("[libbpf, raw]", "[libbpf, row]"), 6, "no loader 'row'; did you mean 'raw'?"),
        (HEAD.replace("loader: [libbpf, raw]", "memlock: [much]"), 6, "memlock 'much'; expected: bytes, or"),
        (HEAD.replace("[1, 2, 3]", "[1, '1']"), 3, "two variants are called '1-x-libbpf'"),
        (HEAD + "sIow: 1\n", 7, "unknown key 'sIow'; did you mean 'slow'?"),
        (HEAD.replace("  size: [1, 2, 3]", f"  size: {list(range(900))}"), 3, "3600 variants; at most 2000"),
        (HEAD + "slow: {when: {size: [4]}}\n", 7, "axis 'size' has no value 4; values: 1, 2, 3"),
        (HEAD + "slow: {when: {sise: [1]}}\n", 7, "no axis 'sise'; did you mean 'size'?"),
        (HEAD + "slow: {when: {size: ['1']}}\n", 7, "axis 'size' has no value '1'"),
        (
            HEAD + "exclude:\n  - {when: {size: [1]}, why: a}\n  - {when: {size: [1]}, why: b}\n",
            9,
            "removes no",
        ),
        (HEAD + "exclude:\n  - {when: {size: [1, 2, 3]}, why: all}\n", 7, "leave no variant"),
        (
            HEAD + "exclude: [{when: {size: [1]}, why: a}]\nslow: {when: {size: [1]}}\n",
            8,
            "this condition selects no variant",
        ),
        (HEAD + "settings: {memlock: lots}\n", 7, "bytes (RLIMIT_MEMLOCK), or unlimited"),
        (HEAD + "settings: {time_limit: 0}\n", 7, "seconds, above 0"),
        (HEAD + "settings: {capabilities: [CAP_BFP]}\n", 7, "did you mean 'CAP_BPF'?"),
        (HEAD + "program: 'a b'\n", 7, "the name of a BPF program"),
        (expect("{verdict: maybe}"), 8, "'maybe' is none of them"),
        (expect("{verdict: accept, stage: load}"), 8, "verdict accept has no stage"),
        (expect("{verdict: accept, errno: EINVAL}"), 8, "verdict accept has no errno"),
        (expect("{verdict: reject, stage: load, errno: EINVALID}"), 8, "did you mean 'EINVAL'?"),
        (expect("{verdict: reject, stage: compile, errno: EINVAL}"), 8, "has no errno"),
        (expect("{verdict: reject, stage: load, message: '('}"), 8, "not a regular expression"),
        (expect("{verdict: accept, kernels: '5.x'}"), 8, "'5.x' is not a comparison"),
        (expect("{verdict: accept, kernels: 5.10}"), 8, "in quotes"),
        (expect("{verdict: accept, needs: [bft]}"), 8, "btf, map_type.<name>"),
        (expect("{verdict: accept, when: {size: 1}}"), 8, "a list of one or more values"),
        (expect("{verdict: accept, when: {colour: [1]}}"), 8, "no axis 'colour'; axes: size, form, loader"),
        (expect("{verdict: accept, kernels: '>=6.0,<5.0'}"), 8, "select no variant on any kernel"),
        (expect("{verdict: accept}", "{verdict: reject}"), 9, "earlier entries (line 8) always decide first"),
        (
            expect(
                "{verdict: accept, kernels: '<5.8'}",
                "{verdict: reject, kernels: '>=5.8'}",
                "{verdict: accept}",
            ),
            10,
            "(line 8, 9)",
        ),
        (
            expect("{verdict: accept, kernels: '>=5.4'}", "{verdict: reject, kernels: '6.1'}"),
            9,
            "always decide first",
        ),
        (
            expect("{verdict: accept, needs: [btf]}", "{verdict: reject, needs: [btf, config.X]}"),
            9,
            "always decide first",
        ),
        (
            expect(
                "{verdict: accept, when: {size: [1, 2]}}",
                "{verdict: reject, when: {size: [3]}}",
                "{verdict: accept, when: {form: [x]}}",
            ),
            10,
            "(line 8, 9)",
        ),
    ],
)
def test_mistakes_have_an_address(
    pitfall: Callable[..., Program], manifest: str, line: int, words: str
) -> None:
    with pytest.raises(UserError) as caught:
        pitfall(manifest)
    assert words in str(caught.value)
    assert f"thing.yaml:{line}: " in str(caught.value)


@pytest.mark.parametrize(
    "entries",
    [
        ("{verdict: accept, needs: [btf]}", "{verdict: reject}"),
        ("{verdict: accept, needs: ['!btf']}", "{verdict: reject, needs: [btf]}"),
        ("{verdict: accept, kernels: '<=5.10'}", "{verdict: reject, kernels: '>=5.10'}"),
        ("{verdict: accept, kernels: '5.10.3'}", "{verdict: reject, kernels: '5.10'}"),
        ("{verdict: accept, when: {size: [1]}}", "{verdict: reject, when: {form: [x]}}"),
    ],
)
def test_overlapping_expectations_are_fine(pitfall: Callable[..., Program], entries: tuple[str, ...]) -> None:
    assert len(pitfall(expect(*entries)).expectations) == len(entries)


def test_an_expectation_for_excluded_variants_only_is_refused(pitfall: Callable[..., Program]) -> None:
    text = (
        HEAD + "exclude: [{when: {size: [1]}, why: a}]\nexpect:\n  - {when: {size: [1]}, verdict: accept}\n"
    )
    with pytest.raises(UserError, match=r"thing\.yaml:9: .*never match"):
        pitfall(text)


def test_a_variable_without_axis_names_the_template_line(pitfall: Callable[..., Program]) -> None:
    with pytest.raises(UserError) as caught:
        pitfall(HEAD, TEMPLATE + "{{ sise }}\n")
    assert "thing.bpf.c.j2:3: the variable 'sise' is no axis of thing.yaml; did you mean 'size'?" in str(
        caught.value
    )


def test_axes_used_through_includes_and_imports_count(
    tmp_path: Path, pitfall: Callable[..., Program]
) -> None:
    (tmp_path / "family").mkdir()
    (tmp_path / "family" / "body.j2").write_text("{{ size }}")
    (tmp_path / "family" / "macros.j2").write_text("{% macro m() %}{{ form }}{% endmacro %}")
    template = "{% include 'body.j2' %}{% from 'macros.j2' import m with context %}{{ m() }}\n"
    assert len(pitfall(HEAD, template).variants) == 12
    without_context = template.replace(" with context", "")
    with pytest.raises(UserError, match="does not use the axis 'form'"):
        pitfall(HEAD, without_context)


def test_a_template_that_does_not_parse_is_left_to_the_render_stage(pitfall: Callable[..., Program]) -> None:
    assert len(pitfall(HEAD, "{% if %}").variants) == 12


def test_kinds_without_manifest(tmp_path: Path) -> None:
    names = ["a.bpf.c.j2", "b.bpf.c", "c.bpf.o", "d.o"]
    for name in names:
        (tmp_path / name).write_text("")
    programs = load_programs([tmp_path, tmp_path / "c.bpf.o"])
    assert [(p.name, p.kind.value) for p in programs] == list(
        zip(names, ["template", "source", "object", "object"], strict=True)
    )
    assert all(not p.variants and not p.has_manifest for p in programs)


def test_expand_makes_a_variant_per_bpf_program(tmp_path: Path) -> None:
    (tmp_path / "c.bpf.o").write_text("")
    (program,) = load_programs([tmp_path])
    built = BuiltObject(tmp_path / "c.bpf.o", "0", "", None, ("one", "two"))
    assert [(v.name, v.bpf_program) for v in expand(program, built)] == [("one", "one"), ("two", "two")]


def test_expand_leaves_a_manifest_alone(pitfall: Callable[..., Program]) -> None:
    program = pitfall(HEAD)
    assert expand(program, BuiltObject(Path("x"), "0", "", None, ("one",))) == program.variants


@pytest.mark.parametrize("name", ["a.c", "a.yaml", "README"])
def test_other_files_are_refused_with_what_is_accepted(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    with pytest.raises(UserError, match=r"\.bpf\.c\.j2.*\.bpf\.c.*\.o"):
        load_programs([tmp_path / name])


def test_nothing_there_and_nothing_in_it(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "no", "there is nothing"), (tmp_path, "no programs in this folder")):
        with pytest.raises(UserError, match=words) as caught:
            load_programs([path])
        assert "a folder, a template" in str(caught.value)


def test_a_manifest_without_template_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.bpf.c.j2").write_text("")
    (tmp_path / "b.yaml").write_text("")
    with pytest.raises(UserError, match=r"b\.yaml:1: a manifest without its template b\.bpf\.c\.j2"):
        load_programs([tmp_path])


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.bpf.o").write_text("")
    assert [p.name for p in load_programs([tmp_path])] == ["x/a.bpf.o", "y/a.bpf.o"]


def test_manifests_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder / "fam").mkdir(parents=True)
        (tmp_path / folder / "fam" / "a.bpf.c.j2").write_text("")
        (tmp_path / folder / "fam" / "a.yaml").write_text("title: T\nclaim: C\n")
    with pytest.raises(UserError, match="two programs are called 'fam/a'"):
        load_programs([tmp_path])


def test_unprintable_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a\x1b[31m.bpf.o").write_text("")
    with pytest.raises(UserError, match="unprintable"):
        load_programs([tmp_path])


def test_inside_the_project_names_begin_with_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kernels.yaml").write_text("")
    folder = tmp_path / "programs" / "maps"
    folder.mkdir(parents=True)
    (folder / "size.bpf.c.j2").write_text("")
    (folder / "size.yaml").write_text("title: T\nclaim: C\n")
    monkeypatch.chdir(tmp_path)
    assert [p.name for p in load_programs([folder / "size.bpf.c.j2"])] == ["programs/maps/size"]


def test_the_manifest_in_the_documentation_is_accepted(pitfall: Callable[..., Program]) -> None:
    text = (project_root(Path(__file__).parent) / "docs" / "manifest.md").read_text()
    example = text.split("```yaml\n")[1].split("```")[0]
    program = pitfall(example, "int n = {{ entries }};\n")
    assert len(program.variants) == 10
    assert len(program.expectations) == 2
