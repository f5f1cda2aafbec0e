"""Where things live: the cache of this user and the files of this checkout."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_dir() -> Path:
    """The cache's root; `BPFMATRIX_CACHE` overrides the platform's directory. Absolute, not created here."""
    override = os.environ.get("BPFMATRIX_CACHE")
    return Path(override).absolute() if override else Path(platformdirs.user_cache_dir("bpfmatrix"))


def project_root(start: Path | None = None) -> Path:
    """The nearest folder upwards with a `kernels.yaml`, else the checkout this package came from."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "kernels.yaml").is_file():
            return folder
    return Path(__file__).resolve().parent.parent
