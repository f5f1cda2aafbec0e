"""Checks measured: from the recorded results of a scenario's steps to behaves or misbehaves. Pure.

Numbers are little endian, as x86-64 has them. One that is compared with a negative number is read as
signed. A result that is missing never holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from harness.model import KernelVersion, VersionRange
from harness.scenario import Behaviour, Check, CheckKind, CheckResult, Step, StepResult
from harness.verdict.measured import (
    NUMBER_SIZES,
    Errno,
    Measured,
    Missing,
    Results,
    number_words,
    shown,
    text_words,
)
from harness.verdict.steps import hex_words
from harness.verdict.text import one_line

# What a run file keeps of one value and of all values of a step, bytes.
MAX_VALUE = 8192
MAX_VALUES = 16384


def measure(
    scenario: Sequence[Step],
    results: Sequence[StepResult],
    checks: Sequence[Check],
    version: KernelVersion | None = None,
) -> tuple[CheckResult, ...]:
    """Judge the checks that concern this kernel; those with a range of kernels do not without a version."""
    named = Results(scenario, results)
    return tuple(_judged(check, named) for check in checks if concerns(check, version))


def behaviour_of(checks: Sequence[CheckResult]) -> Behaviour | None:
    """Sum up: all hold, or one does not; None where nothing was checked."""
    if not checks:
        return None
    return Behaviour.BEHAVES if all(check.holds for check in checks) else Behaviour.MISBEHAVES


def failed_words(checks: Sequence[CheckResult], limit: int = 300) -> str:
    """Say the checks that do not hold in one line: `hits: expected 3, got 0; and 1 more check`."""
    failed = [check for check in checks if not check.holds]
    if not failed:
        return ""
    others = len(failed) - 1
    more = f"; and {others} more check{'' if others == 1 else 's'}" if others else ""
    return one_line(check_words(failed[0]), limit - len(more)) + more


def check_words(check: CheckResult) -> str:
    """Say one check: `hits: expected 3, got 0 (why)`."""
    why = f" ({check.why})" if check.why else ""
    return f"{check.value}: expected {check.want}, got {check.got}{why}"


def kept(result: StepResult) -> StepResult:
    """Cut the values to what a run file keeps; `omitted` counts the bytes left out."""
    values: list[bytes] = []
    room = MAX_VALUES
    for value in result.values:
        part = value[: min(MAX_VALUE, room)]
        if value and not part:
            break
        values.append(part)
        room -= len(part)
    left_out = sum(map(len, result.values)) - sum(map(len, values))
    if not left_out:
        return result
    return replace(result, values=tuple(values), omitted=result.omitted + left_out)


def concerns(check: Check, version: KernelVersion | None) -> bool:
    """Whether the check asserts anything on a kernel of this version."""
    if check.kernels == "*":
        return True
    return version is not None and version in VersionRange.parse(check.kernels)


def _judged(check: Check, results: Results) -> CheckResult:
    other = results.find(check.want) if check.kind is CheckKind.EQUALS_VALUE else None
    want = _want_words(check, other)
    measured = _piece(check, results.find(check.value))
    if isinstance(measured, Missing):
        return CheckResult(check.value, want, measured.why, False, check.why)
    if isinstance(measured, Errno):
        holds = measured == (other if other is not None else Errno(check.want))
        return CheckResult(check.value, want, measured.name, holds, check.why)
    if check.kind is CheckKind.EQUALS_VALUE:
        return CheckResult(check.value, want, shown(measured), _same(measured, other), check.why)
    holds = _HOLDS[check.kind](check, measured)
    return CheckResult(check.value, want, _got_words(check, measured), holds, check.why)


def _piece(check: Check, measured: Measured) -> Measured:
    """Cut out of the bytes what the check speaks of; big-endian pieces are turned round."""
    if not isinstance(measured, bytes):
        return measured
    size = int(check.type.lstrip("usbe")) // 8 if check.type else 0
    if check.kind is CheckKind.BYTES and check.offset:
        size = len(check.want) // 2
    end = check.offset + size if size else len(measured)
    if end > len(measured) or check.offset > len(measured):
        return Missing(f"{len(measured)} bytes, too few")
    piece = measured[check.offset : end]
    return piece[::-1] if check.type.startswith("be") else piece


def _same(measured: bytes, other: Measured | None) -> bool:
    """Without the zeros at the end: a u32 equals a u64 of its value, a text itself filled up."""
    return isinstance(other, bytes) and measured.rstrip(b"\0") == other.rstrip(b"\0")


def _equals(check: Check, measured: bytes) -> bool:
    return len(measured) in NUMBER_SIZES and number_words(measured, signed=_signed(check)) == check.want


def _in_range(check: Check, measured: bytes) -> bool:
    if len(measured) not in NUMBER_SIZES:
        return False
    number = int.from_bytes(measured, "little", signed=_signed(check))
    above = check.at_least is None or number >= check.at_least
    return above and (check.at_most is None or number <= check.at_most)


def _signed(check: Check) -> bool:
    bounds = (check.at_least or 0, check.at_most or 0)
    return check.type.startswith("s") or check.want.startswith("-") or min(bounds) < 0


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


_HOLDS: Mapping[CheckKind, Callable[[Check, bytes], bool]] = {
    CheckKind.EQUALS: _equals,
    CheckKind.RANGE: _in_range,
    CheckKind.TEXT: lambda check, measured: measured.partition(b"\0")[0] == _encoded(check.want),
    CheckKind.BYTES: lambda check, measured: measured == bytes.fromhex(check.want),
    CheckKind.CONTAINS_TEXT: lambda check, measured: _encoded(check.want) in measured,
}


def _want_words(check: Check, other: Measured | None) -> str:
    if other is not None:
        return f"the same as {check.want} ({shown(other)})"
    match check.kind:
        case CheckKind.RANGE:
            bounds = ((check.at_least, "at least"), (check.at_most, "at most"))
            return ", ".join(f"{words} {bound}" for bound, words in bounds if bound is not None)
        case CheckKind.TEXT:
            return f"'{one_line(check.want, 120)}'"
        case CheckKind.BYTES:
            return hex_words(bytes.fromhex(check.want))
        case CheckKind.CONTAINS_TEXT:
            return f"'{one_line(check.want, 120)}' in it"
    return check.want


def _got_words(check: Check, measured: bytes) -> str:
    match check.kind:
        case CheckKind.TEXT:
            return text_words(measured.partition(b"\0")[0])
        case CheckKind.CONTAINS_TEXT:
            return text_words(measured)
        case CheckKind.BYTES:
            return hex_words(measured)
    return number_words(measured, signed=_signed(check))
