"""Real kernels for tests: the ones of `kernels.yaml`, from the shared cache."""

import pytest
from scenarios import Bench

from harness.catalog.kernels import load_kernels, select
from harness.crew import warm_object
from harness.errors import HarnessError
from harness.execute import KernelSession
from harness.guest.options import AccelChoice, GuestOptions
from harness.kernels.store import KernelStore
from harness.paths import project_root


@pytest.fixture(scope="session")
def kernel():
    """A function that gives the kernel of a name, fetching it when it is not in the cache."""
    specs = load_kernels(project_root() / "kernels.yaml")
    store = KernelStore()

    def get(name):
        try:
            return store.ensure(select(specs, [name])[0])
        except HarnessError as problem:
            pytest.fail(f"kernel {name} is needed by this test: {problem}")

    return get


@pytest.fixture(scope="session")
def newest(kernel):
    """The newest kernel of kernels.yaml."""
    specs = load_kernels(project_root() / "kernels.yaml")
    defaults = [spec.name for spec in specs if spec.default]
    return kernel(max(defaults, key=lambda name: [int(part) for part in name.split(".")]))


@pytest.fixture(scope="module", params=["5.10", "newest"])
def bench(request, kernel, newest, tmp_path_factory):
    """Scenarios on the oldest kernel there is a package of, and on the newest."""
    machine = newest if request.param == "newest" else kernel(request.param)
    with KernelSession(machine, GuestOptions(accel=AccelChoice.TCG), warm_object()) as session:
        yield Bench(session, tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def old(bench):
    """Whether the kernel is 5.10."""
    return bench.session.kernel.name == "5.10"
