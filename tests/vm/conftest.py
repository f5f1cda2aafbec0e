"""Real kernels for tests: the ones of `kernels.yaml`, from the shared cache."""

import pytest

from harness.catalog.kernels import load_kernels, select
from harness.errors import HarnessError
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
