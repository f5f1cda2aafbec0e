"""Has this kernel that feature? Documented and measured facts in, an answer with its reasons out. Pure.

What was measured decides. Where nothing was, the documented version predicts, and the answer says so; what
neither tells is unknown. Where both speak and differ, the measured answer stands and that is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.features.documented import Documented, Records
from harness.features.kernels import Series, Target, series_text
from harness.features.measured import MeasuredKernel
from harness.features.names import Feature
from harness.features.types import FeatureKind, Finding, MeasuredFeature, Support

_REPLACES = "ext"
_BY_TYPE = (FeatureKind.HELPER, FeatureKind.KFUNC)  # kinds whose answer depends on the program type


class Basis(StrEnum):
    """What an answer rests on."""

    MEASURED = "measured"
    DOCUMENTED = "documented"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the documented facts say of an upstream series, and why."""

    support: Support
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One kernel's answer. `reason` is a line for people; `contradiction` is "" where facts agree."""

    feature: Feature
    kernel: str  # as it was asked for
    title: str
    support: Support
    basis: Basis
    reason: str
    program_type: str | None = None
    finding: Finding | None = None
    predicted: Support = Support.UNKNOWN
    contradiction: str = ""
    measured: MeasuredKernel | None = None


def ask(feature: Feature, target: Target, records: Records, program_type: str | None = None) -> Answer:
    """What `target` answers about `feature`, called from `program_type` (short name) where that matters."""
    record = records.get((feature.kind, feature.name))
    if target.measured is None:
        return _documented(feature, target, record, records, program_type)
    kernel = target.measured
    predicted = predict(record, series_of(kernel), records, program_type)
    found = measured_feature(kernel, feature, record)
    finding = found.finding(program_type if feature.kind in _BY_TYPE else None) if found else None
    if finding is None or finding.support is Support.UNKNOWN:
        return _undecided(feature, target, predicted, finding, program_type)
    contradiction = ""
    if predicted.support not in (Support.UNKNOWN, finding.support):
        contradiction = f"{predicted.reason}, yet measured {presence(finding.support)}"
    return Answer(
        feature,
        target.asked,
        target.title,
        finding.support,
        Basis.MEASURED,
        f"measured {presence(finding.support)} on {kernel.date[:10]} ({finding.method}: {finding.evidence})",
        program_type,
        finding,
        predicted.support,
        contradiction,
        kernel,
    )


def measured_feature(
    kernel: MeasuredKernel, feature: Feature, record: Documented | None
) -> MeasuredFeature | None:
    """What the kernel was asked about the feature under any of its names."""
    names = (feature.name, *(record.aliases if record else ()))
    found = (kernel.feature(feature.kind, name) for name in names)
    return next((each for each in found if each is not None), None)


def series_of(kernel: MeasuredKernel) -> Series:
    """The upstream series a measured kernel is of."""
    return kernel.version.major, kernel.version.minor


def predict(
    record: Documented | None, series: Series, records: Records, program_type: str | None = None
) -> Prediction:
    """What the documents say of an upstream series; unknown where they say nothing."""
    if record is None:
        return Prediction(Support.UNKNOWN, "not documented")
    since = f"documented since {record.since}"
    if series < number(record.since):
        return Prediction(Support.NO, since)
    if record.removed and series >= number(record.removed):
        return Prediction(Support.NO, f"documented from {record.since}, removed in {record.removed}")
    if any(series == number(gap) for gap in record.absent_in):
        return Prediction(Support.NO, f"{since}, but not in {', '.join(record.absent_in)}")
    if program_type is None or record.kind not in _BY_TYPE:
        return Prediction(Support.YES, since)
    return _by_type(record, series, records, program_type)


