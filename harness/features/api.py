"""Asking in one call, for programs: `supports("bpf_loop", kernel="5.15", program_type="xdp")`.

Nothing is booted and nothing is asked of the running kernel; see `docs/check.md`.
"""

from __future__ import annotations

from functools import cache

from harness.features.ask import Answer, ask, overall
from harness.features.documented import documented
from harness.features.kernels import Target, targets
from harness.features.measured import MeasuredKernel, cached_file, cached_some, files, heads
from harness.features.names import Feature, Names
from harness.features.names import program_type as known_program_type
from harness.features.types import Support


def supports(name: str, *, kernel: str, program_type: str | None = None) -> Support:
    """Whether a kernel has a feature: yes, no, or unknown, which is never turned into no.

    `name` is a helper, map type, program type, attach type, link type, `bpf()` command, flag, kfunc or
    language feature by its UAPI name, case and prefix forgiven. `kernel` is a measured kernel (`6.12`), an
    upstream version (`5.15`, `5.4.290`), what `uname -r` prints, or a range (`>=5.4,<6`), which answers yes
    only if all in it have the feature. `program_type` (`xdp`) asks about calling a helper or kfunc from
    programs of that type. What was measured decides, else the documented version predicts; `answers` tells
    which.

    Raises UserError for a feature, kernel or program type that does not exist or is ambiguous.
    """
    return overall(answers(name, kernel=kernel, program_type=program_type))


def answers(name: str, *, kernel: str, program_type: str | None = None) -> tuple[Answer, ...]:
    """The same with reasons: one answer for every kernel that `kernel` means."""
    aims = targets(kernel, heads())
    feature = find(name, aims)
    asked = None if program_type is None else short(program_type)
    return tuple(ask(feature, with_feature(target, feature), documented(), asked) for target in aims)


def find(name: str, aims: tuple[Target, ...] = ()) -> Feature:
    """The feature of that name, documented or asked of one of the kernels."""
    documents = _names(())
    found = documents.whole(name)
    if found is not None:
        return found
    kernels = (cached_file(files()[target.measured.kernel]) for target in aims if target.measured)
    return _names(tuple(kernels)).find(name)


def with_feature(target: Target, feature: Feature) -> Target:
    """The target with what its kernel was measured to have of one feature; only that is read."""
    if target.measured is None:
        return target
    path = files()[target.measured.kernel]
    record = documented().get((feature.kind, feature.name))
    names = (feature.name, *(record.aliases if record else ()))
    return Target(target.asked, target.title, cached_some(path, feature.kind, names))


def short(text: str) -> str:
    """The short name of a program type. UserError for an unknown one."""
    return known_program_type(text, documented())


@cache
def _names(kernels: tuple[MeasuredKernel, ...]) -> Names:
    return Names(documented(), kernels)
