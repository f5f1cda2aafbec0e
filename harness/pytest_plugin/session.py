"""Planning and ending a matrix session."""

from __future__ import annotations

import pickle
import signal
from collections.abc import Generator, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from harness.build.toolchain import find_compilers
from harness.catalog.kernels import KernelSpec
from harness.catalog.programs import load_programs
from harness.catalog.schemacheck import suggest
from harness.errors import InfrastructureError, UserError
from harness.model import HOST, Program
from harness.options import OPTIONS, Choice, Obtained, by_age, obtain, usable_folder, wanted_kernels
from harness.progress import RunProgress
from harness.pytest_plugin import requires
from harness.pytest_plugin.against import Against
from harness.pytest_plugin.guests import Guests, Workshop
from harness.pytest_plugin.items import CaseItem, ProgramFile
from harness.pytest_plugin.ledger import Gatherer, attach
from harness.pytest_plugin.state import MATRIX, TARGETS, Matrix, is_worker
from harness.pytest_plugin.targets import Targets, read_arguments
from harness.record.baseline import FOLDER, read_baseline

_INPUT = "bpfmatrix"  # key in xdist's workerinput: what the controller obtained


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the run's options."""
    group = parser.getgroup("bpfmatrix", "the matrix: programs on kernels")
    for option in OPTIONS:
        if option.metavar is None:
            group.addoption(option.flag, dest=f"matrix_{option.key}", action="store_true", help=option.help)
            continue
        group.addoption(
            option.flag,
            dest=f"matrix_{option.key}",
            action="append" if option.multiple else "store",
            metavar=option.metavar,
            choices=option.choices or None,
            default=[] if option.multiple else option.default,
            help=option.help,
        )
    requires.add_options(group)
    group.addoption(
        "--baseline",
        dest="matrix_baseline",
        action="store_true",
        help="Fail on regressions against reports/baseline/ only, whatever the manifests expect.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Put files in the place of case ids among the arguments."""
    config.addinivalue_line("markers", "slow: a variant that exhausts a limit of the verifier on purpose")
    requires.configure(config)
    targets = read_arguments(config.args, config.invocation_params.dir, config.rootpath)
    config.stash[TARGETS] = targets
    config.args[:] = targets.arguments


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Load the programs and get the kernels, once: workers are handed what the controller obtained."""
    config = session.config
    targets = config.stash[TARGETS]
    if not targets:
        return
    try:
        matrix = _plan(config, targets)
    except UserError as problem:
        raise pytest.UsageError(str(problem)) from problem
    except InfrastructureError as problem:
        pytest.exit(str(problem), returncode=InfrastructureError.exit_status)
    config.stash[MATRIX] = matrix
    if not is_worker(config):
        config.pluginmanager.register(Gatherer(config, matrix), "bpfmatrix-gatherer")
    config.pluginmanager.register(_Ending(config), "bpfmatrix-ending")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Hand a worker the kernels."""
    matrix = node.config.stash.get(MATRIX, None)
    if matrix is not None:
        node.workerinput[_INPUT] = pickle.dumps(Obtained(matrix.kernels, matrix.missing))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ProgramFile | None:
    """Collect a program that was asked for."""
    matrix = parent.config.stash.get(MATRIX, None)
    if matrix is None or file_path.resolve() not in matrix.programs:
        return None
    return ProgramFile.from_parent(parent, path=file_path)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Group the cases by kernel, oldest first, so that each guest is started once."""
    matrix = config.stash.get(MATRIX, None)
    if matrix is None:
        return
    names = [*(kernel.name for kernel in matrix.kernels), *(name for name, _ in matrix.missing), HOST]
    cases = [item for item in items if isinstance(item, CaseItem)]
    cases.sort(key=lambda item: names.index(item.case.kernel))
    for index, item in enumerate(cases):
        item.index = index
    items[:] = [*(item for item in items if not isinstance(item, CaseItem)), *cases]


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Name the kernels and compilers; printed before the session starts when they are not known yet."""
    matrix = config.stash.get(MATRIX, None)
    if matrix is None:
        return []
    kernels = ", ".join(f"{kernel.name} ({kernel.release})" for kernel in matrix.kernels)
    missing = ", ".join(f"{name} (missing)" for name, _ in matrix.missing)
    clangs = ", ".join(f"{compiler.name} {compiler.version}" for compiler in matrix.compilers)
    return [f"kernels: {', '.join(filter(None, (kernels, missing)))}; compilers: {clangs}"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let the report carry the case's row; a guest that never came up needs no traceback."""
    report = yield
    if isinstance(item, CaseItem) and report.failed and call.excinfo is not None:
        # pytest asks an item for its words (repr_failure) only when the test itself failed.
        report.longrepr = item.repr_failure(call.excinfo)
    attach(item, report)
    return report


class _Ending:
    """Ends guests and signals handling, in every process that may run cases."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.terminated = False
        self.before: Any = None
        with suppress(ValueError):  # not the main thread: whoever is decides about signals
            self.before = signal.signal(signal.SIGTERM, self._terminate)

    def _terminate(self, _number: int, _frame: FrameType | None) -> None:
        self.terminated = True
        raise KeyboardInterrupt  # which pytest ends in order, reports and all

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """End this process's guest."""
        self.config.stash[MATRIX].guests.close()
        if self.terminated:
            session.exitstatus = 128 + signal.SIGTERM

    def pytest_unconfigure(self) -> None:
        """End a guest that is still there, and give SIGTERM back."""
        self.config.stash[MATRIX].guests.close()
        if self.before is not None:
            signal.signal(signal.SIGTERM, self.before)


def _plan(config: pytest.Config, targets: Targets) -> Matrix:
    choice = _choice(config, targets)
    programs = load_programs(targets.sources)
    _check_picks(targets, programs)
    compilers = find_compilers(choice.clang)
    got = _obtained(config, choice)
    running = not config.option.collectonly
    out = config.rootpath / choice.out
    return Matrix(
        choice=choice,
        targets=targets,
        kernels=got.kernels,
        missing=got.missing,
        compilers=compilers,
        programs={program.path.resolve(): program for program in programs},
        out=usable_folder(out) if running else out,
        arguments=tuple(map(str, config.invocation_params.args)),
        guests=Guests(got.kernels, choice.guest),
        workshop=Workshop(got.kernels, got.missing, compilers),
        against=_against(config, got) if running else None,
    )


def _against(config: pytest.Config, got: Obtained) -> Against | None:
    """Read the baseline of the session's kernels; UserError for one that has none."""
    if not config.option.matrix_baseline:
        return None
    names = [kernel.name for kernel in got.kernels]
    return Against(read_baseline(config.rootpath / FOLDER, names))


def _choice(config: pytest.Config, targets: Targets) -> Choice:
    given: dict[str, Any] = {option.key: getattr(config.option, f"matrix_{option.key}") for option in OPTIONS}
    named = tuple(dict.fromkeys((*given.pop("kernel"), *_picked_kernels(targets, given))))
    given["kernel_image"] = tuple(given["kernel_image"])
    given["clang"] = tuple(
        given["clang"] or dict.fromkeys(pick.compiler for pick in targets.picks if pick.compiler)
    )
    return Choice(kernel=named, **(given | {"out": Path(given["out"])}))


def _picked_kernels(targets: Targets, given: dict[str, Any]) -> list[str]:
    """Return the kernels that ids name; paths beside them still want the default ones."""
    picked = [pick.kernel for pick in targets.picks if pick.kernel and pick.kernel != HOST]
    images = [pair.partition("=")[0] for pair in given["kernel_image"]]
    everything = targets.paths or any(pick.kernel is None for pick in targets.picks)
    if not picked or not everything or images:
        return picked
    return [*(spec.name for spec in wanted_kernels(Choice())), *picked]


def _obtained(config: pytest.Config, choice: Choice) -> Obtained:
    if is_worker(config):
        handed = config.workerinput[_INPUT]  # type: ignore[attr-defined]  # set by xdist
        return pickle.loads(handed)  # type: ignore[no-any-return]  # noqa: S301 - by our own controller
    specs = wanted_kernels(choice, config.rootpath)
    if config.option.collectonly:
        return Obtained((), tuple((spec.name, "only collected") for spec in by_age(specs)))
    return _fetch(specs, choice)


def _fetch(specs: Sequence[KernelSpec], choice: Choice) -> Obtained:
    with RunProgress() as progress:
        return obtain(specs, choice.missing_kernel, progress.fetch_report)


def _check_picks(targets: Targets, programs: Sequence[Program]) -> None:
    """Refuse an id whose variant does not exist, before anything is booted for it."""
    by_path = {program.path.resolve(): program for program in programs}
    for pick in targets.picks:
        program = by_path[pick.file]
        names = [variant.name for variant in program.variants]
        plain = pick.variant_name
        if pick.variant is not None and names and plain not in names:
            raise UserError(
                f"{program.name} has no variant {plain!r}; {suggest(plain, names, 'variants')}",
                where=program.origin,
            )
