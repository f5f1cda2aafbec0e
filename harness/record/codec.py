"""Runs to plain JSON values and back, without loss. The only place that knows both shapes.

`docs/run-file.md` documents the fields for readers that are not this program.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from harness.model import (
    CaseResult,
    Expected,
    KernelRun,
    MapCreated,
    Observation,
    ObservationStatus,
    Outcome,
    ProgramInfo,
    Run,
    Stage,
    Verdict,
    VerdictKind,
)
from harness.record.advicecodec import advice_from_json, advice_to_json
from harness.record.scenariocodec import (
    check_from_json,
    check_to_json,
    result_from_json,
    results_to_json,
    step_from_json,
    step_to_json,
)
from harness.scenario import Behaviour

Json = dict[str, Any]


def run_to_json(run: Run) -> Json:
    """Return the `run` object of a run file: everything but kernels, programs and cases."""
    return {
        "id": run.id,
        "start": run.start,
        "end": run.end,
        "host": run.host,
        "tools": dict(run.tools),
        "partial": run.partial,
        "command": run.command,
        "repeat": run.repeat,
        "harness": run.harness,
    }


def kernel_to_json(kernel: KernelRun) -> Json:
    """Return an item of `kernels`."""
    return asdict(kernel)


def program_to_json(program: ProgramInfo) -> Json:
    """Return an item of `programs`."""
    return {
        "name": program.name,
        "path": program.path,
        "title": program.title,
        "pitfall": program.pitfall,
        "note": program.note,
        "claim": program.claim,
        "advice": advice_to_json(program.advice),
    }


def program_from_json(raw: Mapping[str, Any]) -> ProgramInfo:
    """Rebuild it; a file of an older version has no advice."""
    known = _known(ProgramInfo, raw)
    return ProgramInfo(**known | {"advice": advice_from_json(raw.get("advice"))})


def case_to_json(case: CaseResult) -> Json:
    """Return an item of `cases`, with the source text in it (a run file keeps each text once instead)."""
    seen = case.observation
    return {
        "id": case.id,
        "program": case.program,
        "variant": case.variant,
        "kernel": case.kernel,
        "compiler": case.compiler,
        "loader": case.loader,
        "verdict": case.verdict.kind.value,
        "stage": _value(case.verdict.stage),
        "errno": case.verdict.errno,
        "cause": case.verdict.cause,
        "message": case.verdict.message,
        "abnormal": _value(case.verdict.abnormal),
        "outcome": case.outcome.value,
        "reason": case.reason,
        "flaky": case.flaky,
        "answers": list(case.answers),
        "expected": _expected_to_json(case.expected),
        "insns_processed": seen.insns_processed if seen else None,
        "kernel_time_us": seen.kernel_time_us if seen else None,
        "log": seen.verifier_log if seen else case.build_log,
        "loader_log": seen.loader_log if seen else "",
        "pitfall": case.pitfall,
        "title": case.title,
        "axes": dict(case.axes),
        "source": case.source,
        "object_sha256": case.object_sha256,
        "source_sha256": case.source_sha256,
        "slow": case.slow,
        "observation": _observation_to_json(seen) if seen else None,
        "behaviour": _value(case.behaviour),
        "checks": [check_to_json(check) for check in case.checks],
        "scenario": [step_to_json(step) for step in case.scenario],
        "steps": results_to_json(seen.steps if seen else (), case.scenario),
    }


def case_from_json(raw: Mapping[str, Any]) -> CaseResult:
    """Rebuild a case from `case_to_json`'s result; KeyError or ValueError when it is not one."""
    seen = raw["observation"]
    return CaseResult(
        id=raw["id"],
        program=raw["program"],
        variant=raw["variant"],
        kernel=raw["kernel"],
        compiler=raw["compiler"],
        loader=raw["loader"],
        verdict=Verdict(
            kind=VerdictKind(raw["verdict"]),
            stage=_stage(raw["stage"]),
            errno=raw["errno"],
            cause=raw["cause"],
            message=raw["message"],
            abnormal=Outcome(raw["abnormal"]) if raw["abnormal"] is not None else None,
        ),
        outcome=Outcome(raw["outcome"]),
        expected=_expected_from_json(raw["expected"]),
        observation=_observation_from_json(raw, seen) if seen is not None else None,
        pitfall=raw["pitfall"],
        title=raw["title"],
        axes=MappingProxyType(dict(raw["axes"])),
        source=raw["source"],
        object_sha256=raw["object_sha256"],
        source_sha256=raw.get("source_sha256", ""),
        slow=raw["slow"],
        reason=raw["reason"],
        build_log=raw["log"] if seen is None else "",
        answers=tuple(raw.get("answers", ())),
        scenario=tuple(step_from_json(step) for step in raw.get("scenario", ())),
        behaviour=_behaviour(raw.get("behaviour")),
        checks=tuple(check_from_json(check) for check in raw.get("checks", ())),
    )


