"""What a check's name stands for in the recorded results: bytes, an errno, or why there is nothing. Pure."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass

from harness.scenario import Step, StepResult
from harness.verdict.steps import hex_words, numbers_of
from harness.verdict.text import one_line

NUMBER_SIZES = (1, 2, 4, 8)
_NUMBER_BYTES = 8
_NARROW = {"retval": 4}  # bpf_attr.test.retval is a __u32 (include/uapi/linux/bpf.h)


@dataclass(frozen=True, slots=True)
class Missing:
    """Why there is nothing to compare."""

    why: str


@dataclass(frozen=True, slots=True)
class Errno:
    """An errno by name; "0" when all went well."""

    name: str


Measured = bytes | Errno | Missing


class Results:
    """The results of one case by the names its steps gave them."""

    def __init__(self, scenario: Sequence[Step], results: Sequence[StepResult]) -> None:
        self._steps = {step.label: (step, index) for index, step in enumerate(scenario) if step.label}
        self._results = {result.index: result for result in results}

    def find(self, name: str) -> Measured:
        """Return what `hits`, `ev.values.3`, `upd.errno` or `ev.records` is; a number as its bytes."""
        label, _, part = name.partition(".")
        if label not in self._steps:
            return Missing(f"nothing: no step is called {label!r}")
        step, index = self._steps[label]
        result = self._results.get(index)
        if result is None:
            return Missing("nothing: the step was not reached")
        if part == "errno":
            return Errno(result.errno or "0")
        if result.errno is not None and not result.values and not result.numbers:
            return Missing(f"nothing: the step failed with {result.errno}")
        return (
            _number(step, result, part) if part and not part.startswith("values.") else _value(result, part)
        )


def number_words(value: bytes, *, signed: bool) -> str:
    """Write the number that `value` is."""
    if len(value) not in NUMBER_SIZES:
        return f"{hex_words(value)}, no number"
    return str(int.from_bytes(value, "little", signed=signed))


def text_words(value: bytes) -> str:
    """Write bytes as the text they are, zeros inside as blanks; what is no text as hexadecimal digits."""
    text = value.rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
    if "\ufffd" in text or not text.isprintable():
        return hex_words(value)
    return f"'{one_line(text, 120)}'"


def shown(measured: Measured) -> str:
    """Write whatever it is."""
    if isinstance(measured, Errno):
        return measured.name
    if isinstance(measured, Missing):
        return measured.why
    return number_words(measured, signed=False) if len(measured) in NUMBER_SIZES else text_words(measured)


def _number(step: Step, result: StepResult, part: str) -> Measured:
    number = numbers_of(step, result).get(part)
    if number is None:
        return Missing(f"nothing: the step gave no {part}")
    if part == "first_errno":
        return Errno(errno.errorcode.get(number, str(number)))
    size = _NARROW.get(part, _NUMBER_BYTES)
    return (number & ((1 << 8 * size) - 1)).to_bytes(size, "little")


def _value(result: StepResult, part: str) -> Measured:
    index = int(part.removeprefix("values.")) if part else 0
    if index < len(result.values):
        return result.values[index]
    if result.omitted:
        return Missing("a value the run file had no room for")
    return Missing(f"nothing: the step gave {len(result.values)} values")
