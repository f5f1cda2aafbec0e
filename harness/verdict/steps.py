"""Steps and their results in words, for messages, reports and logs. Pure."""

from __future__ import annotations

from harness.scenario import Step, StepOp, StepResult, number_names
from harness.verdict.text import one_line

_SHOWN_BYTES = 16


def step_words(step: Step) -> str:
    """Say what a step does in one line: `attach on_enter to kprobe:do_unlinkat`, `trigger mkdirat /tmp/x`."""
    words = [step.op.name.lower(), step.name]
    if step.op is StepOp.ATTACH and step.args:
        words.append("to")
    words += step.args
    if step.fact:
        words.append(f"to the fact {step.fact}")
    if step.op in (StepOp.PERF_OPEN, StepOp.FILL) or step.count > 1:
        words.append(f"{step.count} pages" if step.op is StepOp.PERF_OPEN else f"{step.count} times")
    return one_line(" ".join(word for word in words if word), 160)


def result_words(step: Step, result: StepResult) -> str:
    """Say what a step gave in one line: `records 3, bytes 24, 3 values: 01 00 …`, `ENOENT: no such map`."""
    if result.errno:
        return one_line(f"{result.errno}: {result.message}" if result.message else result.errno, 300)
    parts = [f"{name} {number}" for name, number in numbers_of(step, result).items()]
    if result.values:
        many = f"{len(result.values)} values, the first" if len(result.values) > 1 else "value"
        parts.append(f"{many} {_value_words(result.values[0])}")
    if result.message:
        parts.append(result.message)
    return one_line(", ".join(parts) or "done", 300)


def numbers_of(step: Step | None, result: StepResult) -> dict[str, int]:
    """Name the numbers of a result; those nobody has a name for are called by their place."""
    names = number_names(step.op, step.name) if step is not None else ()
    return {
        names[index] if index < len(names) else str(index): number
        for index, number in enumerate(result.numbers)
    }


def _value_words(value: bytes) -> str:
    number = f"{int.from_bytes(value, 'little')} = " if len(value) in (1, 2, 4, 8) else ""
    return number + hex_words(value)


def hex_words(value: bytes, shown: int = _SHOWN_BYTES) -> str:
    """Write bytes as `61 62 00`; of a long value the beginning and how many there are."""
    if not value:
        return "empty"
    text = value[:shown].hex(" ")
    return text if len(value) <= shown else f"{text} … ({len(value)} bytes)"
