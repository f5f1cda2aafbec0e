from __future__ import annotations

from pathlib import Path

import pytest

from harness.build.render import Renderer, RenderError


def render(tmp_path: Path, text: str, **axes: str | int | bool) -> str:
    template = tmp_path / "fam" / "t.bpf.c.j2"
    template.parent.mkdir(exist_ok=True)
    template.write_text(text)
    return Renderer(tmp_path / "include").render(template, axes)


def test_axes_are_variables_and_block_tags_leave_no_lines(tmp_path: Path) -> None:
    text = "int a = {{ size }};\n  {% if on %}\nint <b> = 1;\n  {% endif %}\nend\n"
    assert render(tmp_path, text, size=3, on=True) == "int a = 3;\nint <b> = 1;\nend\n"


def test_shared_macros_and_neighbours_can_be_included(tmp_path: Path) -> None:
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "m.j2").write_text("{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}")
    assert render(tmp_path, "{% from 'm.j2' import twice %}{{ twice('ab') }}") == "abab"


def test_harmless_helpers_work(tmp_path: Path) -> None:
    text = "{{ '%04x' | format(255) }} {{ [1, 2] | join(', ') }} {{ 'a\nb' | indent(2) }}"
    assert render(tmp_path, text + " {{ 'x' | replace('x', 'y') }}") == "00ff 1, 2 a\n  b y"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a\n{{ sise }}\n", "t.bpf.c.j2:2: 'sise' is undefined"),
        ("a\n{% if %}\n", "t.bpf.c.j2:2: Expected an expression"),
        ("a\n\n{{ 1 / 0 }}\n", "t.bpf.c.j2:3: division by zero"),
        ("{% include 'none.j2' %}", "t.bpf.c.j2:1: no file 'none.j2' beside the template"),
        ("{% include '../../etc/passwd' %}", "t.bpf.c.j2:1: no file '../../etc/passwd'"),
        ("{% include '/etc/passwd' %}", "t.bpf.c.j2:1: no file '/etc/passwd'"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ '{0.__class__}'.format(1) }}", "str.format is refused"),
        ("{% for i in range(10**9) %}x{% endfor %}", "Range too big"),
        ("{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}", "loop turns"),
        (
            "{% set s = range(999) | list %}{% for i in s %}{% for j in s %}{% endfor %}{% endfor %}",
            "loop turns",
        ),
        ("{% macro m(n) %}{{ m(n) }}{% endmacro %}{{ m(1) }}", "recursion"),
        (
            "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
            "loop turns",
        ),
        ("{{ 'x' * 10**10 }}", "is refused"),
        ("{{ 7 ** (10**10) }}", "a number this large"),
        ("{{ '%9999999999d' % 1 }}", "a field this wide"),
        ("{{ '%*d' | format(10**9, 1) }}", "a field this wide"),
        ("{{ 'x' | center(10**9) }}", "No filter named 'center'"),
        ("{{ 'x' | indent(10**9) }}", "an indentation of more than 64"),
        (
            "{% set n = namespace(s='xxxx') %}{% for i in range(99) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
            "is refused",
        ),
        (
            "{% set n = namespace(s='xxxx') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
            "is refused",
        ),
        (
            "{% set n = namespace(i=3) %}{% for i in range(99) %}{% set n.i = n.i * n.i %}{% endfor %}",
            "a number this",
        ),
        ("{% for i in range(9999) %}{{ 'x' * 999 }}{% endfor %}", "is refused"),
        ("{% set s = 'x' * 99999 %}{{ s | replace('', s) }}", "is refused"),
        ("{{ lipsum(10**9) }}", "'lipsum' is undefined"),
    ],
)
def test_what_does_not_render_says_where(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(RenderError) as caught:
        render(tmp_path, text)
    assert words in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_an_error_in_an_included_file_names_that_file(tmp_path: Path) -> None:
    (tmp_path / "fam").mkdir()
    (tmp_path / "fam" / "part.j2").write_text("\n\n{{ gone }}")
    with pytest.raises(RenderError, match=r"^part\.j2:3: 'gone' is undefined"):
        render(tmp_path, "{% include 'part.j2' %}")


def test_each_rendering_has_its_own_budget(tmp_path: Path) -> None:
    text = "{% for i in range(90000) %}{% endfor %}ok"
    template = tmp_path / "t.bpf.c.j2"
    template.write_text(text)
    renderer = Renderer(tmp_path)
    assert [renderer.render(template, {}) for _ in range(4)] == ["ok"] * 4
