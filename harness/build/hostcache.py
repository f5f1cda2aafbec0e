"""What the compilers of this machine said, kept beside the objects.

A compiler reads headers of the system nobody here can name beforehand, so an answer holds as long as no
package was installed or changed since: the time of dpkg's list of packages is part of the key. Without that
list (another distribution) nothing is kept.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

_CUT = re.compile(r"took longer than|died of SIG")  # how harness.build.clang says it ended a compiler
_PACKAGES = Path("/var/lib/dpkg/status")


def key_of(parts: Sequence[str], files: Sequence[Path]) -> str | None:
    """Name an answer by texts and files' contents; None where nothing says when the system changed."""
    try:
        state = _PACKAGES.stat()
        digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    except OSError:
        return None
    system = (str(state.st_mtime_ns), str(state.st_size))
    return hashlib.sha256("\0".join((*parts, *digests, *system)).encode()).hexdigest()[:32]


def recall(folder: Path, key: str | None) -> tuple[bool, str | None]:
    """Return whether an answer is kept, and it: the compiler's words, None when it accepted."""
    try:
        words = json.loads((folder / f"host-{key}.json").read_bytes())["words"]
    except (OSError, ValueError, KeyError, TypeError):
        return False, None
    return words is None or isinstance(words, str), words


def keep(folder: Path, key: str | None, words: str | None) -> None:
    """Keep an answer, whole or not at all; a full or read-only disk only means that it is asked again.

    Only what the compiler itself decided: a limit that ended it says nothing of the text.
    """
    if key is None or (words is not None and ("error:" not in words or _CUT.search(words[-300:]))):
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as file:
            json.dump({"words": words}, file)
        Path(file.name).replace(folder / f"host-{key}.json")
    except OSError:
        return
