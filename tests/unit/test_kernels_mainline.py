"""Downloads and the mainline archive, against a server on the loopback."""

import hashlib
import socket
import time

import pytest
from kernels_support import BTF, RELEASE, mainline_archive, serving
from virtme_ng import mainline as upstream

from harness.catalog.kernels import KernelSpec, MainlineSource
from harness.errors import UserError
from harness.kernels import mainline
from harness.kernels.download import download
from harness.kernels.errors import KernelUnavailable, SourceError
from harness.kernels.store import KernelStore

SPEC = KernelSpec("5.4", MainlineSource("v5.4.290"))
DATA = hashlib.shake_256(b"data").digest(900_000)
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def server(tmp_path, monkeypatch):
    (tmp_path / "www").mkdir()
    with serving(tmp_path / "www") as server:
        monkeypatch.setenv(mainline.URL_VARIABLE, server.url)
        yield server


@pytest.fixture
def archive(server):
    return mainline_archive(server.root)


@pytest.fixture
def store(tmp_path):
    return KernelStore(tmp_path / "cache")


def gets(server, part):
    return [(path.rpartition("/")[2], span) for path, span in server.requests if part in path]


def test_a_broken_connection_is_taken_up_where_it_broke(server, tmp_path):
    (server.root / "f").write_bytes(DATA)
    server.cut["f"] = 500_000
    download(f"{server.url}/f", tmp_path / "f", SHA)
    assert (tmp_path / "f").read_bytes() == DATA
    assert not (tmp_path / "f.part").exists()
    (_, first), (_, second) = server.requests
    assert first is None
    start = int(second.removeprefix("bytes=").removesuffix("-"))
    assert 0 < start <= 500_000


def test_the_next_run_resumes_what_an_earlier_one_left(server, tmp_path):
    (server.root / "f").write_bytes(DATA)
    (tmp_path / "f.part").write_bytes(DATA[:300_000])
    steps = []
    download(f"{server.url}/f", tmp_path / "f", SHA, lambda *step: steps.append(step))
    assert server.requests == [("/f", "bytes=300000-")]
    assert steps[-1] == ("download f", 900_000, 900_000)
    assert (tmp_path / "f").read_bytes() == DATA


@pytest.mark.parametrize("leftover", [b"x" * 1000, b"x" * 900_000, b"x" * 950_000])
def test_a_leftover_of_something_else_is_thrown_away(server, tmp_path, leftover):
    (server.root / "f").write_bytes(DATA)
    (tmp_path / "f.part").write_bytes(leftover)
    download(f"{server.url}/f", tmp_path / "f", SHA)
    assert (tmp_path / "f").read_bytes() == DATA


def test_a_wrong_checksum_keeps_nothing(server, tmp_path):
    (server.root / "f").write_bytes(DATA[:-1] + b"?")
    with pytest.raises(SourceError, match="wrong SHA-256"):
        download(f"{server.url}/f", tmp_path / "f", SHA)
    assert not list(tmp_path.glob("f*"))


def test_a_file_that_is_there_is_not_asked_for_again(server, tmp_path):
    (tmp_path / "f").write_bytes(DATA)
    download(f"{server.url}/f", tmp_path / "f", SHA)
    assert server.requests == []


@pytest.mark.parametrize("subfolder", ["amd64", "."])
def test_a_kernel_comes_through_virtme_ngs_downloader(server, store, subfolder, monkeypatch):
    mainline_archive(server.root, subfolder=subfolder)
    calls = []
    fetch = upstream.KernelDownloader._fetch_kernel
    monkeypatch.setattr(
        upstream.KernelDownloader, "_fetch_kernel", lambda self: (calls.append(self), fetch(self))
    )
    kernel = store.ensure(SPEC)
    assert len(calls) == 1
    assert (kernel.release, str(kernel.version), kernel.source) == (RELEASE, "5.4.290", "mainline v5.4.290")
    assert [path.name for path in kernel.modules] == [
        "00-virtio_ring.ko",
        "01-virtio_pci.ko",
        "02-virtio_console.ko",
    ]
    assert kernel.btf.read_bytes() == BTF
    assert "CONFIG_VIRTIO_PCI=m" in kernel.config.read_text()
    assert kernel.package == f"linux-image-unsigned-{RELEASE}"
    assert hashlib.sha256(kernel.image.read_bytes()).hexdigest() == kernel.sha256
    fetched = {name for name, _ in gets(server, ".deb")}
    assert len(fetched) == 2
    assert not any("lowlatency" in name or "headers" in name for name in fetched)


