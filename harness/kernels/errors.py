"""What can go wrong on the way to a kernel, and the ways out the person has."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import UserError
from harness.model import Origin

_CACHE_HINT = "put the cache elsewhere: BPFMATRIX_CACHE=/another/folder"
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}
_FULL = {errno.ENOSPC, errno.EDQUOT}


class KernelUnavailable(UserError):  # noqa: N818  # a state of the world, as its readers name it
    """A kernel that cannot be had now. `tried` says what was done, `reason` why it failed.

    The only error `missing="skip"` turns into a column that did not run; anything else is a mistake
    in a file, an option or the cache and ends the command either way.
    """

    def __init__(self, name: str, tried: str, reason: str, *, where: Origin | None = None) -> None:
        self.name = name
        self.tried = tried
        self.reason = reason
        super().__init__(
            f"kernel {name} cannot be had\n  tried: {tried}\n  failed: {reason}",
            where=where,
            hint=f"bpfmatrix kernels add {name} --image PATH [--modules DIR]"
            f"\n    or: pytest --kernel-image {name}=PATH",
        )


class SourceError(Exception):
    """A source's attempt failed; the store makes it a `KernelUnavailable` with the kernel's name."""

    def __init__(self, tried: str, reason: str) -> None:
        self.tried = tried
        self.reason = reason
        super().__init__(f"{tried}: {reason}")


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn a full disk or a folder nobody may write into a UserError that names the way out."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise disk_full(folder) from error
        if error.errno in _DENIED:
            raise _denied(folder, error) from error
        raise


def _denied(folder: Path, error: OSError) -> UserError:
    name = error.filename if isinstance(error.filename, str) else None
    if name is not None and not Path(name).is_relative_to(folder) and not folder.is_relative_to(name):
        return UserError(f"cannot be read: {error.strerror}", where=name, hint="check its permissions")
    return UserError(f"the cache cannot be written: {error.strerror}", where=str(folder), hint=_CACHE_HINT)


def disk_full(folder: Path) -> UserError:
    """Build the error for a disk without room for a kernel (about 250 MB while it is unpacked)."""
    return UserError(
        "no space left on the disk that holds the cache",
        where=str(folder),
        hint=f"bpfmatrix kernels prune, or {_CACHE_HINT}",
    )
