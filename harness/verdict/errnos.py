"""Errnos in the words people are shown: glibc's and Go's sentences, and numbers."""

from __future__ import annotations

import errno
import re

# strerror(3) of glibc; Go writes the same in lower case, Rust adds "(os error 13)".
_SENTENCES = {
    "operation not permitted": "EPERM",
    "no such file or directory": "ENOENT",
    "no such process": "ESRCH",
    "interrupted system call": "EINTR",
    "input/output error": "EIO",
    "no such device or address": "ENXIO",
    "argument list too long": "E2BIG",
    "bad file descriptor": "EBADF",
    "resource temporarily unavailable": "EAGAIN",
    "cannot allocate memory": "ENOMEM",
    "permission denied": "EACCES",
    "bad address": "EFAULT",
    "device or resource busy": "EBUSY",
    "file exists": "EEXIST",
    "no such device": "ENODEV",
    "invalid argument": "EINVAL",
    "too many open files": "EMFILE",
    "no space left on device": "ENOSPC",
    "numerical result out of range": "ERANGE",
    "resource deadlock avoided": "EDEADLK",
    "function not implemented": "ENOSYS",
    "too many levels of symbolic links": "ELOOP",
    "value too large for defined data type": "EOVERFLOW",
    "operation not supported": "EOPNOTSUPP",
    "connection timed out": "ETIMEDOUT",
}
# As people type them: the notes have "argument list tooo long" and "permission deny".
SENTENCE = re.compile(
    "|".join(
        text.replace("too long", "too+ long").replace("denied", "den(?:ied|y)")
        for text in sorted(_SENTENCES, key=len, reverse=True)
    )
    + r"|unknown error \(?524\)?|\bENOTSUPP\b|(?<=ERROR: strerror_r\()-524",
    re.IGNORECASE,
)
# `errno=22`, `os error 13`, `failed to load: -13`, `(-22)`; an exit status or a count is none.
_NUMBER = re.compile(
    r"(?:\b(?:errno|err|os error)\b[ :=(]{1,3}|\berror: (?=-)|failed[^:\n]{0,60}: (?=-)|\((?=-\d{1,3}\)))"
    r"-?(?P<number>\d{1,3})\b",
    re.IGNORECASE,
)
_ALONE = re.compile(r"\s*-(?P<number>\d{1,3})\s*")
_NAME = re.compile(r"\bE[A-Z0-9]{2,15}\b")
ENOTSUPP = 524  # include/linux/errno.h; not of user space, and shown by BPF all the same
KNOWN = frozenset((*errno.errorcode.values(), "ENOTSUPP", "EOPNOTSUPP"))
USUAL = tuple(sorted({*_SENTENCES.values(), "ENOTSUPP"}))


def of_sentence(text: str) -> str | None:
    """Return the errno the first known sentence in `text` stands for."""
    found = SENTENCE.search(text)
    if found is None:
        return None
    said = re.sub(r"too+ long", "too long", found[0].lower()).replace("sion deny", "sion denied")
    return _SENTENCES.get(said, "ENOTSUPP")


def of_number(number: int) -> str | None:
    """Return the name of errno `number`, negative or not; None for none."""
    if abs(number) == ENOTSUPP:
        return "ENOTSUPP"
    name = errno.errorcode.get(abs(number))
    return "EOPNOTSUPP" if name == "ENOTSUP" else name


def of_line(text: str) -> str | None:
    """Return the errno a line names: by a sentence, by its name, or by a number where one is expected."""
    if found := of_sentence(text):
        return found
    for named in _NAME.finditer(text):
        if named[0] in KNOWN:
            return named[0]
    alone = _ALONE.fullmatch(text)
    if alone:
        return of_number(int(alone["number"]))
    numbers = (of_number(int(found["number"])) for found in _NUMBER.finditer(text))
    return next((name for name in numbers if name), None)


def parse(text: str) -> str | None:
    """Read what a person gives for an errno: `EINVAL`, `einval`, `22`, `-22` or a sentence."""
    word = text.strip()
    if re.fullmatch(r"-?\d{1,3}", word):
        return of_number(int(word))
    upper = word.upper()
    return upper if upper in KNOWN else of_sentence(word)
