"""The pytest plugin: one test per variant and kernel.

`session` plans and ends a matrix session, `items` are the tests, `guests` the kernels they run on, `ledger`
gathers the rows of all xdist workers, `schedule` deals the cases out, `requires` is the marker of tests that
need a feature of the kernel. Sessions that collect no program are left alone.
"""

from harness.pytest_plugin.requires import bpf_kernel, pytest_generate_tests, pytest_runtest_setup
from harness.pytest_plugin.schedule import pytest_xdist_auto_num_workers, pytest_xdist_make_scheduler
from harness.pytest_plugin.session import (
    pytest_addoption,
    pytest_collect_file,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_configure_node,
    pytest_report_header,
    pytest_runtest_makereport,
    pytest_sessionstart,
)

__all__ = [
    "bpf_kernel",
    "pytest_addoption",
    "pytest_collect_file",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_configure_node",
    "pytest_generate_tests",
    "pytest_report_header",
    "pytest_runtest_makereport",
    "pytest_runtest_setup",
    "pytest_sessionstart",
    "pytest_xdist_auto_num_workers",
    "pytest_xdist_make_scheduler",
]
