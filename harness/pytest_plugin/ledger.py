"""The rows of a session, gathered from every process, and the reports made of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness import pipeline, report
from harness.errors import HarnessError
from harness.execute import describe_kernel
from harness.model import HOST, CaseResult, KernelRun, Run
from harness.pytest_plugin.against import runs_everything
from harness.pytest_plugin.failure import relative
from harness.pytest_plugin.items import CaseItem
from harness.pytest_plugin.state import Matrix
from harness.record.runfile import case_from_json, case_to_json
from harness.summary import described, next_command, summary

_ATTRIBUTE = "bpfmatrix"  # of a test report; xdist carries it to the controller as plain data


@dataclass
class Ledger:
    """Rows by case id with their place in collection order, and how each kernel came up."""

    start: str = field(default_factory=pipeline.timestamp)
    rows: dict[str, tuple[int, CaseResult]] = field(default_factory=dict)
    kernels: dict[str, KernelRun] = field(default_factory=dict)
    run: Run | None = None
    files: tuple[Path, ...] = ()

    def add(self, data: dict[str, Any]) -> None:
        """Take what a test report carries."""
        row = case_from_json(data["case"])
        self.rows[row.id] = (data["index"], row)
        if data["kernel"] is not None:
            self._add_kernel(KernelRun(**data["kernel"]))

    def _add_kernel(self, kernel: KernelRun) -> None:
        """Keep the first word of a kernel, unless a later worker knows better: it had a guest."""
        known = self.kernels.get(kernel.name)
        if known is None or (known.accel is None and kernel.accel is not None):
            self.kernels[kernel.name] = kernel

    def finish(self, matrix: Matrix, *, partial: bool) -> None:
        """Assemble the run and write its reports; nothing is written when nothing ran."""
        if not self.rows:
            return
        rows = [row for _, row in sorted(self.rows.values(), key=lambda entry: entry[0])]
        seen = {row.kernel for row in rows}
        kernels = [self.kernels.get(kernel.name, describe_kernel(kernel)) for kernel in matrix.kernels]
        kernels += [pipeline.missing_kernel(name, why) for name, why in matrix.missing]
        run = pipeline.assemble(
            [kernel for kernel in kernels if partial or kernel.name in seen],
            rows,
            self.start,
            compilers=matrix.compilers,
            partial=partial,
        )
        self.run = described(run, matrix.programs.values(), ("pytest", *matrix.arguments))
        self.files = report.write_all(self.run, matrix.out)

    @property
    def broken(self) -> bool:
        """Whether a kernel that is there never got a guest."""
        return any(kernel.problem for kernel in self.kernels.values())


def attach(item: pytest.Item, report: pytest.TestReport) -> None:
    """Attach the row of a case to the report of the phase that decided it; xdist carries it along."""
    decides = report.when == "call" or (report.when == "setup" and not report.passed)
    if not isinstance(item, CaseItem) or item.result is None or not decides:
        return
    kernel = item.matrix.guests.kernel_run(item.case.kernel)
    data = {
        "index": item.index,
        "case": case_to_json(item.result),
        "kernel": asdict(kernel) if kernel else None,
    }
    setattr(report, _ATTRIBUTE, data)


class Gatherer:
    """Hooks of the process that writes the reports: xdist's controller, or the only process."""

    def __init__(self, config: pytest.Config, matrix: Matrix) -> None:
        self.matrix = matrix
        self.ledger = Ledger()
        self.problem: HarnessError | None = None
        self.missing: tuple[str, ...] = ()  # in the baseline and not in this session
        self.reporter: pytest.TerminalReporter | None = config.pluginmanager.get_plugin("terminalreporter")
        self.plain = config.get_verbosity() == 0 and config.getoption("dist", "no") == "no"
        if self.reporter is not None and self.plain:
            self.reporter.showfspath = (
                False  # a line per case otherwise: each id looks like a file of its own
            )

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Begin a line of dots with its kernel; xdist's workers interleave, so there it is left away."""
        titles = {kernel.name: kernel.title for kernel in self.matrix.kernels} | {HOST: HOST}
        title = titles.get(nodeid.rpartition("@")[2])
        if self.reporter is not None and self.plain and title and "::" not in nodeid:
            self.reporter.write_ensure_prefix(f"{title} ")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the row this report carries, from here or from a worker."""
        data = getattr(report, _ATTRIBUTE, None)
        if data is not None:
            self.ledger.add(data)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the reports of what ran; a guest that never came up makes the exit status 3."""
        stopped = exitstatus == pytest.ExitCode.INTERRUPTED or bool(session.shouldfail or session.shouldstop)
        try:
            self.ledger.finish(self.matrix, partial=stopped)
        except HarnessError as problem:
            self.problem = problem
            session.exitstatus = problem.exit_status
        against = self.matrix.against
        if against is not None and not stopped and runs_everything(session.config, self.matrix.targets.paths):
            self.missing = against.missing(self.ledger.rows)
            if self.missing and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self.ledger.broken and exitstatus == pytest.ExitCode.TESTS_FAILED:
            session.exitstatus = HarnessError.exit_status

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the counts, the files written, and the command to run next."""
        run = self.ledger.run
        if run is None:
            return
        terminalreporter.section("compatibility matrix")
        if self.problem is not None:
            terminalreporter.line(f"no reports: {self.problem}", red=True)
        for line in summary(run):
            terminalreporter.line(line)
        for name, why in self.matrix.missing:
            terminalreporter.line(f"{name} was not run: it {why}", yellow=True)
        for case in self.missing:
            terminalreporter.line(f"case missing (regression): {case}", red=True)
        for file in self.ledger.files:
            terminalreporter.line(f"written: {relative(file)}")
        following = next_command(run, _same_options(self.matrix))
        if following:
            terminalreporter.line(f"next: {following}")


def _same_options(matrix: Matrix) -> list[str]:
    """Return those options that a case id does not imply."""
    words = [f"--clang={name}" for name in matrix.choice.clang]
    return words + [f"--kernel-image={pair}" for pair in matrix.choice.kernel_image]
