"""The kernels and the hundred variants the benchmark uses."""

from __future__ import annotations

from harness.build.toolchain import find_compilers
from harness.catalog.kernels import KernelSpec, load_kernels, select
from harness.catalog.programs import load_programs
from harness.guest.options import AccelChoice, GuestOptions
from harness.kernels.store import KernelStore
from harness.model import BuiltObject, CaseResult, Kernel, KernelRun, Loader
from harness.paths import project_root
from harness.pipeline import PlannedCase, RunOptions, build_cases

VARIANTS = 100


class Quiet:
    """A progress nobody watches."""

    def fetching(self, kernel: str, text: str) -> None:
        """Ignore it."""

    def building(self, done: int, total: int) -> None:
        """Ignore it."""

    def planned(self, total: int) -> None:
        """Ignore it."""

    def booting(self, kernel: str) -> None:
        """Ignore it."""

    def ready(self, kernel: KernelRun) -> None:
        """Ignore it."""

    def kernel_failed(self, kernel: str, reason: str) -> None:
        """Ignore it."""

    def case_done(self, result: CaseResult) -> None:
        """Ignore it."""


def default_specs() -> tuple[KernelSpec, ...]:
    """The default kernels of kernels.yaml."""
    return select(load_kernels(project_root() / "kernels.yaml"), [])


def chosen_cases(name: str) -> tuple[Kernel, tuple[PlannedCase, ...]]:
    """Kernel `name` and a hundred variants spread evenly over the catalogue.

    What bpftool cannot be asked for is left out: the raw loader, limits of the case's own, and the variants
    marked slow, which would drown everything else.
    """
    spec = select(load_kernels(project_root() / "kernels.yaml"), [name])[0]
    kernel = KernelStore().ensure(spec)
    programs = load_programs([project_root() / "programs"])
    options = RunOptions((kernel,), programs, find_compilers(()), guest=GuestOptions(accel=AccelChoice.TCG))
    fit = [planned for planned in build_cases(options, Quiet()) if _fits(planned)]
    step = max(1, len(fit) // VARIANTS)
    return kernel, tuple(fit[::step][:VARIANTS])


def _fits(planned: PlannedCase) -> bool:
    variant = planned.case.variant
    plain = variant.settings.loader is Loader.LIBBPF and variant.settings.memlock is None
    small = planned.case.program.pitfall != "N02"  # sizes and counts at the kernel's limits: seconds each
    return plain and small and not variant.slow and isinstance(planned.built, BuiltObject)
