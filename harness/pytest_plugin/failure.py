"""The report of a case that is not as expected: short, with the way to the rest."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from harness.model import CaseResult, Expected, Observation, Origin, Verdict, VerdictKind
from harness.record.atomic import replacing
from harness.record.changes import Change
from harness.scenario import Behaviour
from harness.verdict.behaviour import check_words
from harness.verdict.steps import result_words, step_words
from harness.verdict.text import one_line, visible

SHOWN_LINES = 10


def describe(result: CaseResult, log: Path | None, manifest: Origin | None = None) -> str:
    """Write expected, got, the short cause, the log's end, what was left out and where it is."""
    got = verdict_text(result.verdict, result.behaviour)
    lines = [f"{result.outcome.value}: expected {expected_text(result.expected)}, got {got}"]
    if result.verdict.message:
        lines.append(f"  cause:    {one_line(result.verdict.message)}")
    if result.reason:
        lines.append(f"  reason:   {one_line(result.reason, 500)}")
    lines += _checks(result)
    if manifest is not None:
        lines.append(f"  manifest: {relative(manifest.file)}")
    lines += _log_end(result, log)
    lines.append(f"  again:    pytest {shlex.quote(result.id)}")
    return "\n".join(lines)


def describe_regression(result: CaseResult, log: Path | None, changes: Sequence[Change]) -> str:
    """Write what is worse than the baseline says, what else changed, and how to see or accept it."""
    lines = []
    for change in changes:
        lines.append(f"{change.kind.value}: {one_line(change.before)} → {one_line(change.after)}")
        lines += [f"  why?      {one_line(str(reason))}" for reason in change.reasons]
    if result.verdict.message:
        lines.append(f"  cause:    {one_line(result.verdict.message)}")
    lines += _checks(result)
    lines += _log_end(result, log)
    lines.append(f"  again:    pytest --baseline {shlex.quote(result.id)}")
    words = shlex.quote(result.id.rpartition("@")[0].rpartition("/")[2])
    lines.append(f"  meant?    bpfmatrix baseline update --kernel {shlex.quote(result.kernel)} -k {words}")
    return "\n".join(lines)


def verdict_text(verdict: Verdict, behaviour: Behaviour | None = None) -> str:
    """Write a verdict as `reject at map_create with EINVAL (cause-id)` or `accept, misbehaves`."""
    if verdict.abnormal is not None:
        return verdict.abnormal.value
    if behaviour is not None:
        return f"{verdict.kind.value}, {behaviour.value}"
    return _words(verdict.kind, verdict.stage, verdict.errno) + (
        f" ({verdict.cause})" if verdict.cause else ""
    )


def expected_text(expected: Expected | None) -> str:
    """Write an expectation in the words of `verdict_text`."""
    if expected is None:
        return "nothing (no expectation covers it)"
    text = _words(expected.verdict, expected.stage, expected.errno)
    if expected.behaviour is not None:
        text += f", {expected.behaviour.value}"
    if expected.message:
        text += f", message matching {expected.message!r}"
    return f"{text} (from documentation, not measured)" if expected.unmeasured else text


def relative(file: Path) -> Path:
    """Shorten a path below the working directory."""
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file


def whole_log(result: CaseResult) -> str:
    """Put together everything the kernel, the loader or the compiler wrote about a case."""
    seen = result.observation
    if seen is None:
        return result.build_log
    parts = [
        ("steps", "\n".join(_steps(result, seen))),
        ("verifier", seen.verifier_log),
        ("loader", seen.loader_log),
        ("kernel", "\n".join(seen.kernel_messages)),
        ("console", seen.console_tail),
    ]
    return "".join(f"== {name} ==\n{text.rstrip()}\n" for name, text in parts if text.strip())


def write_log(result: CaseResult, out: Path) -> Path | None:
    """Write the whole log below `out`/logs; None when there is none."""
    text = whole_log(result)
    if not text:
        return None
    path = out / "logs" / f"{safe_name(result.id)}.log"
    with replacing(path) as file:
        file.write(text.encode("utf-8", "backslashreplace").decode())
    return path


def safe_name(case_id: str) -> str:
    """Turn a case id into a file name; ids that would collide or be too long end in a hash."""
    name = re.sub(r"[^A-Za-z0-9.@+_-]+", "-", case_id).strip("-.")
    plain = case_id.replace("/", "-").replace("[", "-").replace("]", "-").replace("-@", "-@")
    if len(name) <= 150 and re.sub(r"-+", "-", plain).strip("-.") == name:
        return name
    return f"{name[:150]}-{sha256(case_id.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def _checks(result: CaseResult) -> list[str]:
    """Say every check that does not hold, and of the others how many there are."""
    failed = [check for check in result.checks if not check.holds]
    lines = [f"  check:    {one_line(check_words(check), 500)}" for check in failed[:SHOWN_LINES]]
    if len(failed) > SHOWN_LINES:
        lines.append(f"            and {len(failed) - SHOWN_LINES} more that do not hold")
    if failed and len(result.checks) > len(failed):
        lines.append(f"            {len(result.checks) - len(failed)} of {len(result.checks)} checks hold")
    return lines


def _steps(result: CaseResult, seen: Observation) -> list[str]:
    """Say what each step of a scenario gave, as far as it came, and every line libbpf wrote meanwhile."""
    lines: list[str] = []
    for given in seen.steps:
        if 0 <= given.index < len(result.scenario):
            step = result.scenario[given.index]
            first = replace(given, message=given.message.partition("\n")[0])
            lines.append(f"{given.index + 1}. {step_words(step)}: {result_words(step, first)}")
        lines += [f"   {line}" for line in given.message.splitlines()[1:]]
    return lines


def _words(kind: VerdictKind, stage: object, errno: str | None) -> str:
    return kind.value + (f" at {stage}" if stage else "") + (f" with {errno}" if errno else "")


def _log_end(result: CaseResult, log: Path | None) -> list[str]:
    if log is None:
        return ["  log:      none"]
    seen = result.observation
    text = (seen.verifier_log or seen.loader_log or seen.console_tail) if seen else result.build_log
    lines = text.rstrip().splitlines()
    total = len(whole_log(result).splitlines())
    shown = lines[-SHOWN_LINES:]
    omitted = total - len(shown)
    return [
        f"  log:      {omitted} of {total} lines omitted; the whole log: {relative(log)}",
        *(f"    | {visible(line)}" for line in shown),
    ]
