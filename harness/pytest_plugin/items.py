"""Files with programs and their cases, as pytest collects and runs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.execute import not_run, on_host
from harness.model import HOST, Case, CaseResult, Outcome
from harness.pytest_plugin.against import Against
from harness.pytest_plugin.failure import describe, describe_regression, write_log
from harness.pytest_plugin.state import MATRIX, Matrix
from harness.record.changes import Change

_FINE = (Outcome.AS_EXPECTED, Outcome.NO_EXPECTATION)


class CaseDiffersError(Exception):
    """A case that is not as expected; carries its row and where its whole log lies."""

    def __init__(self, result: CaseResult, log: Path | None) -> None:
        self.result = result
        self.log = log
        super().__init__(result.reason)


class RegressedError(CaseDiffersError):
    """A case that is worse than the baseline says; `changes` are the regressions."""

    def __init__(self, result: CaseResult, log: Path | None, changes: Sequence[Change]) -> None:
        super().__init__(result, log)
        self.changes = changes


class ProgramFile(pytest.File):
    """A template, source or object; its tests are its cases on the session's kernels."""

    def collect(self) -> Iterator[CaseItem]:
        """Yield the cases the command line asks for."""
        matrix = self.config.stash[MATRIX]
        program = matrix.programs[self.path.resolve()]
        try:
            cases = matrix.workshop.cases(program)
        except HarnessError as problem:
            raise self.CollectError(str(problem)) from problem
        for case in cases:
            if matrix.targets.keeps(case):
                name = case.id.rpartition("/")[2]
                yield CaseItem.from_parent(self, name=name, nodeid=case.id, case=case)


class CaseItem(pytest.Item):
    """One variant on one kernel. `result` is its row once it ran."""

    def __init__(self, *, case: Case, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.case = case
        self.index = 0  # its place among all cases of the session
        self.result: CaseResult | None = None
        self.extra_keyword_matches.update({case.id, case.kernel, case.program.pitfall} - {""})
        if case.variant.slow:
            self.add_marker("slow")

    @property
    def matrix(self) -> Matrix:
        """The session's plan."""
        return self.config.stash[MATRIX]

    def setup(self) -> None:
        """Have the kernel's guest ready; one that could not be had skips its cases, the host needs none."""
        if self.case.kernel == HOST:
            return
        reason = dict(self.matrix.missing).get(self.case.kernel)
        if reason is not None:
            self.result = not_run(self.case, reason)
            pytest.skip(f"kernel {self.case.kernel} {reason}")
        try:
            self.matrix.guests.session(self.case.kernel)
        except HarnessError as problem:
            self.result = not_run(self.case, f"the guest could not be started: {problem.what}")
            raise

    def runtest(self) -> None:
        """Build, load and judge; CaseDiffersError unless the answer is the expected one."""
        built = self.matrix.workshop.build(self.case)
        if self.case.kernel == HOST:
            self.result = on_host(self.case, built)
            if self.result.outcome is Outcome.NOT_RUN:
                pytest.skip(self.result.reason)
        else:
            self.result = self.matrix.guests.session(self.case.kernel).run(self.case, built)
        if self.matrix.against is not None:
            self._compare(self.matrix.against, self.result)
        elif self.result.outcome not in _FINE:
            raise CaseDiffersError(self.result, write_log(self.result, self.matrix.out))

    def _compare(self, against: Against, result: CaseResult) -> None:
        kernel = self.matrix.guests.kernel_run(self.case.kernel)
        worse = against.regressions(result, kernel, self.matrix.compilers)
        if worse:
            raise RegressedError(result, write_log(result, self.matrix.out), worse)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Say in a few lines what differs; anything unforeseen keeps its traceback."""
        if isinstance(excinfo.value, RegressedError):
            return describe_regression(excinfo.value.result, excinfo.value.log, excinfo.value.changes)
        if isinstance(excinfo.value, CaseDiffersError):
            return describe(excinfo.value.result, excinfo.value.log, self.case.program.origin)
        if isinstance(excinfo.value, HarnessError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return where the case comes from, and its heading in pytest's report of failures."""
        # Not the bare id: pytest would take the end of the node id for a Python name and rewrite its dots.
        return self.path, None, f"{self.case.program.pitfall or 'object'} {self.case.id}"
