"""The cache: local images, damage, locks, interruptions, folders that cannot be written."""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from filelock import FileLock
from kernels_support import RELEASE, deb, image, mainline_archive, module, serving

from harness.catalog.kernels import DebianSource, ImageSource, KernelSpec, MainlineSource, image_spec
from harness.errors import InfrastructureError, UserError
from harness.kernels import mainline
from harness.kernels.apt import Apt, Package
from harness.kernels.errors import KernelUnavailable, SourceError
from harness.kernels.resolve import resolve_all
from harness.kernels.sources import resolve
from harness.kernels.store import KernelStore
from harness.model import Origin

SPEC = KernelSpec("5.4", MainlineSource("v5.4.290"), boot_args=("quiet",), memory_mib=700, cpus=2)
BUILT_IN = "CONFIG_VIRTIO_PCI=y\nCONFIG_VIRTIO_CONSOLE=y\n"
MODULAR = "CONFIG_VIRTIO_PCI=m\nCONFIG_VIRTIO_CONSOLE=m\n"


@pytest.fixture
def store(tmp_path):
    return KernelStore(tmp_path / "cache")


@pytest.fixture
def server(tmp_path, monkeypatch):
    (tmp_path / "www").mkdir()
    with serving(tmp_path / "www") as server:
        monkeypatch.setenv(mainline.URL_VARIABLE, server.url)
        mainline_archive(server.root)
        yield server


def bzimage_file(folder, name="bzImage", **kind):
    path = folder / name
    path.write_bytes(image(**kind))
    return path


def modules_tree(folder, release=RELEASE):
    base = folder / "lib/modules" / release
    for name, depends in (("virtio_pci", "virtio"), ("virtio", ""), ("virtio_console", "virtio")):
        path = base / "kernel/drivers" / f"{name}.ko"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(module(depends, release))
    return folder


def test_an_added_image_is_copied_and_stands_for_the_entry(store, tmp_path):
    file = bzimage_file(tmp_path, config=BUILT_IN)
    added = store.add_image("5.4", file)
    file.unlink()
    kernel = store.ensure(SPEC)
    assert kernel.image == added.image
    assert kernel.image.is_relative_to(store.root)
    assert (kernel.source, kernel.release, kernel.modules) == ("image", RELEASE, ())
    assert (kernel.boot_args, kernel.memory_mib, kernel.cpus) == (("quiet",), 700, 2)
    assert kernel.config.read_text() == BUILT_IN


def test_adding_again_replaces(store, tmp_path):
    store.add_image("5.4", bzimage_file(tmp_path, "a"))
    second = store.add_image("5.4", bzimage_file(tmp_path, "b", release="5.4.300-x"))
    assert [usage.kernel.release for usage in store.usage()] == ["5.4.300-x"]
    assert store.cached(SPEC).image == second.image


def test_modules_come_from_the_tree_or_the_folder_itself(store, tmp_path):
    file = bzimage_file(tmp_path, config=MODULAR)
    tree = modules_tree(tmp_path / "root")
    for given in (tree, tree / "lib/modules", tree / "lib/modules" / RELEASE):
        kernel = store.add_image("k", file, given)
        assert [path.name for path in kernel.modules] == [
            "00-virtio.ko",
            "01-virtio_pci.ko",
            "02-virtio_console.ko",
        ]


@pytest.mark.parametrize(
    ("config", "given", "says"),
    [
        (MODULAR, None, "module virtio_pci is neither built into kernel"),
        (MODULAR, "empty", f"no modules of kernel {RELEASE} here"),
        (MODULAR, "other", "the modules are for kernel 6.6.6, the image is"),
    ],
)
def test_modules_that_will_not_do(store, tmp_path, config, given, says):
    (tmp_path / "empty").mkdir()
    modules_tree(tmp_path / "tree", "6.6.6")
    folders = {None: None, "empty": tmp_path / "empty", "other": tmp_path / "tree/lib/modules/6.6.6"}
    with pytest.raises(UserError, match=says) as caught:
        store.add_image("k", bzimage_file(tmp_path, config=config), folders[given])
    assert "--modules" in caught.value.hint or "lib/modules" in caught.value.hint
    assert store.usage() == ()
    assert not list((store.root / ".tmp").iterdir())


