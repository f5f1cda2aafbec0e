"""A loader's log taken apart: its own sentences, and the kernel's logs it pastes between BEGIN and END lines.

libbpf (src/libbpf.c, src/btf.c) writes `-- BEGIN PROG LOAD LOG --`, before 0.7 `-- BEGIN DUMP LOG ---`, and
`-- BEGIN BTF LOAD LOG ---`. Listings hold whatever a program's author wrote and are no words of the loader.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_BEGIN = re.compile(r"-- BEGIN (?P<what>[A-Z ]{0,20}?)LOG -{2,3}\s*$")
_END = re.compile(r"(?:libbpf: )?-- END [A-Z ]{0,20}?LOG -{2,3}\s*$")


@dataclass(frozen=True, slots=True)
class LoaderLog:
    """What a loader wrote: its words line by line, the last program's log, the last BTF log."""

    words: tuple[str, ...]
    program_log: tuple[str, ...] = ()
    btf_log: tuple[str, ...] = ()


def take_apart(lines: Iterable[str]) -> LoaderLog:
    """Sort lines into words and pasted logs; never raises.

    A log whose beginning is missing (the text was cut at its head) takes everything before its END with it.
    """
    words: list[str] = []
    pasted: list[str] | None = None
    logs: dict[bool, list[str]] = {}
    for line in lines:
        if begin := _BEGIN.search(line):
            pasted = logs[begin["what"].startswith("BTF")] = []
        elif _END.match(line):
            if pasted is None:
                words.clear()
            pasted = None
        elif pasted is not None:
            if line.strip() != "libbpf:":  # printed on a line of its own before the log, by older versions
                pasted.append(line)
        else:
            words.append(line)
    return LoaderLog(tuple(words), tuple(logs.get(False, ())), tuple(logs.get(True, ())))
