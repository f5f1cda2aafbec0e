"""What a kernel in a question means: a measured one, an upstream version, a release string or a range."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import UserError
from harness.features.measured import MeasuredKernel
from harness.model import KernelVersion, VersionRange

# The last release of each major version, until 7, where new ones appear (kernel.org).
_LAST_MINOR = {3: 19, 4: 20, 5: 19, 6: 19}
_NEWEST = (7, 4)  # the first series nobody here knows
_VERSION = re.compile(r"v?\d+\.\d+(?:\.\d+)?(?:[-+~_][\w.+~-]*|\.[a-z][\w.+~-]*)?")
_RANGE = re.compile(r"[<>=,*]")
# Red Hat and its rebuilds, openEuler, Anolis, SUSE: they keep the version and take years of later features.
_BACKPORTERS = re.compile(r"\.(?:el\d+|oe\d*|an\d+|al[78])(?![a-z])|el\d+uek|-150[3-7]00\.")

Series = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Target:
    """One kernel, or the versions of a range that nobody measured, that a question is about.

    `measured` decides, else the documents of `series` predict; without both nothing is known of it.
    """

    asked: str  # as the person wrote it
    title: str
    measured: MeasuredKernel | None = None
    series: tuple[Series, ...] = ()  # upstream series whose documented answer predicts
    backports: bool = False  # its distribution takes features of later versions
    near: str = ""  # the measured kernels of the same series, for information


def targets(text: str, kernels: Sequence[MeasuredKernel], entries: Sequence[str] = ()) -> tuple[Target, ...]:
    """What `text` means, given the measured kernels.

    An entry's name (`5.10`) or a release (`6.12.117+deb13-amd64`) that was measured is that kernel; `all` is
    every measured one; `>=5.4,<6` is the measured ones in the range and the upstream series in it that were
    not; any other version is its upstream series; one of `entries` is a kernel nobody measured.
    Raises UserError for anything else.
    """
    text = text.strip()
    if text == "all":
        return tuple(_measured(text, kernel) for kernel in kernels)
    for kernel in kernels:
        if text in (kernel.kernel, kernel.release, str(kernel.version), f"v{kernel.version}"):
            return (_measured(text, kernel),)
    if _RANGE.search(text):
        return _of_range(text, kernels)
    if _VERSION.fullmatch(text):
        return (_of_version(text, kernels),)
    if text in entries:
        return (Target(text, text),)
    raise _unknown(text, kernels)


def known_series() -> tuple[Series, ...]:
    """The upstream series from 3.15, where eBPF began, to the newest known."""
    return tuple(
        (major, minor)
        for major in range(3, _NEWEST[0] + 1)
        for minor in range(15 if major == 3 else 0, _LAST_MINOR.get(major, _NEWEST[1] - 1) + 1)
    )


def series_text(series: Sequence[Series]) -> str:
    """`5.8`, or `5.4–5.19` for a run of them, joined by commas where there are gaps."""
    order = {known: at for at, known in enumerate(known_series())}
    runs: list[list[Series]] = []
    for each in sorted(series):
        if runs and order.get(each, -2) == order.get(runs[-1][-1], -4) + 1:
            runs[-1].append(each)
        else:
            runs.append([each])
    return ", ".join(_run(run) for run in runs)


def _run(run: list[Series]) -> str:
    first, last = (".".join(map(str, end)) for end in (run[0], run[-1]))
    return first if first == last else f"{first}–{last}"


def _measured(text: str, kernel: MeasuredKernel) -> Target:
    version = str(kernel.version)
    same = kernel.release.startswith(version)
    title = f"{kernel.kernel} ({kernel.release if same else f'{version}, {kernel.release}'})"
    return Target(text, title, measured=kernel)


def _of_version(text: str, kernels: Sequence[MeasuredKernel]) -> Target:
    version = KernelVersion.parse(text)
    series = (version.major, version.minor)
    near = [
        f"{kernel.kernel} ({kernel.version})"
        for kernel in kernels
        if (kernel.version.major, kernel.version.minor) == series
    ]
    return Target(
        text, text, series=(series,), backports=bool(_BACKPORTERS.search(text)), near=", ".join(near)
    )


def _of_range(text: str, kernels: Sequence[MeasuredKernel]) -> tuple[Target, ...]:
    try:
        wanted = VersionRange.parse(text)
    except ValueError as error:
        raise UserError(f"--kernel {text!r}: {error}", hint="for example --kernel '>=5.4,<6'") from error
    inside = [kernel for kernel in kernels if kernel.version in wanted]
    done = {(kernel.version.major, kernel.version.minor) for kernel in inside}
    series = [each for each in known_series() if _overlaps(wanted, each)]
    if not inside and not series:
        raise UserError(f"--kernel {text!r}: no kernel lies in this range")
    rest = tuple(each for each in series if each not in done)
    found = [_measured(text, kernel) for kernel in inside]
    if rest:
        found.append(Target(text, f"{series_text(rest)} (upstream)", series=rest))
    return tuple(found)


def _overlaps(wanted: VersionRange, series: Series) -> bool:
    """Whether some version of the series lies in the range."""
    for operator, bound in wanted.bounds:
        parts = min(len(bound), 2)
        left, right = series[:parts], bound[:parts]
        strict = len(bound) <= 2  # `>5.4` leaves the series out, `>5.4.100` does not
        holds = {
            ">=": left >= right,
            "<=": left <= right,
            ">": left > right if strict else left >= right,
            "<": left < right if strict or bound[2] == 0 else left <= right,
            "==": left == right,
        }[operator]
        if not holds:
            return False
    return True


def _unknown(text: str, kernels: Sequence[MeasuredKernel]) -> UserError:
    names = [kernel.kernel for kernel in kernels]
    near = difflib.get_close_matches(text, names, n=1)
    lead = f"did you mean {near[0]!r}? " if near else ""
    return UserError(
        f"unknown kernel {text[:80]!r}; {lead}measured: {', '.join(names) or 'none'}",
        hint="name a measured kernel, a version (5.15, 5.4.290) or a range ('>=5.4,<6')",
    )