def test_a_configuration_beside_the_image_is_used(store, tmp_path):
    (tmp_path / f"config-{RELEASE}").write_text(MODULAR)
    with pytest.raises(UserError, match="virtio_pci"):
        store.add_image("k", bzimage_file(tmp_path))


def test_a_file_that_is_no_kernel_leaves_nothing(store, tmp_path):
    (tmp_path / "x").write_bytes(b"not a kernel")
    with pytest.raises(UserError, match="not a kernel image"):
        store.add_image("k", tmp_path / "x")
    assert store.usage() == ()


def test_an_image_for_one_run_goes_before_everything(store, tmp_path):
    store.add_image("5.4", bzimage_file(tmp_path, "a"))
    spec = image_spec("5.4", bzimage_file(tmp_path, "b", release="5.4.1-mine"), like=SPEC)
    assert store.ensure(spec).release == "5.4.1-mine"
    assert store.cached(spec).release == "5.4.1-mine"
    assert store.cached(SPEC).release == RELEASE


def test_a_changed_image_file_is_read_again(store, tmp_path):
    file = bzimage_file(tmp_path)
    spec = image_spec("k", file)
    assert store.ensure(spec).release == RELEASE
    file.write_bytes(image("6.6.6-new"))
    assert store.cached(spec) is None
    assert store.ensure(spec).release == "6.6.6-new"


def test_names_that_only_the_cache_knows_can_be_selected(store, tmp_path):
    store.add_image("mine", bzimage_file(tmp_path))
    store.add_image("5.4", bzimage_file(tmp_path))
    known, extra = store.with_registered([SPEC])
    assert (known, extra.name) == (SPEC, "mine")
    assert store.ensure(extra).release == RELEASE


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_kernel_is_fetched_again(store, server, damage):
    kernel = store.ensure(SPEC)
    data = bytearray(kernel.image.read_bytes())
    if damage == "gone":
        kernel.modules[0].unlink()
    else:
        data[-1] ^= 1
        kernel.image.write_bytes(data if damage == "flip" else data[:-1])
        os.utime(kernel.image, ns=(1, 1))
    assert store.cached(SPEC) is None
    again = store.ensure(SPEC)
    assert again == kernel
    assert all(path.is_file() for path in (again.image, *again.modules))


def test_touching_a_file_is_no_damage(store, server):
    kernel = store.ensure(SPEC)
    os.utime(kernel.image, ns=(1, 1))
    assert store.cached(SPEC) == kernel


def test_a_damaged_registered_image_is_told_not_passed_over(store, server, tmp_path):
    kernel = store.add_image("5.4", bzimage_file(tmp_path))
    kernel.image.write_bytes(b"damaged")
    for ask in (store.cached, store.ensure):
        with pytest.raises(UserError, match=r"registered as kernel 5\.4 is damaged"):
            ask(SPEC)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 99}', '{"schema": 1}', "null"])
def test_a_broken_meta_file_counts_as_not_there(store, tmp_path, text):
    kernel = store.add_image("5.4", bzimage_file(tmp_path))
    (kernel.image.parent / "meta.json").write_text(text)
    assert store.cached(SPEC) is None
    assert store.usage() == ()


def test_the_record_says_where_it_came_from(store, server):
    kernel = store.ensure(SPEC)
    record = json.loads((kernel.image.parent / "meta.json").read_text())
    assert record["schema"] == 1
    assert record["provenance"]["source"] == "mainline v5.4.290"
    assert len(record["provenance"]["packages"]) == 2
    assert all(len(digest) == 64 for _, _, digest in record["provenance"]["packages"])
    assert record["image"]["sha256"] == kernel.sha256


