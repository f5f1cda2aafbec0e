"""Scenarios, their results and checks to plain JSON values and back, without loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from harness.scenario import CheckResult, Step, StepOp, StepResult
from harness.verdict.steps import numbers_of

Json = dict[str, Any]

_PLAIN = Step(StepOp.LOAD)


def step_to_json(step: Step) -> Json:
    """Return an item of `scenario`; what is as usual is left out."""
    raw: Json = {
        "action": step.op.name.lower(),
        "name": step.name,
        "as": step.label,
        "key": step.key.hex(),
        "value": step.value.hex(),
        "fact": step.fact,
        "flags": step.flags,
        "count": step.count,
        "args": list(step.args),
        "time_limit": step.time_limit_s,
        "may_fail": step.may_fail,
    }
    usual = {"count": _PLAIN.count, "time_limit": _PLAIN.time_limit_s}
    return {key: value for key, value in raw.items() if value != usual.get(key, type(value)())}


def step_from_json(raw: Mapping[str, Any]) -> Step:
    """Rebuild a step; KeyError or ValueError when it is none."""
    return Step(
        op=StepOp[raw["action"].upper()],
        name=raw.get("name", ""),
        label=raw.get("as", ""),
        key=bytes.fromhex(raw.get("key", "")),
        value=bytes.fromhex(raw.get("value", "")),
        fact=raw.get("fact", ""),
        flags=raw.get("flags", 0),
        count=raw.get("count", _PLAIN.count),
        args=tuple(raw.get("args", ())),
        time_limit_s=raw.get("time_limit", _PLAIN.time_limit_s),
        may_fail=raw.get("may_fail", False),
    )


def results_to_json(results: Sequence[StepResult], scenario: Sequence[Step]) -> list[Json]:
    """Return `steps`: what each step gave, with its action and name for readers."""
    return [_result_to_json(result, _step_of(result, scenario)) for result in results]


def _step_of(result: StepResult, scenario: Sequence[Step]) -> Step | None:
    return scenario[result.index] if 0 <= result.index < len(scenario) else None


def _result_to_json(result: StepResult, step: Step | None) -> Json:
    return {
        "step": result.index,
        "action": step.op.name.lower() if step else None,
        "as": step.label if step else "",
        "errno": result.errno,
        "message": result.message,
        "values": [value.hex() for value in result.values],
        "omitted": result.omitted,
        "numbers": numbers_of(step, result),
    }


def result_from_json(raw: Mapping[str, Any]) -> StepResult:
    """Rebuild a step's result; the order of its numbers is that of the object."""
    return StepResult(
        index=raw["step"],
        errno=raw["errno"],
        message=raw["message"],
        values=tuple(bytes.fromhex(value) for value in raw["values"]),
        numbers=tuple(raw["numbers"].values()),
        omitted=raw["omitted"],
    )


def check_to_json(check: CheckResult) -> Json:
    """Return an item of `checks`."""
    return asdict(check)


def check_from_json(raw: Mapping[str, Any]) -> CheckResult:
    """Rebuild a measured check."""
    return CheckResult(raw["value"], raw["want"], raw["got"], raw["holds"], raw["why"])
