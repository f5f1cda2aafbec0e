"""A night asks every kernel for its features, too: a contradiction nobody has explained yet is worse.

Nothing of it is kept: the package's own measured files are changed by `bpfmatrix features`, by a person.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.crew import warm_object
from harness.features.disagreements import Disagreement, disagreements, news, unexplained
from harness.features.documented import documented
from harness.features.measured import MeasuredKernel
from harness.features.probe.crew import Crew
from harness.features.probe.measure import Measurement, Unwatched
from harness.plan import RunOptions
from harness.record.changes import Change, ChangeKind, Changes
from harness.verdict.text import one_line

_CASE = "features"


def compare_with_documents(options: RunOptions) -> Changes | None:
    """Ask the kernels of a run for their features; None where there is no kernel.

    A contradiction that the package's measured files have as well is no news.
    """
    if not options.kernels:
        return None
    done, failed = measured_tonight(options)
    known = {_key(each) for each in news()}
    loose = unexplained(disagreements(documented(), done))
    changes = [_change(each) for each in loose if _key(each) not in known]
    changes += [_not_asked(kernel, why) for kernel, why in failed]
    compared = sum(1 for kernel in done for _ in kernel.features())
    return Changes("the documented features", "tonight", tuple(changes), compared)


def measured_tonight(options: RunOptions) -> tuple[list[MeasuredKernel], tuple[tuple[str, str], ...]]:
    """What the kernels answered, and which could not be asked, with the reason."""
    done: list[Measurement] = []
    crew = Crew(options.guest, warm_object(), options.jobs, Unwatched())
    failed = crew.work(options.kernels, done.append)
    return [each.measured for each in done], failed


def _change(found: Disagreement) -> Change:
    types: Sequence[str] = found.program_types
    of_types = f" for {', '.join(types)} programs" if types else ""
    return Change(
        ChangeKind.CONTRADICTION,
        f"{_CASE}/{found.feature.kind}.{found.feature.name}",
        found.kernel.kernel,
        one_line(found.predicted, 200),
        one_line(f"measured {found.measured}{of_types}: {found.finding.evidence}", 300),
        regression=True,
    )


def _not_asked(kernel: str, why: str) -> Change:
    words = one_line(why, 200)
    return Change(ChangeKind.NOT_RUN, _CASE, kernel, "–", words, regression=False, infrastructure=True)


def _key(found: Disagreement) -> tuple[str, str, str, str, tuple[str, ...]]:
    kind, name = found.feature.kind, found.feature.name
    return kind, name, found.kernel.kernel, found.measured, found.program_types