def run_from_json(raw: Mapping[str, Any]) -> Run:
    """Rebuild a run from a whole run file's data (sources put back into the cases already)."""
    head = raw["run"]
    return Run(
        id=head["id"],
        start=head["start"],
        end=head["end"],
        host=head["host"],
        tools=MappingProxyType(dict(head["tools"])),
        kernels=tuple(KernelRun(**_known(KernelRun, item)) for item in raw["kernels"]),
        cases=tuple(case_from_json(item) for item in raw["cases"]),
        partial=head["partial"],
        programs=tuple(program_from_json(item) for item in raw.get("programs", ())),
        command=head.get("command", ""),
        repeat=head.get("repeat", 1),
        harness=head.get("harness", ""),
    )


def _known(kind: type[KernelRun] | type[ProgramInfo], raw: Mapping[str, Any]) -> Json:
    """Drop keys this version does not know; a file of the same schema version may have more."""
    return {key: value for key, value in raw.items() if key in kind.__dataclass_fields__}


def _value(item: Stage | Outcome | Behaviour | None) -> str | None:
    return item.value if item is not None else None


def _stage(name: str | None) -> Stage | None:
    return Stage(name) if name is not None else None


def _behaviour(name: str | None) -> Behaviour | None:
    return Behaviour(name) if name is not None else None


def _expected_to_json(expected: Expected | None) -> Json | None:
    if expected is None:
        return None
    return {
        "verdict": expected.verdict.value,
        "stage": _value(expected.stage),
        "errno": expected.errno,
        "message": expected.message,
        "unmeasured": expected.unmeasured,
        "why": expected.why,
        "behaviour": _value(expected.behaviour),
    }


def _expected_from_json(raw: Mapping[str, Any] | None) -> Expected | None:
    if raw is None:
        return None
    return Expected(
        verdict=VerdictKind(raw["verdict"]),
        stage=_stage(raw["stage"]),
        errno=raw["errno"],
        message=raw["message"],
        unmeasured=raw["unmeasured"],
        why=raw["why"],
        behaviour=_behaviour(raw.get("behaviour")),
    )


def _observation_to_json(seen: Observation) -> Json:
    """Return what the case's own keys (log, loader_log, insns_processed, kernel_time_us) do not say."""
    return {
        "status": seen.status.value,
        "stage": _value(seen.stage),
        "errno": seen.errno,
        "log_truncated": seen.log_truncated,
        "log_level": seen.log_level,
        "total_states": seen.total_states,
        "peak_states": seen.peak_states,
        "bpf_time_us": seen.bpf_time_us,
        "maps": [asdict(created) for created in seen.maps],
        "fixups": list(seen.fixups),
        "kernel_messages": list(seen.kernel_messages),
        "console_tail": seen.console_tail,
        "wall_us": seen.wall_us,
        "guest_us": seen.guest_us,
        "note": seen.note,
    }


def _observation_from_json(case: Mapping[str, Any], raw: Mapping[str, Any]) -> Observation:
    return Observation(
        status=ObservationStatus(raw["status"]),
        stage=_stage(raw["stage"]),
        errno=raw["errno"],
        verifier_log=case["log"],
        log_truncated=raw["log_truncated"],
        log_level=raw["log_level"],
        loader_log=case["loader_log"],
        insns_processed=case["insns_processed"],
        total_states=raw["total_states"],
        peak_states=raw["peak_states"],
        kernel_time_us=case["kernel_time_us"],
        bpf_time_us=raw["bpf_time_us"],
        maps=tuple(MapCreated(**created) for created in raw["maps"]),
        fixups=tuple(raw["fixups"]),
        kernel_messages=tuple(raw["kernel_messages"]),
        console_tail=raw["console_tail"],
        wall_us=raw["wall_us"],
        guest_us=raw.get("guest_us"),
        note=raw["note"],
        steps=tuple(result_from_json(step) for step in case.get("steps", ())),
    )
