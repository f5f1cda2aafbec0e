"""Text from outside made harmless: logs carry whatever a kernel, a compiler or an object's author wrote.

`one_line` is for messages, cells and terminals; `visible` keeps a log whole and shows what was hidden in it;
`stripped` is for what is going to be read, not shown.
"""

from __future__ import annotations

import re

_ANSI = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # operating system command: window titles, links
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # control sequence: colours, cursor movement
    r"|\x1b[@-Z\\-_]?"
)
# C0 and C1 controls, line and paragraph separators, bidirectional overrides, zero-width and byte order
# marks, and lone surrogates (undecodable bytes).
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_BLANK = re.compile(r"\s+")


def one_line(text: str, limit: int = 200) -> str:
    """`text` as one printable line of at most `limit` characters; escape sequences are removed."""
    head = text[: limit * 16]  # bounds the work on a megabyte without newlines
    clean = _BLANK.sub(" ", _HIDDEN.sub(" ", _ANSI.sub("", head))).strip()
    cut = len(clean) > limit or len(text) > len(head)
    return clean[: limit - 1].rstrip() + "…" if cut else clean


def stripped(text: str) -> str:
    """`text` without escape sequences and control characters; line breaks of any kind become newlines."""
    return _HIDDEN.sub("", _ANSI.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def visible(text: str) -> str:
    """`text` with every control character shown (`␛`, `␀`, `<U+202E>`); newlines and tabs stay."""
    return _HIDDEN.sub(_picture, text.replace("\r\n", "\n"))


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"<U+{code:04X}>"
