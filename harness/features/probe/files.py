"""Files of the guest, read in one batch: sysctls, what sysfs shows, which are there at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.features.probe.batch import answers
from harness.features.probe.subject import Subject
from harness.guest.calls import Call, Called, PatchKind, Sys, argument

_MOST = 4096  # bytes of a file that come back
_LIMIT_S = 30.0


def read_files(subject: Subject, paths: Iterable[str]) -> dict[str, Called]:
    """What opening and reading each file returned: `out` is its beginning, or `errno` says what came of it.

    A file that can be opened and not read (a directory, a file that asks for more) has the errno of reading.
    """
    wanted = list(dict.fromkeys(paths))
    calls: list[Call] = []
    for path in wanted:
        calls.append(Call(Sys.OPEN, data=(path.encode() + b"\0",), patches=(argument(0),)))
        opened = argument(0, PatchKind.RESULT, len(calls) - 1)
        calls.append(Call(Sys.READ, (0, 0, _MOST), (bytes(_MOST),), (opened, argument(1)), out=0))
    called = answers(subject, calls, _LIMIT_S)
    return {
        path: called[at * 2] if called[at * 2].errno else called[at * 2 + 1]
        for at, path in enumerate(wanted)
        if at * 2 + 1 < len(called)
    }


def text_of(files: Mapping[str, Called], path: str) -> str | None:
    """The beginning of a file that was read, without space around it; None where that was not possible."""
    called = files.get(path)
    if called is None or called.errno:
        return None
    return called.out[: called.value].decode("utf-8", "replace").strip()