def test_only_what_is_needed_stays_on_disk(archive, store):
    kernel = store.ensure(SPEC)
    kept = sorted(
        path.relative_to(kernel.image.parent).as_posix() for path in kernel.image.parent.rglob("*.*")
    )
    assert kept == ["meta.json", *(f"modules/{path.name}" for path in kernel.modules)]
    assert not list(store.root.rglob("*.deb"))
    assert not list((store.root / ".tmp").iterdir())


def test_cached_asks_nobody(server, archive, store):
    assert store.cached(SPEC) is None
    kernel = store.ensure(SPEC)
    server.requests.clear()
    assert store.cached(SPEC) == store.ensure(SPEC) == kernel
    assert KernelStore(store.root).cached(SPEC) == kernel
    assert server.requests == []
    assert store.cached(KernelSpec("5.4", MainlineSource("v5.4.291"))) is None


def test_virtme_ngs_settings_are_put_back(archive, store):
    names = ("BASE_URL", "CACHE_DIR", "HTTP_TIMEOUT")
    before = [getattr(upstream, name) for name in names]
    store.ensure(SPEC)
    assert [getattr(upstream, name) for name in names] == before


def test_an_interrupted_package_is_resumed_by_the_next_run(server, archive, store, monkeypatch):
    (modules,) = archive.glob("linux-modules-*.deb")
    server.cut[modules.name] = 200_000
    with monkeypatch.context() as patch:
        patch.setattr("harness.kernels.download._ATTEMPTS", 1)
        with pytest.raises(KernelUnavailable, match="interrupted"):
            store.ensure(SPEC)
    assert store.cached(SPEC) is None
    server.requests.clear()
    assert store.ensure(SPEC).release == RELEASE
    ((_, span),) = gets(server, "linux-modules")
    assert 100_000 < int(span.removeprefix("bytes=").removesuffix("-")) <= 200_000
    assert gets(server, "linux-image") == []  # that one was whole


def test_a_corrupt_package_is_refused(archive, store):
    (deb,) = archive.glob("linux-image-unsigned-*generic*.deb")
    deb.write_bytes(deb.read_bytes() + b"!")
    with pytest.raises(KernelUnavailable, match="wrong SHA-256"):
        store.ensure(SPEC)
    assert store.cached(SPEC) is None


def test_a_package_checksums_does_not_list_is_refused(archive, store):
    sums = archive / "CHECKSUMS"
    lines = sums.read_text().splitlines()
    sums.write_text("\n".join(line for line in lines if "linux-image" not in line))
    with pytest.raises(KernelUnavailable, match="lists no amd64 image of the flavour generic"):
        store.ensure(SPEC)


def test_a_version_the_archive_has_not(server, store):
    with pytest.raises(KernelUnavailable, match=r"has no v5\.4\.290 for amd64"):
        store.ensure(SPEC)


def test_an_error_of_the_server(server, store, monkeypatch):
    (server.root / "v5.4.290/amd64/CHECKSUMS").mkdir(parents=True)
    monkeypatch.setattr(server.RequestHandlerClass, "list_directory", lambda self, path: self.send_error(503))
    with pytest.raises(KernelUnavailable, match="HTTP status 503"):
        store.ensure(SPEC)


def test_unreachable_names_what_was_tried_and_both_ways_out(store, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv(mainline.URL_VARIABLE, f"http://127.0.0.1:{port}/archive")
    with pytest.raises(KernelUnavailable) as caught:
        store.ensure(SPEC)
    assert isinstance(caught.value, UserError)
    assert caught.value.exit_status == 2
    text = str(caught.value)
    assert f"mainline v5.4.290, http://127.0.0.1:{port}/archive/v5.4.290/amd64/CHECKSUMS" in text
    assert "Connection refused" in text
    assert "bpfmatrix kernels add 5.4 --image PATH [--modules DIR]" in text
    assert "pytest --kernel-image 5.4=PATH" in text


def test_a_server_that_never_answers_is_given_up_soon(store, monkeypatch):
    monkeypatch.setattr(mainline, "DEADLINE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv(mainline.URL_VARIABLE, f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        with pytest.raises(KernelUnavailable, match=r"no answer within 0\.3 s"):
            store.ensure(SPEC)
        assert time.monotonic() - start < 3


def test_the_address_is_virtme_ngs_own(monkeypatch):
    monkeypatch.delenv(mainline.URL_VARIABLE, raising=False)
    assert mainline.base_url() == upstream.BASE_URL
