"""Tonight's kernels with a real cache: a new release, an archive that is not there, one that went back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kernels_support import deb, image

from harness.catalog.kernels import DebianSource, KernelSpec
from harness.kernels import apt
from harness.kernels.apt import Apt, Package
from harness.kernels.store import KernelStore
from harness.nightly.before import moved, release_before
from harness.nightly.refresh import refresh_all
from harness.nightly.types import Refreshed

SPEC = KernelSpec(
    "6.12", DebianSource(("trixie",), r"linux-image-6\.12\.[0-9]+\+deb13-{flavour}"), origin=None
)
_CONFIG = b"CONFIG_VIRTIO_PCI=y\nCONFIG_VIRTIO_CONSOLE=y\n"


@pytest.fixture
def store(tmp_path: Path) -> KernelStore:
    return KernelStore(tmp_path / "cache")


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """A function that has the archive serve these releases, with real packages."""
    serves: list[str] = []

    def packages(_apt: Apt, suite: str, _step: object, **_: object) -> tuple[Package, ...]:
        return tuple(
            Package(
                f"linux-image-{v}+deb13-amd64", f"{v}-1", suite, f"http://127.0.0.1:1/{v}.deb", "00", 1, ()
            )
            for v in serves
        )

    def fetch(_apt: Apt, package: Package, folder: Path, _step: object) -> Path:
        release = package.name.removeprefix("linux-image-")
        files = {
            f"boot/vmlinuz-{release}": image(release),
            f"boot/config-{release}": _CONFIG,
            f"lib/modules/{release}/modules.builtin": b"a/virtio_pci.ko\nb/virtio_console.ko\n",
        }
        return Path(shutil.copy(deb(tmp_path, f"{package.name}_{package.version}_amd64.deb", files), folder))

    monkeypatch.setattr(Apt, "packages", packages)
    monkeypatch.setattr(Apt, "fetch", fetch)

    def set_to(*releases: str) -> None:
        serves[:] = releases

    return set_to


def refreshed(store: KernelStore, **how: Any) -> Refreshed:
    (kernel,) = refresh_all([SPEC], store=store, **how)
    return kernel


def test_a_new_point_release_is_fetched_named_and_the_one_before_is_kept(
    store: KernelStore, offer: Callable[..., None]
) -> None:
    offer("6.12.116")
    first = refreshed(store)
    assert (first.before, moved(first, None)) == (None, "")
    offer("6.12.116", "6.12.117")
    assert refreshed(store, ask=False).now == first.now, "not asked, nothing new"
    second = refreshed(store)
    assert second.now is not None
    assert (str(second.now.version), second.before) == ("6.12.117", first.now)
    assert moved(second, None) == "6.12.116 → 6.12.117"
    assert release_before(SPEC, "6.12.116+deb13-amd64", store) == first.now
    third = refreshed(store)
    assert (third.now, third.stale, moved(third, None)) == (second.now, "", "")


def test_an_archive_that_offers_less_moves_nothing_back(
    store: KernelStore, offer: Callable[..., None]
) -> None:
    offer("6.12.117")
    first = refreshed(store)
    offer("6.12.116")
    second = refreshed(store)
    assert second.now == first.now
    assert second.stale.startswith("its source offers 6.12.116-1 only")


def test_an_archive_that_cannot_be_reached(
    store: KernelStore, offer: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a cached kernel the night runs on it, and says so; without one it says what was tried."""
    offer("6.12.117")
    first = refreshed(store)
    monkeypatch.undo()  # from here on it is the real private apt
    monkeypatch.setenv(apt.MIRROR_VARIABLE, "http://127.0.0.1:1/debian")
    second = refreshed(store)
    assert second.now == first.now
    assert "127.0.0.1:1/debian" in second.stale
    shutil.rmtree(store.root)
    third = refreshed(store)
    assert third.now is None
    assert "127.0.0.1:1/debian" in third.problem
