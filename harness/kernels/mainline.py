"""Upstream versions from Ubuntu's mainline archive, through virtme-ng's own downloader.

virtme-ng knows the address, the folder layout and which packages make a kernel. What it lacks is added
around it: the packages are verified against the archive's CHECKSUMS file, an interrupted download is
taken up again, nothing half-unpacked is ever taken for a kernel, and an archive that cannot be
reached is noticed within seconds. What its CHECKSUMS.gpg would add (a signature) needs a key no
distribution ships, so integrity rests on HTTPS and SHA-256 here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from types import ModuleType

import requests
from virtme_ng import mainline as upstream
from virtme_ng import utils as upstream_utils

from harness.catalog.kernels import MainlineSource
from harness.kernels.download import download, explain, fetch_text
from harness.kernels.errors import SourceError, disk_full
from harness.kernels.progress import Step

URL_VARIABLE = "BPFMATRIX_MAINLINE_URL"
CONNECT_TIMEOUT = (3.0, 10.0)  # seconds to connect, seconds without a byte, for the first question
DEADLINE = 8.0  # seconds for the first question as a whole, name server included

_LITTLE = 8 << 20  # bytes: with less than this left, a full disk explains a failed unpacking
_SUM = re.compile(r"([0-9a-f]{64})[ *]+(\S+\.deb)")
_patching = Lock()  # virtme-ng keeps its settings in module globals


@dataclass(frozen=True, slots=True)
class MainlineKernel:
    """What the archive holds of one version: its folder's address and the packages' SHA-256."""

    source: MainlineSource
    url: str
    sums: Mapping[str, str]  # package file -> SHA-256, of this flavour and architecture

    def fetch(self, downloads: Path, scratch: Path, step: Step) -> Path:
        """Download and unpack into `scratch`, keep finished packages in `downloads`.

        Returns the folder that is laid out like `/`. Raises SourceError; OSError from the disk.
        """
        downloads.mkdir(parents=True, exist_ok=True)

        def transfer(url: str, target: Path) -> None:
            kept = downloads / target.name
            download(url, kept, self._sum(url), step)
            target.hardlink_to(kept)

        folder = scratch / self.source.version / "amd64"
        self._hide_other_packages(folder)
        try:
            with _settings(scratch):
                _Downloader.run(self.source.version, transfer)
        except FileNotFoundError as error:
            raise SourceError(self.url, str(error)) from error
        except requests.RequestException as error:
            raise SourceError(self.url, explain(error)) from error
        except subprocess.CalledProcessError as error:
            if shutil.disk_usage(downloads).free < _LITTLE:  # dpkg says why on the terminal only
                raise disk_full(downloads) from error
            raise SourceError(f"unpacking {error.cmd[-2]}", f"dpkg exit status {error.returncode}") from error
        return folder

    def _sum(self, url: str) -> str:
        name = url.rpartition("/")[2]
        if name not in self.sums:
            raise SourceError(url, "the archive's CHECKSUMS file does not list it")
        return self.sums[name]

    def _hide_other_packages(self, folder: Path) -> None:
        """virtme-ng skips packages whose file is there; so it never fetches another flavour's."""
        folder.mkdir(parents=True)
        listing = fetch_text(self.url + "/") or ""
        for name in re.findall(r'href=["\']([^\s"\'/]+\.deb)["\']', listing):
            if name not in self.sums:
                (folder / name).touch()


def find(source: MainlineSource) -> MainlineKernel:
    """Ask the archive for a version. Raises SourceError within seconds when it has none of it."""
    folders = [f"{base_url()}/{source.version}/amd64", f"{base_url()}/{source.version}"]
    for url in folders:
        text = fetch_text(url + "/CHECKSUMS", CONNECT_TIMEOUT, DEADLINE)
        sums = parse_checksums(text or "", source.flavour)
        if any("linux-image" in name for name in sums):
            return MainlineKernel(source, url, sums)
        if text is not None:
            raise SourceError(url, f"CHECKSUMS lists no amd64 image of the flavour {source.flavour}")
    raise SourceError(folders[0], f"the archive has no {source.version} for amd64 (HTTP status 404)")


def base_url() -> str:
    """Address of the archive: virtme-ng's own, or BPFMATRIX_MAINLINE_URL for a mirror of it."""
    return os.environ.get(URL_VARIABLE, str(upstream.BASE_URL)).rstrip("/")


def parse_checksums(text: str, flavour: str) -> dict[str, str]:
    """SHA-256 by file name of the image and modules packages in a CHECKSUMS file."""
    wanted = re.compile(rf"linux-(image|image-unsigned|modules)-[^_]*-{re.escape(flavour)}_[^_]*_amd64\.deb")
    pairs = (match.groups() for line in text.splitlines() if (match := _SUM.fullmatch(line.strip())))
    named = ((path.rpartition("/")[2], digest) for digest, path in pairs)
    return {name: digest for name, digest in named if wanted.fullmatch(name)}


class _Downloader(upstream.KernelDownloader):  # type: ignore[misc]  # virtme-ng ships no types
    """virtme-ng's downloader with another transfer; constructing one downloads and unpacks."""

    transfer: Callable[[str, Path], None]

    def _download_file(self, url: str, destination: str) -> None:
        type(self).transfer(url, Path(destination))

    @classmethod
    def run(cls, version: str, transfer: Callable[[str, Path], None]) -> None:
        """Fetch and unpack one version below virtme-ng's cache folder, as `_settings` placed it."""
        type("_Run", (cls,), {"transfer": staticmethod(transfer)})(version, "amd64")


@contextmanager
def _settings(cache: Path) -> Iterator[None]:
    """Point virtme-ng at our archive address, cache folder and patience; and silence its spinner.

    It draws on the terminal from a thread of its own, across our progress display.
    """

    def no_spinner(message: str = "") -> AbstractContextManager[None]:
        return nullcontext()

    ours: tuple[tuple[ModuleType, str, object], ...] = (
        (upstream, "BASE_URL", base_url()),
        (upstream, "CACHE_DIR", cache),
        (upstream, "HTTP_TIMEOUT", CONNECT_TIMEOUT),
        (upstream_utils, "Spinner", no_spinner),
    )
    with _patching:
        theirs = [(module, name, getattr(module, name)) for module, name, _ in ours]
        try:
            for module, name, value in ours:
                setattr(module, name, value)
            yield
        finally:
            for module, name, value in theirs:
                setattr(module, name, value)
