"""Downloads one file over HTTP so that an interruption costs nothing and a wrong byte is noticed.

What is there of a file lies beside it as `NAME.part`; the next attempt asks for the rest only. Since
the whole is checked against a SHA-256 known beforehand, a server that says nothing of when a file
changed can still be resumed (apt's own download starts over there).
"""

from __future__ import annotations

import hashlib
import queue
import threading
from pathlib import Path

import requests

from harness.kernels.errors import SourceError
from harness.kernels.progress import Step, silent

TIMEOUT = (4.0, 30.0)  # seconds to connect, seconds without a byte
_ATTEMPTS = 4
_CHUNK = 1 << 16  # what a broken connection may cost


class _Interrupted(Exception):  # noqa: N818  # a state, caught a few lines below
    """The connection broke in the middle."""


def download(url: str, target: Path, sha256: str, step: Step = silent) -> None:
    """Fetch `url` into `target` (written by rename), resuming `target`.part.

    A broken connection is taken up again up to three times; a resumed file with a wrong checksum is
    fetched once more from its start. Raises SourceError; OSError where the disk says no.
    """
    if target.is_file() and file_sha256(target) == sha256:
        return
    part = target.with_name(target.name + ".part")
    with requests.Session() as session:
        for last in (False, True):
            resumed = _fetch(session, url, part, step)
            found = file_sha256(part)
            if found == sha256:
                part.replace(target)
                return
            part.unlink()
            if last or not resumed:
                raise SourceError(url, f"wrong SHA-256 {found}, {sha256} was promised; nothing kept")


def fetch_text(url: str, timeout: tuple[float, float] = TIMEOUT, deadline: float = 60.0) -> str | None:
    """Get a small text; None for 404. Raises SourceError for anything else that is not 200.

    `deadline` (seconds) bounds the whole: a name server that never answers is not covered by `timeout`.
    """
    answers: queue.SimpleQueue[requests.Response | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(requests.get(url, timeout=timeout))
        except Exception as error:  # handed over to the thread that waits
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=deadline)
    except queue.Empty:
        raise SourceError(url, f"no answer within {deadline:g} s") from None
    if isinstance(answer, Exception):
        raise SourceError(url, explain(answer)) from answer
    if answer.status_code == 404:
        return None
    if answer.status_code != 200:
        raise SourceError(url, f"HTTP status {answer.status_code} {answer.reason}")
    return answer.text


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def explain(error: Exception) -> str:
    """Say the innermost reason of a `requests` error, in one line."""
    inner: BaseException = error
    for _ in range(10):
        reason = getattr(inner, "reason", None)
        following = reason if isinstance(reason, BaseException) else None
        following = following or next((a for a in inner.args if isinstance(a, BaseException)), None)
        if following is None:
            break
        inner = following
    return str(inner).partition(": ")[2] or str(inner) or type(inner).__name__


def _fetch(session: requests.Session, url: str, part: Path, step: Step) -> bool:
    """Bring `part` to its full length; return whether some of it was there before."""
    resumed = part.is_file() and part.stat().st_size > 0
    problem = ""
    for _ in range(_ATTEMPTS):
        try:
            _transfer(session, url, part, step)
        except _Interrupted as error:
            problem = str(error)
            resumed = True
        else:
            return resumed
    raise SourceError(url, f"interrupted {_ATTEMPTS} times: {problem}; what arrived is kept")


def _transfer(session: requests.Session, url: str, part: Path, step: Step) -> None:
    have = part.stat().st_size if part.is_file() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            if response.status_code == 416:  # nothing after what we have: whole, or nonsense
                part.touch()
                return
            have = _accept(url, response, have)
            _store(response, part, have, step)
    except requests.ConnectionError as error:
        if have or part.is_file():
            raise _Interrupted(explain(error)) from error
        raise SourceError(url, explain(error)) from error
    except requests.RequestException as error:
        raise _Interrupted(explain(error)) from error


def _accept(url: str, response: requests.Response, have: int) -> int:
    """Return the offset the body starts at; a server without ranges sends the whole (200)."""
    if response.status_code == 200:
        return 0
    start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    if response.status_code == 206 and start == str(have):
        return have
    raise SourceError(url, f"HTTP status {response.status_code} {response.reason}")


def _store(response: requests.Response, part: Path, have: int, step: Step) -> None:
    length = response.headers.get("Content-Length")
    total = have + int(length) if length else None
    name = part.name.removesuffix(".part")
    with part.open("r+b" if have else "wb") as out:
        out.seek(have)
        for chunk in response.iter_content(_CHUNK):
            out.write(chunk)
            have += len(chunk)
            step(f"download {name}", have, total)
