"""What a manifest expects of a case, and how the measured verdict compares with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from harness.catalog.selection import selects
from harness.model import (
    BuildFailure,
    Compiler,
    Expectation,
    Expected,
    GuestFacts,
    KernelVersion,
    Observation,
    Outcome,
    Program,
    Variant,
    Verdict,
    VerdictKind,
)
from harness.scenario import Behaviour, CheckResult
from harness.verdict.behaviour import behaviour_of, concerns, failed_words
from harness.verdict.causes import LACKS_CLAIM
from harness.verdict.text import one_line

_SEARCHED = 1 << 18  # characters of each log a message pattern is searched in, from the end


def expected_for(
    program: Program,
    variant: Variant,
    version: KernelVersion,
    facts: GuestFacts | None,
    compiler: Compiler | None = None,
) -> Expected | None:
    """Return the first of the program's expectations whose conditions all hold, None if there is none.

    `facts` is None where no guest told them (a kernel that did not boot), `compiler` for an object nobody
    here compiled; an entry that `needs` something of either is passed over then, as nobody knows whether
    it holds. Who is accepted and checked is expected to behave, where the manifest does not say otherwise.
    """
    for entry in program.expectations:
        if version in entry.kernels and selects(entry.when, variant.values) and _met(entry, facts, compiler):
            return _with_behaviour(entry.expected, variant, version)
    return None


def _with_behaviour(expected: Expected, variant: Variant, version: KernelVersion) -> Expected:
    checked = any(concerns(check, version) for check in variant.checks)
    if expected.verdict is not VerdictKind.ACCEPT or expected.behaviour is not None or not checked:
        return expected
    return replace(expected, behaviour=Behaviour.BEHAVES)


def judge(
    verdict: Verdict,
    seen: Observation | BuildFailure | str | None,
    expected: Expected | None,
    checks: Sequence[CheckResult] = (),
) -> tuple[Outcome, str]:
    """Compare; return the outcome and, unless it is as expected, one readable line of why.

    `seen` is where `expected.message` is searched (as a regular expression), beside the verdict's message.
    `checks` are the measured ones of an accepted case.
    """
    if verdict.abnormal is not None:
        wanted = f", expected {describe_expected(expected)}" if expected else ""
        return verdict.abnormal, one_line(f"{verdict.abnormal.value}: {verdict.message}{wanted}", 400)
    if verdict.kind is VerdictKind.NONE:
        outcome = Outcome.UNEXPECTED if verdict.cause == LACKS_CLAIM else Outcome.NOT_RUN
        return outcome, one_line(verdict.message, 400) or "not run"
    if expected is None:
        return Outcome.NO_EXPECTATION, ""
    other = verdict.kind is not expected.verdict
    if difference := _difference(verdict, expected) if other else _behaves_otherwise(expected, checks):
        return Outcome.UNEXPECTED, difference
    change = _change(verdict, seen, expected)
    return (Outcome.CHANGED, change) if change else (Outcome.AS_EXPECTED, "")


def describe_expected(expected: Expected) -> str:
    """Say `accept`, or `reject at load with EINVAL` with as much of it as the manifest names."""
    text = _describe(expected.verdict, expected.stage and expected.stage.value, expected.errno)
    return f"{text}, {expected.behaviour.value}" if expected.behaviour else text


def describe_verdict(verdict: Verdict, behaviour: Behaviour | None = None) -> str:
    """Say `accept`, `accept, misbehaves`, `reject at load with EACCES`, `crash` and the like."""
    if verdict.abnormal is not None:
        return verdict.abnormal.value
    text = _describe(verdict.kind, verdict.stage and verdict.stage.value, verdict.errno)
    return f"{text}, {behaviour.value}" if behaviour else text


def _describe(kind: VerdictKind, stage: str | None, errno: str | None) -> str:
    if kind is VerdictKind.NONE:
        return "not run"
    if kind is VerdictKind.ACCEPT:
        return kind.value
    return kind.value + (f" at {stage}" if stage else "") + (f" with {one_line(errno, 20)}" if errno else "")


def _difference(verdict: Verdict, expected: Expected) -> str:
    detail = f" ({verdict.message})" if verdict.message else ""
    return one_line(f"expected {describe_expected(expected)}, got {describe_verdict(verdict)}{detail}", 400)


def _behaves_otherwise(expected: Expected, checks: Sequence[CheckResult]) -> str:
    """Say how the behaviour differs from the expected one, "" when it does not.

    Checks that are there are expected to hold unless the expectation says they are known not to.
    """
    behaviour = behaviour_of(checks)
    if behaviour is None or expected.verdict is not VerdictKind.ACCEPT:
        return ""
    wanted = expected.behaviour or Behaviour.BEHAVES
    if behaviour is wanted:
        return ""
    failed = failed_words(checks, 340)
    return f"expected {wanted.value}, got {behaviour.value}" + (f": {failed}" if failed else "")


def _change(verdict: Verdict, seen: Observation | BuildFailure | str | None, expected: Expected) -> str:
    """Say what differs although the verdict is the expected one: stage, errno or message; "" if nothing."""
    elsewhere = expected.stage not in (None, verdict.stage) or expected.errno not in (None, verdict.errno)
    if verdict.kind is VerdictKind.REJECT and elsewhere:
        return _difference(verdict, expected)
    if expected.message and not _said(expected.message, verdict, seen):
        got = verdict.message or "no message"
        return one_line(f"expected a message matching {expected.message!r}, got: {got}", 400)
    return ""


def _met(entry: Expectation, facts: GuestFacts | None, compiler: Compiler | None) -> bool:
    return all(_holds(need, facts, compiler) for need in entry.needs)


def _holds(need: str, facts: GuestFacts | None, compiler: Compiler | None) -> bool:
    kind, _, major = need.removeprefix("!").partition(".")
    if kind == "clang":
        return compiler is not None and (compiler.major >= int(major)) is not need.startswith("!")
    return facts is not None and facts.has(need)


def _said(pattern: str, verdict: Verdict, seen: Observation | BuildFailure | str | None) -> bool:
    texts = [verdict.message]
    if isinstance(seen, Observation):
        texts += [seen.verifier_log[-_SEARCHED:], seen.loader_log[-_SEARCHED:]]
        texts += [step.message[-_SEARCHED:] for step in seen.steps]
    elif isinstance(seen, BuildFailure):
        texts.append(seen.message[-_SEARCHED:])
    elif seen:
        texts.append(seen[-_SEARCHED:])
    return any(re.search(pattern, text, re.MULTILINE) for text in texts)
