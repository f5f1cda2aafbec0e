"""The kernels and the hundred variants the benchmark uses."""

from __future__ import annotations

from harness.build.toolchain import find_compilers
from harness.catalog.kernels import KernelSpec, load_kernels, select
from harness.catalog.programs import load_programs
from harness.guest.options import AccelChoice, GuestOptions
from harness.kernels.store import KernelStore
from harness.model import BuiltObject, Kernel, Loader
from harness.paths import project_root
from harness.plan import PlannedCase, RunOptions, build_cases
from harness.watching import Silent

VARIANTS = 100


def default_specs() -> tuple[KernelSpec, ...]:
    """The default kernels of kernels.yaml."""
    return select(load_kernels(project_root() / "kernels.yaml"), [])


def chosen_cases(name: str) -> tuple[Kernel, tuple[PlannedCase, ...]]:
    """Kernel `name` and a hundred variants spread evenly over the catalogue.

    What bpftool cannot be asked for is left out: the raw loader, limits and capabilities of the case's own;
    and the variants marked slow, which would drown everything else.
    """
    spec = select(load_kernels(project_root() / "kernels.yaml"), [name])[0]
    kernel = KernelStore().ensure(spec)
    programs = load_programs([project_root() / "programs"])
    options = RunOptions((kernel,), programs, find_compilers(()), guest=GuestOptions(accel=AccelChoice.TCG))
    fit = [planned for planned in build_cases(options, Silent()) if _fits(planned)]
    step = max(1, len(fit) // VARIANTS)
    return kernel, tuple(fit[::step][:VARIANTS])


def _fits(planned: PlannedCase) -> bool:
    variant = planned.case.variant
    settings = variant.settings
    plain = settings.loader is Loader.LIBBPF and settings.memlock is None and settings.capabilities is None
    small = planned.case.program.pitfall != "N02"  # sizes and counts at the kernel's limits: seconds each
    loaded_only = not variant.slow and not variant.scenario and not settings.disposable
    return plain and small and loaded_only and isinstance(planned.built, BuiltObject)
