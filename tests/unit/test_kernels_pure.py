"""Version order, mirrors, indexes, modules: what needs neither network nor disk."""

import io
import itertools
import subprocess

import pytest
from kernels_support import module

from harness.catalog.kernels import DebianSource
from harness.errors import UserError
from harness.kernels.apt import parse_packages
from harness.kernels.debversion import compare, sort_key
from harness.kernels.mainline import parse_checksums
from harness.kernels.mirrors import candidates, parse_targets, source_line
from harness.kernels.modules import (
    MissingModule,
    built_in,
    built_in_by_config,
    load_order,
    module_name,
    read_modinfo,
)
from harness.kernels.sources import newest
from harness.paths import cache_dir

# Oldest first; as Debian's archives had them, plus the odd ones of Policy 5.6.12.
VERSIONS = [
    "5.10.262~rc1-1",
    "5.10.262-1",
    "5.10.262-1+b1",
    "6.1.9-1",
    "6.1.192-2",
    "6.12.117-1~bpo12+1",
    "6.12.117-1",
    "7.3.4-1~bpo13+1",
    "7.3.4-1",
    "7.3.10-1",
    "7.3.10a-1",
    "1:1.0-1",
]


def test_versions_sort_as_debian_says():
    shuffled = VERSIONS[::2] + VERSIONS[1::2]
    assert sorted(shuffled, key=sort_key) == VERSIONS


@pytest.mark.parametrize(("left", "right"), [("1.0", "1.0-0"), ("0:7.3.4-1", "7.3.4-1"), ("1.01", "1.1")])
def test_equal_versions(left, right):
    assert compare(left, right) == 0


def test_version_order_agrees_with_dpkg():
    for left, right in itertools.combinations(VERSIONS, 2):
        answer = subprocess.run(["dpkg", "--compare-versions", left, "lt", right], check=False).returncode
        assert (answer == 0) == (compare(left, right) < 0), (left, right)


# `apt-get indextargets --format TARGETS_FORMAT 'Created-By: Packages'` of a Debian 12, other host names.
CAPTURED = """\
Debian|Debian|bookworm|bookworm|main|http://mirror.example.org/debian/
Debian|Debian|bookworm-updates|bookworm-updates|main|http://mirror.example.org/debian/
Debian|Debian-Security|bookworm-security|bookworm-security|main|http://mirror.example.org/debian-security/
Node Source|Node Source|nodistro|nodistro|main|https://node.example.com/node_20.x/
cloud-sdk-bookworm|cloud-sdk-bookworm|cloud-sdk-bookworm|cloud-sdk-bookworm|main|https://c.example.com/apt/
"""
MAIN, SECURITY = "http://mirror.example.org/debian/", "http://mirror.example.org/debian-security/"


def test_mirrors_are_told_apart_by_release_metadata():
    targets = parse_targets(CAPTURED)
    assert candidates(targets, "trixie-backports")[0] == MAIN
    assert candidates(targets, "bullseye-security")[0] == SECURITY
    assert not any("example.com" in uri for uri in candidates(targets, "trixie"))


def test_mirrors_without_metadata_go_by_the_suites_name():
    """As on a machine where `apt-get update` never ran."""
    rows = [line.split("|") for line in CAPTURED.splitlines()]
    bare = "\n".join("|".join(["", "", "", *row[3:]]) for row in rows)
    assert candidates(parse_targets(bare), "sid") == (MAIN,)
    assert candidates(parse_targets(bare), "trixie-security") == (SECURITY,)


@pytest.mark.parametrize(
    ("only", "suite", "derived"),
    [
        (0, "bullseye-security", SECURITY),
        (2, "trixie", MAIN),
    ],
)
def test_the_other_archive_is_derived_where_only_one_is_configured(only, suite, derived):
    assert candidates(parse_targets(CAPTURED.splitlines()[only]), suite) == (derived,)


def test_mirror_lists_are_derived_too():
    line = "Debian|Debian|trixie|trixie|main|mirror+file:/etc/apt/mirrors/debian.list"
    assert candidates(parse_targets(line), "trixie-security") == (
        "mirror+file:/etc/apt/mirrors/debian-security.list",
    )


def test_no_debian_archive_means_no_candidates():
    line = "Ubuntu|Ubuntu|noble|noble|main|http://u.example.org/ubuntu/"
    assert candidates(parse_targets(line), "trixie") == ()


def test_source_line_is_signed():
    assert source_line(MAIN, "trixie", "/k.gpg") == f"deb [arch=amd64 signed-by=/k.gpg] {MAIN} trixie main\n"


INDEX = """\
Package: linux-image-6.1.0-56-amd64
Version: 6.1.192-2
Depends: kmod, linux-base (>= 4.3~), initramfs-tools (>= 0.120+deb8u2) | linux-initramfs-tool
Filename: pool/main/l/linux/linux-image-6.1.0-56-amd64_6.1.192-2_amd64.deb
Size: 70550672
SHA256: aa
Description: Linux 6.1 for 64-bit PCs
 Depends: not this line

Package: linux-image-amd64
Version: 6.1.192-2
Filename: pool/x.deb
Size: 1
SHA256: bb

Package: linux-image-6.1.0-9-amd64
Version: 6.1.27-1
Filename: pool/y+z~1.deb
Size: 1
SHA256: cc

Package: linux-image-6.1.0-0.deb11.99-amd64
Version: 6.1.999-1~deb11u1
Filename: pool/d.deb
Size: 1
SHA256: dd

Package: linux-image-6.1.0-57-cloud-amd64
Version: 6.1.193-1
Filename: pool/e.deb
Size: 1
SHA256: ee
"""


