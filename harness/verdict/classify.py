"""From an observation or build failure to a verdict. Pure, so saved runs can be classified again.

A rejection is named only by rules (`causes.yaml`); EACCES from the verifier is never called a permission
problem, EPERM from memlock never a verifier problem, and what no rule knows is `unclassified`.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.model import (
    BuildFailure,
    LoadSettings,
    Observation,
    ObservationStatus,
    Outcome,
    Stage,
    Verdict,
    VerdictKind,
)
from harness.scenario import Step
from harness.verdict import evidence
from harness.verdict.causes import find_cause
from harness.verdict.splat import splat_lines
from harness.verdict.text import one_line

_DIED = {ObservationStatus.CRASH: Outcome.CRASH, ObservationStatus.HANG: Outcome.HANG}


def interpret(
    observation: Observation, settings: LoadSettings | None = None, scenario: Sequence[Step] = ()
) -> Verdict:
    """Turn what a guest reported into a verdict.

    A splat in the kernel's log outweighs everything: the case is never accepted. `settings` (the case's
    limits and capabilities) tell a memlock EPERM from a missing capability where the log does not;
    `scenario` says in words which step a case ended at.
    """
    if observation.status in _DIED:
        return _dead(observation, _DIED[observation.status])
    splats = splat_lines(observation.kernel_messages)
    if splats:
        return Verdict(
            VerdictKind.NONE,
            observation.stage,
            observation.errno,
            message=splats[0] if len(splats) == 1 else one_line(" ".join(splats[:3])),
            abnormal=Outcome.SPLAT,
        )
    if observation.status is ObservationStatus.LOADED:
        return Verdict(VerdictKind.ACCEPT)
    return Verdict(
        VerdictKind.REJECT,
        observation.stage,
        observation.errno,
        find_cause(evidence.of_observation(observation, settings, scenario)).id,
        evidence.message_of_observation(observation, scenario),
    )


def interpret_failure(failure: BuildFailure) -> Verdict:
    """Turn a failure to render, compile or read an object into a rejection at that stage.

    An object that is not what its manifest claims is no answer of anybody, nor is a compiler that is missing.
    """
    if failure.no_answer and failure.stage is Stage.HOST_COMPILE:
        return Verdict(VerdictKind.NONE, message=evidence.message_of_failure(failure))
    return Verdict(
        VerdictKind.NONE if failure.no_answer else VerdictKind.REJECT,
        failure.stage,
        failure.errno,
        find_cause(evidence.of_failure(failure)).id,
        evidence.message_of_failure(failure),
    )


def _dead(observation: Observation, outcome: Outcome) -> Verdict:
    """Say who ended the case and the console's last line, or the splat in it."""
    tail = observation.console_tail.split("\n")
    splats = splat_lines([*observation.kernel_messages, *tail])
    last = next((line for line in reversed(tail) if line.strip()), "")
    said = splats[0] if splats else one_line(last)
    message = "; ".join(part for part in (observation.note, said) if part)
    return Verdict(
        VerdictKind.NONE, observation.stage, observation.errno, message=one_line(message), abnormal=outcome
    )
