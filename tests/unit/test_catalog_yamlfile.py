from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from ruamel.yaml import __with_libyaml__ as libyaml

from harness.catalog.yamlfile import MAX_BYTES, Document, _Builder, load, load_schema
from harness.errors import UserError
from harness.paths import project_root

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["title"],
    "properties": {
        "title": {"type": "string"},
        "size": {"type": "integer", "description": "bytes"},
        "kernels": {"type": "string"},
        "verdict": {"enum": ["accept", "reject"]},
        "axes": {
            "type": "object",
            "propertyNames": {"pattern": "^[a-z]+$", "description": "a lower-case word"},
            "additionalProperties": {"type": "array", "items": {"type": ["string", "integer", "boolean"]}},
        },
    },
}


def read(tmp_path: Path, text: str | bytes, schema: dict[str, Any] = SCHEMA) -> Document:
    file = tmp_path / "m.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return load(file, schema)


def refusal(tmp_path: Path, text: str | bytes) -> str:
    with pytest.raises(UserError) as caught:
        read(tmp_path, text)
    return str(caught.value).replace(str(tmp_path / "m.yaml"), "m.yaml")


def test_plain_data_with_yaml_1_2_scalars(tmp_path: Path) -> None:
    text = "title: yes\nsize: 0x10\naxes:\n  a: [010, 'x', true, on, 1:30, '7']\n"
    assert read(tmp_path, text).data == {
        "title": "yes",
        "size": 16,
        "axes": {"a": [10, "x", True, "on", "1:30", "7"]},
    }


def test_keys_are_text_even_when_they_look_like_numbers(tmp_path: Path) -> None:
    document = read(tmp_path, "5.10: {}\n6.1: {}\n", {"type": "object"})
    assert list(document.data) == ["5.10", "6.1"]


def test_lines_of_keys_items_and_unknown_paths(tmp_path: Path) -> None:
    document = read(tmp_path, "title: x\naxes:\n  a:\n    - 1\n    - 2\n")
    assert document.line(("axes", "a")) == 3
    assert document.line(("axes", "a", 1)) == 5
    assert document.line(("axes", "a", 9)) == 3
    assert str(document.origin(("title",))).endswith("m.yaml:1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "title: x\ntitel: y\n",
            "m.yaml:2: unknown key 'titel'; did you mean 'title'? valid keys: title, size",
        ),
        ("size: 1\n", "m.yaml:1: the key 'title' is missing"),
        ("title: x\nsize: 1\nsize: 2\n", "m.yaml:3: duplicate key 'size'; first given in line 2"),
        ("title: x\nsize: big\n", "m.yaml:2: size: 'big'; expected: bytes"),
        ("title: x\nkernels: 5.10\n", "m.yaml:2: kernels: 5.10; expected: a string (quote it: '5.10')"),
        ("title: x\nverdict: acept\n", "m.yaml:2: verdict: 'acept' is none of them; did you mean 'accept'?"),
        ("title: x\naxes:\n  A1: [1]\n", "m.yaml:3: the key 'A1'; expected: a lower-case word"),
        ("title: x\naxes:\n  a: [1,\n   1.5]\n", "m.yaml:4: axes.a[1]: 1.5; expected: a string or"),
        ("title: &a x\n", "m.yaml:1: anchors and aliases"),
        ("title: x\naxes: *a\n", "m.yaml:2: anchors and aliases"),
        ("&a title: x\n", "m.yaml:1: a key must be a plain word"),
        ("title: !!python/object:os.system x\n", "m.yaml:1: tags are refused"),
        ("!!str title: x\n", "m.yaml:1: tags are refused"),
        ("? [a]\n: b\n", "m.yaml:1: a key must be a plain word"),
        ("title: x\n---\ntitle: y\n", "m.yaml:2: a second document begins here"),
        ("%YAML 1.1\n---\ntitle: x\n", "m.yaml:2: directives are refused"),
        ("title: x\n\tsize: 3\n", "next: indent with spaces, not tabs"),
        ("title: a: b\n", "next: put text that contains ': ' in quotes"),
        ("title: 'x\n", "m.yaml:2: not YAML"),
        ("title: x\ny: a\x01\n", "m.yaml:2: not YAML: character U+0001 is not allowed"),
        ('title: "\\UFFFFFFFF"\n', "m.yaml:1: not YAML"),
        ("- a\n", "m.yaml:1: the top level is a list; a mapping"),
        ("just words\n", "m.yaml:1: the top level is a string"),
        ("", "m.yaml:1: empty"),
        ("# only a comment\n", "m.yaml:1: the top level is a null"),
        ("title: " + "9" * 5000, "m.yaml:1: a number too long to be meant"),
        ("title: " + "[" * 5000, "m.yaml:1: nested deeper than 20 levels"),
        (b"title: x\nsize: \xff\n", "m.yaml:2: not UTF-8: byte 0xff"),
        ("title: x".encode("utf-16"), "m.yaml:1: not UTF-8"),
        (b"#" * (MAX_BYTES + 1), "m.yaml: larger than 1 MiB"),
    ],
)
def test_refusals_say_where_and_what(tmp_path: Path, text: str | bytes, expected: str) -> None:
    assert expected in refusal(tmp_path, text)


