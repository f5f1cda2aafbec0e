"""The words of feature availability: what can be asked, what a kernel answered, and how that was found out.

Nothing of ours is imported here, so that probes, the documented facts, the object reader and the reports
can all speak of the same things.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

EVIDENCE_CHARACTERS = 200  # of one finding, one line
PROGRAM_TYPE_PREFIX = "BPF_PROG_TYPE_"


class Support(StrEnum):
    """Whether a kernel has a feature. Unknown is an answer of its own and never turns into yes or no."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class FeatureKind(StrEnum):
    """What kind of thing a feature is; a name is unique within its kind."""

    HELPER = "helper"
    MAP_TYPE = "map_type"
    PROGRAM_TYPE = "program_type"
    ATTACH_TYPE = "attach_type"
    LINK_TYPE = "link_type"
    COMMAND = "command"
    MAP_FLAG = "map_flag"
    PROGRAM_FLAG = "program_flag"
    KFUNC = "kfunc"
    LANGUAGE = "language"
    JIT = "jit"
    CONFIG = "config"


class Method(StrEnum):
    """How an answer was found out.

    `verifier`: its own words; `created`: the thing itself was made or attached; `errno`: what the call
    returned; `btf`: an entry of the kernel's BTF, or that there is none; `called`: the program was run;
    `config`: a symbol of the kernel's configuration; `file`: a file below /proc or /sys; `none`: nothing
    decided it, so the answer is unknown.
    """

    VERIFIER = "verifier"
    CREATED = "created"
    ERRNO = "errno"
    BTF = "btf"
    CALLED = "called"
    CONFIG = "config"
    FILE = "file"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer with its evidence: one line of at most 200 characters, an errno, a log line, a BTF entry."""

    support: Support
    method: Method
    evidence: str


@dataclass(frozen=True, slots=True)
class MeasuredFeature:
    """What one kernel answered about one feature.

    `findings` pairs each answer with the program types it holds for: short lower-case UAPI names in
    alphabetical order ("kprobe", "sched_cls", "xdp"), or none where the feature is not by program type.
    """

    kind: FeatureKind
    name: str
    findings: tuple[tuple[Finding, tuple[str, ...]], ...]

    def finding(self, program_type: str | None = None) -> Finding | None:
        """The answer for a program type (short name), or the one that decides `overall`; None: not asked."""
        if program_type is not None:
            for finding, types in self.findings:
                if program_type in types or not types:
                    return finding
            return None
        wanted = overall(finding.support for finding, _ in self.findings)
        return next((finding for finding, _ in self.findings if finding.support is wanted), None)

    def support(self, program_type: str | None = None) -> Support:
        """Yes, no or unknown; for a program type that was not asked: unknown."""
        finding = self.finding(program_type)
        return finding.support if finding else Support.UNKNOWN

    def program_types(self, support: Support) -> tuple[str, ...]:
        """The program types with this answer, in alphabetical order."""
        return tuple(
            sorted(name for finding, types in self.findings if finding.support is support for name in types)
        )


def overall(answers: Iterable[Support]) -> Support:
    """Support in any program type: yes if any says yes, no only if all say no, else unknown."""
    given = list(answers)
    if Support.YES in given:
        return Support.YES
    return Support.NO if given and all(answer is Support.NO for answer in given) else Support.UNKNOWN


def short_program_type(name: str) -> str:
    """Make the short name of a program type: `BPF_PROG_TYPE_SCHED_CLS`, `SCHED_CLS` → `sched_cls`."""
    return name.upper().removeprefix(PROGRAM_TYPE_PREFIX).lower()


def evidence(text: str) -> str:
    """One line of at most 200 characters of what a kernel said, as a finding keeps it."""
    line = " ".join(text.split())
    return line if len(line) <= EVIDENCE_CHARACTERS else line[: EVIDENCE_CHARACTERS - 1] + "…"
