"""`bpfmatrix bisect`: the first kernel that answers otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from harness.build.toolchain import find_compilers
from harness.catalog.kernels import KernelSpec
from harness.catalog.programs import load_programs
from harness.catalog.schemacheck import suggest
from harness.cli.common import takes_choice
from harness.crew import warm_object
from harness.errors import HarnessError, InfrastructureError, UserError
from harness.execute import KernelSession, describe_kernel
from harness.guest.options import GuestOptions
from harness.model import BuildFailure, BuiltObject, Case, Kernel, Program, Run
from harness.options import Choice, by_age, obtain, wanted_kernels
from harness.paths import project_root
from harness.plan import RunOptions, build_cases
from harness.progress import RunProgress
from harness.record.bisect import Bisected, Probe, bisect
from harness.record.snapshot import Answer, record
from harness.verdict.text import one_line
from harness.watching import Silent

_EPILOG = """\b
Examples:
  bpfmatrix bisect 'programs/maps/ringbuf_size[4096-raw]' --good 6.1 --bad 7.3
  bpfmatrix bisect 'programs/helpers/licence[MIT-kfunc]' --good 6.1 --bad 6.18

\b
Exit status: 0 found, 2 usage (or the two kernels answer alike), 3 one of the two cannot be had or booted.
"""


@click.command("bisect", epilog=_EPILOG)
@click.argument("case")
@click.option("--good", required=True, metavar="K", help="A kernel of kernels.yaml that answers as wanted.")
@click.option("--bad", required=True, metavar="K", help="One that does not; it may be the older one.")
@click.option(
    "--programs",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Where CASE is found. Default: programs/.",
)
@takes_choice("kernel_image", "clang", "accel")
def bisect_command(*, case: str, good: str, bad: str, programs: tuple[Path, ...], choice: Choice) -> int:
    """Name the first kernel release between two that gives another answer to CASE.

    Boots the kernels of kernels.yaml between the two by halves. One that cannot be had, does not boot or dies
    under the case is skipped, which is shown.
    """
    if good == bad:
        raise UserError(f"--good and --bad are both {good}", hint="bpfmatrix kernels list")
    program = _find(case, load_programs(programs or (project_root() / "programs",)))
    specs = _between(good, bad, choice)
    with RunProgress() as progress:
        search = _Search(program, specs, choice, progress)
        ends = [search.end(name) for name in (good, bad)]
        if ends[0] == ends[1]:
            raise UserError(f"{good} and {bad} answer alike: {ends[0]}", hint="bpfmatrix history CASE")
        names = [spec.name for spec in specs]
        found = bisect(names, ends[0], ends[1], search.ask, search.told)
    for line in result_lines(found, search):
        click.echo(line)
    return 0


def result_lines(found: Bisected, search: _Search) -> list[str]:
    """Say what was found, and what was skipped on the way."""
    first, last = found.first, found.last
    lines = [
        f"{search.title(last)}: {search.answers[last]}",
        f"{search.title(first)}: {search.answers[first]}",
    ]
    skipped = [f"  skipped {probe.kernel}: {probe.reason}" for probe in found.probes if probe.answer is None]
    if found.exact:
        return [*lines, *skipped, f"{search.title(first)} is the first with the other answer"]
    names = ", ".join((*found.between, first))
    return [*lines, *skipped, f"the first with the other answer is one of: {names}"]


class _Search:
    """Boots kernels for one case; the object is built once, against the newest BTF of the two ends."""

    def __init__(
        self, program: Program, specs: Sequence[KernelSpec], choice: Choice, progress: RunProgress
    ) -> None:
        self.answers: dict[str, Answer] = {}
        self._titles: dict[str, str] = {}
        self._specs = {spec.name: spec for spec in specs}
        self._guest: GuestOptions = choice.guest
        self._progress = progress
        ends = obtain((specs[0], specs[-1]), report=progress.fetch_report).kernels
        compilers = find_compilers(choice.clang)[:1]
        options = RunOptions(kernels=ends, programs=(program,), compilers=compilers)
        (planned, *_) = build_cases(options, Silent())
        self._case: Case = planned.case
        self._built: BuiltObject | BuildFailure = planned.built
        self._warm = warm_object()

    def end(self, name: str) -> Answer:
        """Return the answer at an end, which must have one."""
        given = self.ask(name)
        if isinstance(given, str):
            raise InfrastructureError(f"kernel {name} {given}", hint=f"bpfmatrix shell {name}")
        if not given.known:
            raise InfrastructureError(f"the case gave no answer on kernel {name}")
        self._progress.console.print(f"{self.title(name)}: {given}", markup=False, soft_wrap=True)
        return given

    def ask(self, name: str) -> Answer | str:
        """Return what kernel `name` answers, or why it is skipped."""
        try:
            (kernel,) = obtain((self._specs[name],), report=self._progress.fetch_report).kernels
            given = self._run(kernel)
        except HarnessError as problem:
            return f"cannot be used: {one_line(problem.what)}"
        self.answers[name] = given
        return given

    def told(self, probe: Probe) -> None:
        """Show what a kernel gave."""
        what = f"skipped: {probe.reason}" if probe.answer is None else str(probe.answer)
        side = "" if probe.answer is None else " (other)" if probe.other else " (as the good one)"
        self._progress.console.print(
            f"{self.title(probe.kernel)}: {what}{side}", markup=False, highlight=False
        )

    def title(self, name: str) -> str:
        """Return a kernel's name with its version, as far as it is known."""
        version = self._titles.get(name)
        return f"{name} ({version})" if version else name

    def _run(self, kernel: Kernel) -> Answer:
        self._titles[kernel.name] = str(kernel.version)
        self._progress.booting(kernel.name)
        with KernelSession(kernel, self._guest, self._warm) as session:
            self._progress.ready(session.start())
            result = session.run(replace(self._case, kernel=kernel.name), self._built)
        run = Run("", "", "", "", {}, (describe_kernel(kernel),), (result,))
        return record(result, run, None).answer


def _find(case: str, programs: Sequence[Program]) -> Program:
    """Return the program with the one variant that `case` names; a kernel in the id is left out."""
    plain = case.rpartition("@")[0] if "@" in case.rpartition("]")[2] else case
    known = {
        f"{program.name}[{variant.name}]": replace(program, variants=(variant,))
        for program in programs
        for variant in program.variants
    }
    if plain not in known:
        raise UserError(
            f"there is no case {plain!r}; {suggest(plain, known, 'such as')[:300]}",
            hint="see the ids there are: pytest --collect-only -q",
        )
    if known[plain].host is not None:
        raise UserError(f"{plain} is compiled on this machine: no kernel has a part in it")
    return known[plain]


def _between(good: str, bad: str, choice: Choice) -> tuple[KernelSpec, ...]:
    """Return the kernels from the good one to the bad one, whichever is older."""
    wanted_kernels(replace(choice, kernel=(good, bad)))  # says which names there are
    specs = by_age(wanted_kernels(replace(choice, kernel=("all",))))
    names = [spec.name for spec in specs]
    low, high = sorted((names.index(good), names.index(bad)))
    found = specs[low : high + 1]
    return found if names.index(good) == low else tuple(reversed(found))
