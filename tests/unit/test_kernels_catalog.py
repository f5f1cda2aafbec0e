"""`kernels.yaml`: what is read, what is refused and with which words."""

from pathlib import Path

import pytest

from harness.catalog.kernels import (
    DebianSource,
    ImageSource,
    KernelSpec,
    MainlineSource,
    image_spec,
    load_kernels,
    select,
)
from harness.errors import UserError

SHIPPED = Path(__file__).parents[2] / "kernels.yaml"
DEBIAN = "source: debian\n    suites: [bookworm]\n    package: linux-image-6\\.1-{flavour}"


def load(tmp_path, body, name="a"):
    path = tmp_path / "kernels.yaml"
    path.write_text(f"kernels:\n  {name}:\n    {body}\n")
    return load_kernels(path)


def test_the_shipped_file():
    specs = {spec.name: spec for spec in load_kernels(SHIPPED)}
    assert [name for name, spec in specs.items() if spec.default] == ["5.10", "6.1", "6.12", list(specs)[-1]]
    mainline = {name for name, spec in specs.items() if isinstance(spec.source, MainlineSource)}
    assert mainline == {"5.4", "5.15", "6.6"}
    assert specs["5.4"].source.version.startswith("v5.4.")


def test_shipped_patterns_take_their_series_and_nothing_else():
    names = {
        "5.10": ["linux-image-5.10.0-46-amd64"],
        "6.1": ["linux-image-6.1.0-56-amd64"],
        "6.12": ["linux-image-6.12.115+deb13.1-amd64", "linux-image-6.12.117+deb13-amd64"],
        "6.16": ["linux-image-6.16.12+deb13-amd64"],
        "7.3": ["linux-image-7.3.4+deb13-amd64", "linux-image-7.3.9+deb14-amd64"],
    }
    decoys = [
        "linux-image-6.1.0-0.deb11.52-amd64",
        "linux-image-6.12.117+deb12-amd64",
        "linux-image-6.1-amd64",
        "linux-image-6.12-amd64",
        *(f"linux-image-{name}" for name in ("6.1.0-56-cloud-amd64", "6.1.0-56-amd64-dbg")),
        "linux-image-7.3.4+deb13-rt-amd64",
        "linux-image-7.3.4+deb13-amd64-unsigned",
    ]
    everything = [*decoys, *(name for series in names.values() for name in series)]
    for spec in load_kernels(SHIPPED):
        if isinstance(spec.source, DebianSource):
            matched = [name for name in everything if spec.source.pattern.fullmatch(name)]
            assert matched == names.get(spec.name, []), spec.name


def test_every_key(tmp_path):
    body = DEBIAN + "\n    flavour: cloud\n    architecture: amd64\n    default: true\n"
    body += "    boot_args: [mitigations=off, quiet]\n    memory: 768\n    cpus: 2\n    btf: btf/a.btf"
    (spec,) = load(tmp_path, body)
    assert spec.source == DebianSource(("bookworm",), r"linux-image-6\.1-{flavour}", "cloud")
    assert spec.source.pattern.pattern == r"linux-image-6\.1-cloud\-amd64"
    assert spec.boot_args == ("mitigations=off", "quiet")
    assert (spec.default, spec.memory_mib, spec.cpus) == (True, 768, 2)
    assert spec.btf == tmp_path / "btf/a.btf"
    assert str(spec.origin).endswith("kernels.yaml:2")


def test_image_paths_are_relative_to_the_file(tmp_path):
    (spec,) = load(tmp_path, "source: image\n    image: k/bzImage\n    modules: /lib/modules/x")
    assert spec.source == ImageSource(tmp_path / "k/bzImage", Path("/lib/modules/x"))


@pytest.mark.parametrize(
    ("body", "line", "says"),
    [
        ("source: debain", 3, "did you mean 'debian'"),
        ("suites: [bookworm]", 2, "'source' is missing"),
        ("source: mainline", 2, "needs the key 'version'"),
        ("source: mainline\n    version: 5.4.290", 4, "an upstream version such as v5.4.290"),
        (
            "source: mainline\n    version: v5.4\n    suites: [sid]",
            5,
            "'suites' does not belong to source mainline",
        ),
        ("source: debian\n    suites: [sid]\n    package: linux-(image", 5, "not a regular expression"),
        (DEBIAN + "\n    flavour: cluod", 6, "did you mean 'cloud'"),
        (DEBIAN + "\n    memroy: 512", 6, "did you mean 'memory'"),
        (DEBIAN + "\n    memory: 5", 6, "128 to 65536"),
        (DEBIAN + "\n    default: yes", 6, "true or false"),
        (DEBIAN + "\n    boot_args: ['a b']", 6, "without spaces"),
        (DEBIAN + "\n    architecture: arm64", 6, "amd64"),
        (DEBIAN + "\n    cpus: 1\n    cpus: 2", 7, "duplicate key"),
    ],
)
def test_mistakes_have_an_address_and_say_what_is_right(tmp_path, body, line, says):
    with pytest.raises(UserError, match=says) as caught:
        load(tmp_path, body)
    assert f"kernels.yaml:{line}: " in str(caught.value)


@pytest.mark.parametrize("name", ["all", "a/b", "'a b'", "-x", "a@b"])
def test_names_that_cannot_be(tmp_path, name):
    with pytest.raises(UserError, match=r"kernels\.yaml:2: .*expected: a name of letters"):
        load(tmp_path, DEBIAN, name)


SPECS = tuple(
    KernelSpec(name, MainlineSource("v6.1"), default=name == "6.1") for name in ("5.10", "6.1", "6.12")
)


@pytest.mark.parametrize(
    ("names", "picked"),
    [
        ([], ["6.1"]),
        (["6.12", "5.10", "6.12"], ["6.12", "5.10"]),
        (["all"], ["5.10", "6.1", "6.12"]),
        (["6.12", "all"], ["6.12", "5.10", "6.1"]),
    ],
)
def test_select(names, picked):
    assert [spec.name for spec in select(SPECS, names)] == picked


def test_unknown_kernel_lists_the_known_ones():
    with pytest.raises(UserError) as caught:
        select(SPECS, ["6.11"])
    assert "unknown kernel '6.11'; did you mean '6.1'? known: 5.10, 6.1, 6.12" in str(caught.value)


def test_an_image_stands_in_for_an_entry_and_boots_like_it(tmp_path):
    like = KernelSpec("6.1", MainlineSource("v6.1"), boot_args=("x",), memory_mib=700)
    spec = image_spec("6.1", tmp_path, like=like)
    assert (spec.source, spec.boot_args, spec.memory_mib) == (ImageSource(tmp_path), ("x",), 700)
    assert spec.origin is None
    with pytest.raises(UserError, match="cannot be a kernel's name"):
        image_spec("a/b", tmp_path)