def test_every_violation_is_listed_in_the_order_of_lines(tmp_path: Path) -> None:
    message = refusal(tmp_path, "size: a\nverdict: b\ncolour: c\n")
    assert [line.split(":")[1] for line in message.splitlines()] == ["1", "1", "2", "3"]


def test_many_violations_are_cut(tmp_path: Path) -> None:
    text = "title: x\n" + "".join(f"k{n}: 1\n" for n in range(30))
    assert refusal(tmp_path, text).endswith("… and 22 more")


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbftitle: x\n").data == {"title": "x"}


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            load(path, SCHEMA)


def test_the_shipped_schema_is_one() -> None:
    Draft202012Validator.check_schema(load_schema("program"))


ALPHABET = st.text(alphabet="ab:-[]{}&*!|>'\"%#?,@` \t\n\r0.9~\\\u2028\ufeff\x00é", max_size=60)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        ALPHABET.map(str.encode), st.binary(max_size=40), ALPHABET.map(lambda t: b"title: " + t.encode())
    )
)
def test_whatever_the_bytes_the_answer_is_data_or_a_user_error(tmp_path: Path, raw: bytes) -> None:
    problem: UserError | None = None
    try:
        read(tmp_path, raw)
    except UserError as error:
        problem = error
    assert problem is None or problem.where is not None


PIECES = ["a", "5.10", "yes", "~", "'x y'", '"\\n"', ": ", "- ", "\n", "\n  ", "|\n  ", ">-\n ", "# c\n"]
PIECES += ["{", "}", "[", "]", ", ", "&a ", "*a", "!t ", "title: x\n", "axes: {a: [1, b]}\n", "size: 0x10\n"]


@given(st.lists(st.sampled_from(PIECES)).map("".join))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_parsers_read_the_same(tmp_path: Path, text: str) -> None:
    read_by = {}
    for pure in (True, False):
        try:
            document = _Builder(tmp_path / "m.yaml", pure=pure).build(text)
        except UserError:
            continue
        read_by[pure] = (document.data, document.texts)
    assert len(read_by) < 2 or read_by[True] == read_by[False]


def test_the_catalogue_is_the_same_by_both_parsers() -> None:
    assert libyaml, "ruamel.yaml.clib is missing: pip install ruamel.yaml.clib"
    manifests = sorted((project_root() / "programs").rglob("*.yaml"))
    assert manifests
    for path in manifests:
        text = path.read_text(encoding="utf-8")
        ours, theirs = (_Builder(path, pure=pure).build(text) for pure in (False, True))
        assert (ours.data, ours.texts, set(ours.lines)) == (theirs.data, theirs.texts, set(theirs.lines))


def test_a_tab_is_refused_whichever_parser_there_is(tmp_path: Path) -> None:
    assert "indent with spaces" in refusal(tmp_path, "title: x\naxes:\n\ta: [1]\n")
