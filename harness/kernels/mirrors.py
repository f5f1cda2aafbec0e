"""Which addresses of the Debian archives this machine's own apt sources name. Pure.

Input is what `apt-get indextargets` prints in the format `TARGETS_FORMAT`; the Release metadata in it
(Origin, Label) is there once the machine ran `apt-get update`, so without it the suite's name decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

TARGETS_FORMAT = "$(ORIGIN)|$(LABEL)|$(CODENAME)|$(RELEASE)|$(COMPONENT)|$(REPO_URI)"

_SUITE = re.compile(
    r"(sid|unstable|testing|(old)*stable|buster|bullseye|bookworm|trixie|forky|duke)"
    r"(-updates|-backports|-proposed-updates|-security|/updates)?"
)


@dataclass(frozen=True, slots=True)
class Target:
    """One index of the machine's own sources."""

    origin: str
    label: str
    codename: str
    release: str  # the suite as the sources name it
    component: str
    uri: str  # the archive's base address, with a slash at its end

    @property
    def security(self) -> bool:
        """Whether it is (or names itself like) the security archive."""
        name = f"{self.label} {self.codename} {self.release}".lower()
        return "security" in name or self.release.endswith("/updates")


def parse_targets(text: str) -> tuple[Target, ...]:
    """Read the output of `apt-get indextargets --format TARGETS_FORMAT`."""
    rows = (line.split("|") for line in text.splitlines())
    return tuple(Target(*row) for row in rows if len(row) == 6)


def is_security_suite(suite: str) -> bool:
    """Whether a suite lives in the security archive (`bookworm-security`)."""
    return suite.endswith("-security")


def candidates(targets: Iterable[Target], suite: str) -> tuple[str, ...]:
    """Base addresses to try for `suite`, the surest first; empty where none can be told.

    Those of the right archive come first, then the other archive's address with its last part
    exchanged (`…/debian/` for `…/debian-security/` and back), as most mirrors lay them out. A third
    party's archive that looks like Debian's cannot do harm: its signature would not verify.
    """
    security = is_security_suite(suite)
    ours = sorted((target for target in targets if _is_debian(target)), key=lambda t: t.origin != "Debian")
    right = [target.uri for target in ours if target.security == security]
    derived = [_sibling(target.uri, security=security) for target in ours if target.security != security]
    return tuple(dict.fromkeys(right + [uri for uri in derived if uri]))


def source_line(uri: str, suite: str, keyring: str) -> str:
    """One line of a sources.list: this suite's main component, signed by `keyring`."""
    return f"deb [arch=amd64 signed-by={keyring}] {uri} {suite} main\n"


def _is_debian(target: Target) -> bool:
    if target.component != "main":
        return False
    if target.origin:
        return target.origin in ("Debian", "Debian Backports")
    return _SUITE.fullmatch(target.release) is not None


def _sibling(uri: str, *, security: bool) -> str | None:
    here, there = ("debian", "debian-security") if security else ("debian-security", "debian")
    parts = re.fullmatch(rf"(.*/){here}(\.list)?(/?)", uri)
    return f"{parts[1]}{there}{parts[2] or ''}{parts[3]}" if parts else None