def test_index_keeps_kernel_packages_only():
    found = list(parse_packages(io.StringIO(INDEX), "bookworm", MAIN))
    assert [package.sha256 for package in found] == ["aa", "cc", "dd", "ee"]
    assert found[0].depends == ("kmod", "linux-base", "initramfs-tools")
    assert found[0].size == 70550672
    assert found[1].uri == MAIN + "pool/y%2bz%7e1.deb"


@pytest.mark.parametrize(
    ("flavour", "version"), [("amd64", "6.1.192-2"), ("cloud", "6.1.193-1"), ("rt", None)]
)
def test_newest_match_wins_and_flavours_and_backports_stay_out(flavour, version):
    source = DebianSource(("bookworm",), r"linux-image-6\.1\.0-[0-9]+-{flavour}", flavour)
    found = newest(source.pattern, list(parse_packages(io.StringIO(INDEX), "bookworm", MAIN)))
    assert (found.version if found else None) == version


def test_pattern_is_for_the_whole_name():
    pattern = DebianSource(("x",), r"linux-image-6\.1\.0-[0-9]+-{flavour}").pattern
    assert pattern.fullmatch("linux-image-6.1.0-56-amd64")
    for other in ("linux-image-6.1.0-56-amd64-unsigned", "linux-image-6.1.0-56-amd64-dbg"):
        assert not pattern.fullmatch(other)


def test_modules_load_after_what_they_depend_on():
    """6.1's set: two helpers of virtio_pci that 5.10 does not have."""
    available = {
        "virtio_pci": ("virtio_ring", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio"),
        "virtio_console": ("virtio", "virtio_ring"),
        "virtio": ("virtio_ring",),
        **dict.fromkeys(("virtio_ring", "virtio_pci_modern_dev", "virtio_pci_legacy_dev"), ()),
    }
    order = load_order(available, ())
    assert set(order) == set(available)
    for name in order:
        assert all(order.index(dependency) < order.index(name) for dependency in available[name])


def test_built_in_modules_are_left_out():
    assert load_order({}, {"virtio_pci", "virtio_console"}) == ()
    assert load_order({"virtio_console": ("virtio",)}, {"virtio_pci", "virtio"}) == ("virtio_console",)


def test_a_missing_module_is_named():
    with pytest.raises(MissingModule, match="virtio_ring"):
        load_order({"virtio_pci": ("virtio_ring",)}, ())


def test_module_names():
    assert module_name("kernel/drivers/virtio/virtio-pci.ko.xz") == "virtio_pci"
    assert [module_name(f"a{tail}") for tail in (".ko", ".ko.gz", ".ko.zst", ".ko.bz2", ".c")] == [
        *("a", "a", "a"),
        None,
        None,
    ]
    assert built_in("kernel/drivers/virtio/virtio.ko\n\nkernel/fs/x-y.ko\n") == {"virtio", "x_y"}
    assert built_in_by_config("CONFIG_VIRTIO_PCI=y\nCONFIG_VIRTIO_CONSOLE=m\n") == {"virtio_pci"}


def test_modinfo_is_read_and_damage_is_told():
    info = read_modinfo(module("virtio-ring,virtio", "6.1.0-56-amd64"), "virtio_pci")
    assert (info.depends, info.release) == (("virtio_ring", "virtio"), "6.1.0-56-amd64")
    with pytest.raises(UserError, match="module x is damaged"):
        read_modinfo(b"\x7fELF but no more", "x")


def test_checksums_of_one_flavour():
    digest = "ab" * 32
    text = "\n".join(
        ["# a comment", f"{'12' * 20}  linux-image-unsigned-6.6.95-060695-generic_1_amd64.deb"]
        + [
            f"{digest}  amd64/linux-{kind}_1_amd64.deb"
            for kind in ("image-unsigned-6-generic", "headers-6-generic")
        ]
        + [f"{digest} *linux-modules-6-generic_1_amd64.deb", f"{digest}  linux-image-6-generic_1_arm64.deb"]
        + [f"{digest}  linux-image-unsigned-6-lowlatency_1_amd64.deb"]
    )
    assert parse_checksums(text, "generic") == {
        "linux-image-unsigned-6-generic_1_amd64.deb": digest,
        "linux-modules-6-generic_1_amd64.deb": digest,
    }
    assert list(parse_checksums(text, "lowlatency")) == ["linux-image-unsigned-6-lowlatency_1_amd64.deb"]


def test_a_cache_given_by_a_relative_path_is_the_same_for_whoever_runs_elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BPFMATRIX_CACHE", ".cache/bpfmatrix")
    assert cache_dir() == tmp_path / ".cache" / "bpfmatrix"