def test_interrupted_while_unpacking(store, server, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("harness.kernels.unpack.extract_btf", stop)
        with pytest.raises(KeyboardInterrupt):
            store.ensure(SPEC)
    assert store.cached(SPEC) is None
    assert not list((store.root / ".tmp").iterdir())
    assert store.ensure(SPEC).btf is not None


def test_what_a_killed_process_left_is_cleared(store, server):
    left = store.root / ".tmp" / "5.4@killed"
    left.mkdir(parents=True)
    (left / "vmlinuz").write_bytes(b"half")
    store.ensure(SPEC)
    assert not left.exists()


FETCH = """
    import sys
    from pathlib import Path
    from harness.catalog.kernels import KernelSpec, MainlineSource
    from harness.kernels.store import KernelStore
    seen = []
    spec = KernelSpec("5.4", MainlineSource("v5.4.290"))
    kernel = KernelStore(Path(sys.argv[1])).ensure(spec, report=lambda progress: seen.append(progress.step))
    print(kernel.sha256, any(step.startswith("download") for step in seen))
"""


def test_two_processes_fetch_once(store, server):
    command = [sys.executable, "-c", textwrap.dedent(FETCH), str(store.root)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate(timeout=60)[0].split() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert answers[0][0] == answers[1][0]
    assert sorted(answer[1] for answer in answers) == ["False", "True"]
    debs = [path for path, _ in server.requests if path.endswith(".deb")]
    assert len(debs) == len(set(debs)) == 2


@pytest.mark.parametrize("kind", ["a file in the way", "read only"])
def test_a_cache_that_cannot_be_written(tmp_path, kind, server, monkeypatch):
    root = tmp_path / "blocked" / "kernels"
    if kind == "read only":

        def denied(self, *_, **__):
            raise PermissionError(errno.EACCES, "Permission denied", str(self))

        monkeypatch.setattr(Path, "mkdir", denied)
    else:
        (tmp_path / "blocked").write_text("")
    store = KernelStore(root)
    assert store.cached(SPEC) is None
    with pytest.raises(UserError, match="the cache cannot be written") as caught:
        store.ensure(SPEC)
    assert "BPFMATRIX_CACHE" in str(caught.value)
    assert str(root) in str(caught.value)


def test_a_full_disk(store, server, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("harness.kernels.unpack.Stage._copy", full)
    with pytest.raises(UserError, match="no space left on the disk") as caught:
        store.ensure(SPEC)
    assert "kernels prune" in str(caught.value)
    assert store.cached(SPEC) is None
    assert not list((store.root / ".tmp").iterdir())


def test_usage_and_prune(store, tmp_path):
    snapshots = tmp_path / "snapshots"
    (snapshots / "k/key").mkdir(parents=True)
    (snapshots / "k/key/state").write_bytes(bytes(1000))
    store.add_image("k", bzimage_file(tmp_path))
    (usage,) = store.usage(snapshots)
    assert (usage.kernel.name, usage.snapshot_bytes, usage.registered) == ("k", 1000, True)
    on_disk = sum(path.stat().st_size for path in usage.kernel.image.parent.rglob("*") if path.is_file())
    assert usage.kernel_bytes == on_disk
    assert store.prune(snapshots) == on_disk + 1000
    assert store.usage(snapshots) == ()
    assert not snapshots.exists()
    assert store.prune(snapshots) == 0


def test_prune_waits_for_nobody(store, tmp_path):
    store.add_image("k", bzimage_file(tmp_path))
    with (
        FileLock(store.root / ".locks/k.lock"),
        pytest.raises(InfrastructureError, match="is fetching kernel k"),
    ):
        store.prune(tmp_path / "none")
    assert store.usage()


def test_pruning_a_cache_that_never_was(tmp_path):
    assert KernelStore(tmp_path / "never").prune(tmp_path / "none") == 0
    assert not (tmp_path / "never").exists()


def test_resolve_all(store, server, tmp_path):
    gone = KernelSpec("9.9", MainlineSource("v9.9"), origin=Origin(Path("kernels.yaml"), 7))
    kernels, missing = resolve_all([SPEC, gone], store, "skip")
    assert [kernel.name for kernel in kernels] == ["5.4"]
    assert [(spec.name, "has no v9.9" in reason) for spec, reason in missing] == [("9.9", True)]
    with pytest.raises(KernelUnavailable, match=r"kernel 9\.9 cannot be had") as caught:
        resolve_all([gone, SPEC], store)
    assert str(caught.value).startswith("kernels.yaml:7: ")
    (tmp_path / "x").write_bytes(b"no kernel")
    with pytest.raises(UserError, match="not a kernel image"):
        resolve_all([KernelSpec("x", ImageSource(tmp_path / "x"))], store, "skip")


# The debian source, with an index already there: what comes after apt.

NEW, OLD = "linux-image-7.3.4+deb13-amd64", "linux-image-7.3.1+deb13-amd64"
DEBIAN = KernelSpec("7.3", DebianSource(("trixie-backports",), r"linux-image-7\.3\.[0-9]+\+deb13-{flavour}"))


def package(name, version, depends=()):
    return Package(
        name, version, "trixie-backports", f"http://127.0.0.1:1/{name}.deb", "00", 1, tuple(depends)
    )


class Index(Apt):
    """The private apt with an index made here and packages made with dpkg-deb."""

    def packages(self, suite, step, *, refresh=False):
        version, release = "7.3.4-1~bpo13+1", "7.3.4+deb13-amd64"
        parts = [f"linux-{part}-{release}" for part in ("base", "binary", "modules")]
        return (
            package(OLD, "7.3.1-1~bpo13+1"),
            package(NEW, version, ["kmod", *parts]),
            *(package(name, version) for name in parts),
            package("linux-image-7.3.9+deb14-amd64", "7.3.9-1"),
        )


def test_a_split_package_is_followed_and_the_large_part_comes_last(tmp_path):
    release = resolve(DEBIAN, Index(tmp_path), lambda *_: None, refresh=False)
    assert release.image.name == NEW
    assert [part.name.split("-")[1] for part in release.parts] == ["base", "binary", "image", "modules"]
    assert release.provenance.package_version == "7.3.4-1~bpo13+1"
    assert release.provenance.source == "debian trixie-backports"


def test_no_package_matches(tmp_path):
    spec = replace(DEBIAN, source=DebianSource(("trixie-backports",), "linux-image-7.4-{flavour}"))
    with pytest.raises(SourceError, match=r"the nearest are .*linux-image-7\.3"):
        resolve(spec, Index(tmp_path), lambda *_: None, refresh=False)


@pytest.fixture
def trixie(monkeypatch, tmp_path):
    """Makes `Apt.fetch` hand out packages laid out like 7.3's; the fixture's value names those fetched."""
    fetched = []
    modules = "usr/lib/modules/7.3.4+deb13-amd64"
    contents = {
        "base": {
            f"{modules}/config": BUILT_IN.encode(),
            f"{modules}/modules.builtin": b"a/virtio_pci.ko\nb/virtio_console.ko\n",
        },
        "binary": {f"{modules}/vmlinuz": image("7.3.4+deb13-amd64")},
        "image": {"usr/share/x": b""},
        "modules": {f"{modules}/kernel/x.ko": b""},
    }

    def fetch(self, package, folder, step):
        part = package.name.split("-")[1]
        fetched.append(part)
        made = deb(tmp_path, f"linux-{part}-{len(fetched)}_1_amd64.deb", contents[part])
        return Path(shutil.copy(made, folder))

    monkeypatch.setattr(Apt, "packages", Index.packages)
    monkeypatch.setattr(Apt, "fetch", fetch)
    return fetched


def test_modules_are_not_even_fetched_where_virtio_is_built_in(store, trixie):
    kernel = store.ensure(DEBIAN)
    assert trixie == ["base", "binary"]
    assert (kernel.release, kernel.package, kernel.modules) == ("7.3.4+deb13-amd64", NEW, ())
    assert (kernel.package_version, kernel.source) == ("7.3.4-1~bpo13+1", "debian trixie-backports")
    assert kernel.config.read_text() == BUILT_IN


def test_refresh_keeps_what_is_still_the_newest(store, trixie):
    kernel = store.ensure(DEBIAN)
    assert store.ensure(DEBIAN, refresh=True) == kernel
    assert trixie == ["base", "binary"]


def test_an_older_point_release_stays_and_the_newest_is_used(store, trixie):
    kernel = store.ensure(DEBIAN)
    older = kernel.image.parent.with_name("7.3@older")
    shutil.copytree(kernel.image.parent, older)
    record = json.loads((older / "meta.json").read_text())
    record["provenance"]["package_version"] = "7.3.2-1~bpo13+1"
    (older / "meta.json").write_text(json.dumps(record))
    assert store.cached(DEBIAN) == kernel
    assert len(store.usage()) == 2
    shutil.rmtree(kernel.image.parent)
    assert store.cached(DEBIAN).image.parent == older


def test_an_entry_with_another_pattern_is_not_served_by_it(store, trixie):
    store.ensure(DEBIAN)
    cloud = replace(DEBIAN, source=replace(DEBIAN.source, flavour="cloud"))
    assert store.cached(cloud) is None
    elsewhere = replace(DEBIAN, source=replace(DEBIAN.source, suites=("sid",)))
    assert store.cached(elsewhere) is None


# The private apt itself, with archives made here.


def archive(root):
    """An archive without a signature."""
    index = root / "dists/trixie/main/binary-amd64"
    index.mkdir(parents=True)
    (index / "Packages").write_text(
        "Package: linux-image-6.12.1+deb13-amd64\nVersion: 1\nArchitecture: amd64\n"
    )
    (root / "dists/trixie/Release").write_text("Origin: Debian\nSuite: trixie\nCodename: trixie\n")
    return root


def test_an_archive_without_a_signature_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("BPFMATRIX_DEBIAN_MIRROR", f"file:{archive(tmp_path / 'mirror')}")
    with pytest.raises(SourceError, match="not signed"):
        Apt(tmp_path / "apt").packages("trixie", lambda *_: None)
    assert not (tmp_path / "apt/trixie/kernels.json").exists()


def test_a_mirror_that_cannot_be_reached_is_named(tmp_path, monkeypatch, store):
    monkeypatch.setenv("BPFMATRIX_DEBIAN_SECURITY_MIRROR", "http://127.0.0.1:1/debian-security")
    spec = KernelSpec("5.10", DebianSource(("bullseye-security",), "linux-image-x-{flavour}"))
    with pytest.raises(KernelUnavailable) as caught:
        store.ensure(spec)
    assert "http://127.0.0.1:1/debian-security/" in str(caught.value)
    assert "Connection refused" in str(caught.value) or "Could not connect" in str(caught.value)


def test_apts_own_downloader_takes_over_where_it_is_not_http(tmp_path):
    (tmp_path / "pool").mkdir()
    data = b"package" * 1000
    (tmp_path / "pool/x.deb").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    wanted = Package("x", "1", "trixie", f"file:{tmp_path}/pool/x.deb", digest, len(data), ())
    (tmp_path / "downloads").mkdir()
    got = Apt(tmp_path / "apt").fetch(wanted, tmp_path / "downloads", lambda *_: None)
    assert got.read_bytes() == data
    with pytest.raises(SourceError, match=r"[Hh]ash"):
        Apt(tmp_path / "apt").fetch(replace(wanted, sha256="0" * 64), tmp_path / "downloads", lambda *_: None)


def test_no_debian_archive_among_the_machines_sources(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.kernels.apt.candidates", lambda *_: ())
    with pytest.raises(
        SourceError, match="name no Debian security archive; set BPFMATRIX_DEBIAN_SECURITY_MIRROR"
    ):
        Apt(tmp_path).packages("trixie-security", lambda *_: None)


def test_a_damaged_index_is_dropped_so_that_the_next_run_fetches_it(tmp_path):
    (tmp_path / "trixie").mkdir()
    (tmp_path / "trixie/kernels.json").write_text('[{"name": "x"')
    with pytest.raises(SourceError, match="damaged"):
        Apt(tmp_path).packages("trixie", lambda *_: None)
    assert not (tmp_path / "trixie/kernels.json").exists()


def test_a_young_index_is_used_without_asking_anyone(tmp_path, monkeypatch):
    monkeypatch.setenv("BPFMATRIX_DEBIAN_MIRROR", "http://127.0.0.1:1/")
    (tmp_path / "trixie").mkdir()
    index = tmp_path / "trixie/kernels.json"
    index.write_text(json.dumps([asdict(package("linux-image-6.12.1", "1", ["a"]))]))
    for refresh in (False, True):
        (found,) = Apt(tmp_path).packages("trixie", lambda *_: None, refresh=refresh)
        assert (found.name, found.depends) == ("linux-image-6.12.1", ("a",))
    hour_ago = index.stat().st_mtime - 3600
    os.utime(index, (hour_ago, hour_ago))
    assert Apt(tmp_path).packages("trixie", lambda *_: None)
    with pytest.raises(SourceError, match="apt-get update for trixie"):
        Apt(tmp_path).packages("trixie", lambda *_: None, refresh=True)
