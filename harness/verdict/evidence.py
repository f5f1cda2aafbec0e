"""What a rejection leaves behind, gathered for the rules: words and facts."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.model import BuildFailure, LoadSettings, MapCreated, Observation, Stage
from harness.scenario import Step, StepOp, StepResult
from harness.verdict.causes import Evidence
from harness.verdict.loaderlog import take_apart
from harness.verdict.logparse import btf_reason, parse
from harness.verdict.steps import step_words
from harness.verdict.text import one_line

_LOADER_TAIL = 1 << 14  # characters; libbpf says what failed in its last lines
_PAGE = 4096  # bytes; every architecture here
_RINGBUFS = frozenset({"ringbuf", "user_ringbuf"})
# Loaders repeat a failure for the program and the object; those lines say no more than the errno does.
_ECHO = re.compile(
    r"raw loader: program '.*': BPF_PROG_LOAD: "
    r"|libbpf: (?:failed to load (?:object|program)|BTF loading error: "
    r"|.*Retrying without BTF|.*BTF is optional, ignoring"
    r"|prog '.*': (?:failed to load: |BPF program load failed: |failed to prepare load attributes))"
)
_COMPILER = re.compile(
    r"^(?P<file>[^\n:]+):(?P<line>\d+):\d+: (?:fatal )?error: (?P<text>.*)$|^(?:fatal )?error: (?P<bare>.*)$",
    re.MULTILINE,
)
_STEP_STAGES = (Stage.ATTACH, Stage.RUN)
# What a scenario changed around the case, where that is the likeliest reason of a refusal.
_FACT_OF_ENV = {
    "drop_caps": "capabilities_reduced",
    "unprivileged": "capabilities_reduced",
    "lockdown_integrity": "locked_down",
    "lockdown_confidentiality": "locked_down",
}
_MAPS_OF_A_PROGRAM = 64  # MAX_USED_MAPS, include/linux/bpf_verifier.h
_DIRECTORY = re.compile(r"[^\s:]*/")


def of_observation(
    observation: Observation, settings: LoadSettings | None = None, scenario: Sequence[Step] = ()
) -> Evidence:
    """Gather stage, errno, reasons and loader's log; facts about the failing map and the limits of the case.

    The map counts only where map creation failed, the verifier's log only where the verifier ran, and the
    step that failed only where one was under way.
    """
    parsed = parse(observation.verifier_log) if observation.stage is Stage.LOAD else None
    reasons = list(parsed.reasons) if parsed else []
    if parsed and parsed.title:
        reasons.append(parsed.title)
    if observation.stage is Stage.BTF_LOAD:
        reasons.append(btf_reason(observation.verifier_log))
    facts = _map_facts(failed_map(observation)) if observation.stage is Stage.MAP_CREATE else set()
    if parsed is None or not parsed.reasons:
        facts.add("silent")
    if len(observation.maps) > _MAPS_OF_A_PROGRAM:
        facts.add("many_maps")
    facts |= _surrounding_facts(settings, scenario)
    if observation.stage in _STEP_STAGES:
        reasons.append(_step_said(observation, scenario))
    text = "\n".join([*reasons, _loader_words(observation.loader_log)])
    return Evidence(observation.stage, observation.errno, text, frozenset(facts))


def _surrounding_facts(settings: LoadSettings | None, scenario: Sequence[Step]) -> set[str]:
    """What the case was kept from, by its settings and by its scenario's surroundings."""
    changed = {step.name for step in scenario if step.op is StepOp.ENV}
    facts = {fact for name, fact in _FACT_OF_ENV.items() if name in changed}
    if settings and settings.memlock is not None:
        facts.add("memlock_limited")
    if settings and settings.capabilities is not None:
        facts.add("capabilities_reduced")
    return facts


def of_failure(failure: BuildFailure) -> Evidence:
    """Gather stage, errno and the tool's message."""
    return Evidence(failure.stage, failure.errno, failure.message[: 4 * _LOADER_TAIL], frozenset({"silent"}))


def failed_map(observation: Observation) -> MapCreated | None:
    """Return the map whose creation was refused; the last one, as a loader tries again without BTF."""
    return next((created for created in reversed(observation.maps) if created.errno), None)


def message_of_observation(observation: Observation, scenario: Sequence[Step] = ()) -> str:
    """Say in one line what decided: the verifier's reason, the refused map, the step, or the loader."""
    if observation.stage in _STEP_STAGES and (said := _step_said(observation, scenario)):
        return one_line("; ".join(said.split("\n")))
    if observation.stage is Stage.LOAD and (reason := parse(observation.verifier_log).reason):
        return reason
    if observation.stage is Stage.BTF_LOAD and (reason := btf_reason(observation.verifier_log)):
        return reason
    refused = failed_map(observation) if observation.stage is Stage.MAP_CREATE else None
    if refused is not None:
        return one_line(
            f"map {refused.name!r} ({refused.type}, key {refused.key_size}, value {refused.value_size}, "
            f"max_entries {refused.max_entries}): {refused.errno}"
        )
    return _loader_line(observation.loader_log) or f"{observation.errno or 'failure'}, and no reason given"


def message_of_failure(failure: BuildFailure) -> str:
    """Return the first error of a compiler with its line, without directories, else the first line."""
    found = _COMPILER.search(failure.message)
    if found is None:
        return one_line(next((line for line in failure.message.split("\n") if line.strip()), "no message"))
    if found["bare"] is not None:
        return one_line(f"error: {_DIRECTORY.sub('', found['bare'])}")
    name = found["file"].rsplit("/", 1)[-1]
    return one_line(f"{name}:{found['line']}: {found['text']}")


def failed_step(observation: Observation) -> StepResult | None:
    """Return the result of the step the case ended at: the last one, where that failed."""
    last = observation.steps[-1] if observation.steps else None
    return last if last is not None and last.errno else None


def _step_said(observation: Observation, scenario: Sequence[Step]) -> str:
    """Say which step failed, and in whose words: `step 3, attach p to kprobe:x: …`, then libbpf's lines."""
    failed = failed_step(observation)
    if failed is None:
        return ""
    known = 0 <= failed.index < len(scenario)
    what = f", {step_words(scenario[failed.index])}" if known else ""
    said = failed.message or _loader_line(observation.loader_log) or failed.errno or ""
    return f"step {failed.index + 1}{what}: {said}"


def _loader_words(log: str) -> str:
    """Return the loader's own lines; listings it pasted are none of its words."""
    return "\n".join(take_apart(log[-_LOADER_TAIL:].split("\n")).words)


def _loader_line(log: str) -> str:
    lines = [line for line in _loader_words(log).split("\n") if line.strip() and not _ECHO.match(line)]
    return one_line(lines[-1]) if lines else ""


def _map_facts(refused: MapCreated | None) -> set[str]:
    if refused is None:
        return set()
    facts = set()
    entries = refused.max_entries
    if refused.type in _RINGBUFS:
        valid = entries >= _PAGE and entries & (entries - 1) == 0
        facts.add("ringbuf_size_valid" if valid else "ringbuf_size_invalid")
    elif entries == 0:
        facts.add("zero_entries")
    if refused.type.startswith("type "):
        facts.add("unknown_map_type")
    return facts
