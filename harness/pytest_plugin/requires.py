"""`@pytest.mark.bpf_requires("bpf_loop", program_type="xdp")`: a test that needs what not every kernel has.

It is skipped on the kernels that measurably lack the feature, and fails where the facts do not tell: nobody
measured the kernel, and the documents predict that it lacks the feature or say nothing. `docs/check.md`
describes it for those who write tests.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pytest

from harness.errors import HarnessError, UserError
from harness.execute import not_run
from harness.features import Answer, Basis, Support, answers
from harness.model import HOST
from harness.options import Choice, wanted_kernels
from harness.pytest_plugin.items import CaseItem

MARKER = "bpf_requires"
PARAMETER = "bpf_kernel"
RUNNING = "running"  # a marker's kernel=…: the kernel the tests run on
_DESCRIPTION = (
    f"{MARKER}(name, *names, program_type=None, kernel=None, unknown=None): skip where the kernel measurably "
    "lacks a BPF feature, fail where the facts do not tell (docs/check.md)"
)


class Unknown(StrEnum):
    """What becomes of a test where no measurement decides."""

    FAIL = "fail"
    RUN = "run"
    SKIP = "skip"
    DOCUMENTED = "documented"  # go by the documented version; where there is none, fail


class Decision(StrEnum):
    """What is done with a test."""

    RUN = "run"
    SKIP = "skip"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Requirement:
    """What one marker asks for."""

    names: tuple[str, ...]
    program_type: str | None = None
    kernel: str | None = None
    unknown: Unknown | None = None

    @classmethod
    def of(cls, mark: pytest.Mark) -> Requirement:
        """Raise UserError for arguments the marker does not have."""
        known = {"program_type", "kernel", "unknown"}
        wrong = sorted(set(mark.kwargs) - known)
        if wrong or not mark.args or not all(isinstance(name, str) for name in mark.args):
            what = f"it has no argument {wrong[0]!r}" if wrong else "it needs names of features"
            raise UserError(f"@pytest.mark.{MARKER}: {what}", hint=_DESCRIPTION)
        unknown = mark.kwargs.get("unknown")
        if unknown is not None and unknown not in frozenset(Unknown):
            raise UserError(f"@pytest.mark.{MARKER}: unknown={unknown!r}; valid: {', '.join(Unknown)}")
        return cls(
            mark.args,
            mark.kwargs.get("program_type"),
            mark.kwargs.get("kernel"),
            Unknown(unknown) if unknown else None,
        )


def judge(found: Sequence[Answer], unknown: Unknown) -> tuple[Decision, str]:
    """What to do with a test whose needs got these answers, and why.

    A measured no skips, whatever else is known; then what is not known decides.
    """
    for answer in found:
        if answer.support is Support.NO and answer.basis is Basis.MEASURED:
            return Decision.SKIP, _words(answer, "lacks")
    for answer in found:
        decision = _undecided(answer, unknown)
        if decision is not Decision.RUN:
            word = "does not have" if answer.support is Support.NO else "may not have"
            return decision, _words(answer, word)
    return Decision.RUN, ""


def _undecided(answer: Answer, unknown: Unknown) -> Decision:
    if answer.support is Support.YES:
        return Decision.RUN
    if unknown is Unknown.DOCUMENTED and answer.basis is Basis.DOCUMENTED:
        return Decision.SKIP
    return {Unknown.RUN: Decision.RUN, Unknown.SKIP: Decision.SKIP}.get(unknown, Decision.FAIL)


def _words(answer: Answer, verb: str) -> str:
    called = f" in {answer.program_type} programs" if answer.program_type else ""
    return f"{answer.title} {verb} {answer.feature}{called}: {answer.reason}"


def add_options(group: pytest.OptionGroup) -> None:
    """Offer what to do where the facts are unknown."""
    group.addoption(
        "--bpf-unknown",
        dest="bpf_unknown",
        choices=[each.value for each in Unknown],
        default=Unknown.FAIL.value,
        help=f"Tests marked {MARKER} where no measurement decides: fail, run, skip, or go by the documented "
        "version. Default: fail.",
    )


def configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", _DESCRIPTION)


@pytest.fixture(name=PARAMETER)
def bpf_kernel(request: pytest.FixtureRequest) -> str:
    """The name of the kernel a test is about: one of `--kernel`, else of the defaults of kernels.yaml."""
    name: str = request.param
    return name


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for `bpf_kernel`, or a marked one under `--kernel`, once per kernel."""
    named = metafunc.config.option.matrix_kernel or metafunc.config.option.matrix_kernel_image
    marked = [Requirement.of(mark) for mark in metafunc.definition.iter_markers(MARKER)]
    if PARAMETER not in metafunc.fixturenames:
        if not named or not any(requirement.kernel is None for requirement in marked):
            return
        metafunc.fixturenames.append(PARAMETER)
    if any(PARAMETER in _arguments(mark) for mark in metafunc.definition.iter_markers("parametrize")):
        return
    metafunc.parametrize(PARAMETER, _kernels(metafunc.config), indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail a test by what is known of its kernel, before anything is booted for it."""
    if isinstance(item, CaseItem) and item.case.kernel == HOST:
        return
    for mark in item.iter_markers(MARKER):
        try:
            requirement = Requirement.of(mark)
            decision, why = _decide(item, requirement)
        except HarnessError as problem:
            pytest.fail(str(problem), pytrace=False)
        if decision is Decision.SKIP:
            if isinstance(item, CaseItem):
                item.result = not_run(item.case, why)
            pytest.skip(why)
        if decision is Decision.FAIL:
            pytest.fail(f"{why}\n{_advice(item, requirement)}", pytrace=False)


def _decide(item: pytest.Item, requirement: Requirement) -> tuple[Decision, str]:
    kernel = _kernel_of(item, requirement)
    found = [
        answer
        for name in requirement.names
        for answer in answers(name, kernel=kernel, program_type=requirement.program_type)
    ]
    return judge(found, requirement.unknown or Unknown(item.config.option.bpf_unknown))


def _kernel_of(item: pytest.Item, requirement: Requirement) -> str:
    """The marker's kernel, the case's, the parameter's, or the running one, in this order."""
    if requirement.kernel is not None:
        return platform.release() if requirement.kernel == RUNNING else requirement.kernel
    if isinstance(item, CaseItem):
        return item.case.kernel
    spec = getattr(item, "callspec", None)
    given = spec.params.get(PARAMETER) if spec else None
    return platform.release() if given is None else str(given)


def _advice(item: pytest.Item, requirement: Requirement) -> str:
    kernel = _kernel_of(item, requirement)
    return (
        f"  next: bpfmatrix features --kernel {kernel} measures it; or say unknown='documented' (or 'run', "
        "'skip') in the marker, or --bpf-unknown"
    )


def _kernels(config: pytest.Config) -> list[str]:
    """The kernels of the command line; entries of kernels.yaml for none and for `all`."""
    named = list(dict.fromkeys(config.option.matrix_kernel))
    named += [pair.partition("=")[0] for pair in config.option.matrix_kernel_image]
    if named and "all" not in named:
        return list(dict.fromkeys(named))
    try:
        return [spec.name for spec in wanted_kernels(Choice(kernel=tuple(named)))]
    except UserError as problem:
        raise pytest.UsageError(str(problem)) from problem


def _arguments(mark: pytest.Mark) -> Any:
    names = mark.args[0] if mark.args else mark.kwargs.get("argnames", "")
    return [name.strip() for name in names.split(",")] if isinstance(names, str) else names
