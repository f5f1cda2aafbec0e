"""`--baseline`: a case fails when it is worse than the baseline says, whatever its manifest expects."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pytest

from harness.model import CaseResult, Compiler, KernelRun, Run
from harness.record.changes import Change
from harness.record.compare import compare_case
from harness.record.fingerprint import harness_digest
from harness.record.snapshot import Snapshot, record


class Against:
    """The baseline of a session's kernels."""

    def __init__(self, baseline: Snapshot) -> None:
        self.baseline = baseline

    def regressions(
        self, result: CaseResult, kernel: KernelRun | None, compilers: Sequence[Compiler]
    ) -> tuple[Change, ...]:
        """Return what is worse in `result`; a case the baseline does not know is new, and fine."""
        tools = {compiler.name: compiler.version for compiler in compilers}
        run = Run("", "", "", "", tools, (kernel,) if kernel else (), (result,), harness=harness_digest())
        new = record(result, run, kernel)
        changes = compare_case(self.baseline.cases.get((new.kernel, new.case)), new)
        return tuple(change for change in changes if change.regression)

    def missing(self, seen: Collection[str]) -> tuple[str, ...]:
        """Return the ids of the baseline a session that runs everything has no row of."""
        known = (item for item in self.baseline.cases.values() if item.answer.known)
        ids = (f"{item.case}@{item.kernel}" for item in known)
        return tuple(case for case in ids if case not in seen)


def runs_everything(config: pytest.Config, paths: Sequence[object]) -> bool:
    """Whether nothing of the catalogue was left out on purpose."""
    narrowed = config.option.keyword or config.option.markexpr or config.getoption("deselect", None)
    return config.rootpath / "programs" in paths and not narrowed
