"""What the subcommands share: the run's options in click's form, and statuses."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from harness.model import HOST, Outcome, Run
from harness.options import OPTIONS, Choice, Option
from harness.record.changes import Thresholds

COMMAND = "bpfmatrix.command"  # key in click's context: the command line as typed
INTERRUPTED = -1  # a subcommand's answer for "ended by a signal"; main() knows which one
_DIFFERENT = frozenset(Outcome) - {Outcome.AS_EXPECTED, Outcome.NO_EXPECTATION, Outcome.NOT_RUN}


def takes_choice(*keys: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options of `keys` and call it with one `Choice` in their place."""
    options = [option for option in OPTIONS if option.key in keys]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(**values: Any) -> Any:
            given = {option.key: values.pop(option.key) for option in options}
            if "out" in given:
                given["out"] = Path(given["out"])
            return function(choice=Choice(**given), **values)

        command: Callable[..., Any] = wrapper
        for option in reversed(options):
            command = _click_option(option)(command)
        return command

    return decorate


def takes_thresholds(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of when a number is worse, and call it with `thresholds` in their place."""
    usual = Thresholds()

    @functools.wraps(command)
    def wrapper(*, insns: tuple[float, int], times: tuple[float, float], **values: Any) -> Any:
        return command(thresholds=Thresholds(*insns, times[0], round(times[1] * 1000)), **values)

    found: Callable[..., Any] = wrapper
    found = click.option(
        "--time",
        "times",
        type=(click.FloatRange(0), click.FloatRange(0)),
        default=(usual.time_percent, usual.time_floor_us / 1000),
        show_default=True,
        metavar="PERCENT MS",
        help="From which growth on a verification time is worse: beyond both.",
    )(found)
    return click.option(
        "--insns",
        type=(click.FloatRange(0), click.IntRange(0)),
        default=(usual.insns_percent, usual.insns_floor),
        show_default=True,
        metavar="PERCENT COUNT",
        help="From which growth on an instruction count is worse: beyond both.",
    )(found)


def exit_status(run: Run) -> int:
    """Judge a run: 0 as expected, 1 verdicts differ, 3 a guest could not be had, INTERRUPTED when partial.

    A kernel that was asked to be skipped when missing has a problem too, but no release: it was never there.
    A row of the host is not run when its compiler is not installed, which `doctor` calls a problem.
    """
    if run.partial:
        return INTERRUPTED
    if any(kernel.problem and kernel.release for kernel in run.kernels):
        return 3
    missing = {kernel.name for kernel in run.kernels if kernel.problem} | {HOST}
    for case in run.cases:
        if case.outcome in _DIFFERENT or (case.outcome is Outcome.NOT_RUN and case.kernel not in missing):
            return 1
    return 0


def _click_option(option: Option) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    if option.metavar is None:
        return click.option(option.flag, is_flag=True, help=option.help)
    kind = click.Choice(option.choices) if option.choices else None
    metavar = None if option.choices else option.metavar
    return click.option(
        option.flag,
        type=kind,
        metavar=metavar,
        multiple=option.multiple,
        default=None if option.multiple else option.default,
        show_default=option.default is not None,
        help=option.help,
    )