def _by_type(record: Documented, series: Series, records: Records, program_type: str) -> Prediction:
    if program_type in record.program_types_measured:
        return _unlisted(record, series, program_type)
    if program_type in record.program_types_disputed:
        text = f"only bcc's list says that {program_type} programs may call it"
        return Prediction(Support.UNKNOWN, text)
    until = record.program_types_until.get(program_type)
    if until:
        gone = series >= number(until)
        text = f"documented for {program_type} programs from {record.since} until {until}"
        return Prediction(Support.NO if gone else Support.YES, text)
    if program_type not in record.program_types:
        # The lists of kfuncs are from one source, so a type that is not in them tells nothing.
        # No source lists any of programs that replace another, which may call what that one may.
        sure = record.kind is FeatureKind.HELPER and bool(record.program_types) and program_type != _REPLACES
        text = f"documented since {record.since}, not documented for {program_type} programs"
        return Prediction(Support.NO if sure else Support.UNKNOWN, text)
    since = max(_type_since(record, records, program_type), key=number)
    text = f"documented for {program_type} programs since {since}"
    return Prediction(Support.NO if series < number(since) else Support.YES, text)


def _unlisted(record: Documented, series: Series, program_type: str) -> Prediction:
    """A program type that no source lists and a measured kernel has; older kernels may have it as well."""
    first = record.program_types_measured[program_type]
    there = series >= number(first)
    text = f"no source names {program_type} programs, measured from {first} on"
    return Prediction(Support.YES if there else Support.UNKNOWN, text)


def _type_since(record: Documented, records: Records, program_type: str) -> tuple[str, str]:
    itself = records.get((FeatureKind.PROGRAM_TYPE, f"BPF_PROG_TYPE_{program_type.upper()}"))
    called = record.program_types_since.get(program_type, record.since)
    return called, itself.since if itself else called


def number(version: str) -> Series:
    """`5.8` as numbers that compare."""
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def presence(support: Support) -> str:
    """How a measured answer is said."""
    return {Support.YES: "present", Support.NO: "absent"}.get(support, "unknown")


def overall(answers: Iterable[Answer]) -> Support:
    """The answer about several kernels: no if one of them lacks it, yes only if all have it."""
    given = [answer.support for answer in answers]
    if Support.NO in given:
        return Support.NO
    return Support.YES if given and all(each is Support.YES for each in given) else Support.UNKNOWN


def _undecided(
    feature: Feature,
    target: Target,
    predicted: Prediction,
    finding: Finding | None,
    program_type: str | None,
) -> Answer:
    """A kernel that was measured, but not about this: the documents predict."""
    asked = "asked, and nothing decided" if finding else "not asked about it"
    evidence = f" ({finding.evidence})" if finding and finding.evidence else ""
    basis = Basis.NOTHING if predicted.support is Support.UNKNOWN else Basis.DOCUMENTED
    return Answer(
        feature,
        target.asked,
        target.title,
        predicted.support,
        basis,
        f"{predicted.reason}; when this kernel was measured it was {asked}{evidence}",
        program_type,
        finding,
        predicted.support,
        measured=target.measured,
    )


def _documented(
    feature: Feature,
    target: Target,
    record: Documented | None,
    records: Records,
    program_type: str | None,
) -> Answer:
    if not target.series:
        reason = f"never measured, and the name says no version; bpfmatrix features --kernel {target.asked}"
        return Answer(
            feature, target.asked, target.title, Support.UNKNOWN, Basis.NOTHING, reason, program_type
        )
    found = {each: predict(record, each, records, program_type) for each in target.series}
    support, reason = _joined(found)
    if support is Support.NO and target.backports:
        support = Support.UNKNOWN
        reason += "; a distribution that takes features of later versions"
    near = f" (measured in this series: {target.near})" if target.near else ""
    reason += f"; never measured{near}"
    basis = Basis.NOTHING if support is Support.UNKNOWN else Basis.DOCUMENTED
    return Answer(
        feature, target.asked, target.title, support, basis, reason, program_type, predicted=support
    )


def _joined(found: dict[Series, Prediction]) -> tuple[Support, str]:
    """One answer for all series of a range: no if some lack it, and which."""
    supports = {prediction.support for prediction in found.values()}
    reasons = tuple(dict.fromkeys(prediction.reason for prediction in found.values()))
    if len(supports) == 1:
        return supports.pop(), "; ".join(reasons)
    missing = _those(found, Support.NO)
    if missing:
        return Support.NO, f"{reasons[0]}; missing in {series_text(missing)}"
    return Support.UNKNOWN, f"{'; '.join(reasons)}; unknown in {series_text(_those(found, Support.UNKNOWN))}"


def _those(found: dict[Series, Prediction], support: Support) -> Sequence[Series]:
    return [series for series, prediction in found.items() if prediction.support is support]
