"""Stand-ins for store, compiler and guests, so that the plugin's own part is tested without a kernel.

`install` puts them in place; as a pytest plugin (`-p plugin_fakes`) the module does it by itself.
What the guests were asked is appended to the file `events` of the working directory.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from plugin_support import LOG, kernel

from harness.errors import InfrastructureError
from harness.execute import describe_kernel
from harness.kernels.errors import KernelUnavailable
from harness.model import (
    BuiltObject,
    Case,
    CaseResult,
    Compiler,
    Expected,
    Kernel,
    KernelRun,
    Observation,
    ObservationStatus,
    Outcome,
    Stage,
    Verdict,
    VerdictKind,
)

CLANG = Compiler("clang-19", Path("/usr/bin/clang-19"), "19.1.7")


def note(words: str) -> None:
    """Append an event with the process it happened in."""
    with Path("events").open("a") as file:
        file.write(f"{os.getpid()} {words}\n")


class FakeSession:
    """Answers by the variant's name: `accept…` is accepted, the rest rejected; accepting is expected."""

    def __init__(self, kernel: Kernel, _options: Any, _warm: Any = None) -> None:
        self.kernel = kernel
        self.kernel_run = describe_kernel(kernel)
        self.open = False

    def start(self) -> KernelRun:
        """Note the first start; a kernel called 6.66 never comes up."""
        if self.kernel.name == "6.66":
            self.kernel_run = replace(self.kernel_run, problem="it never became ready")
            raise InfrastructureError("it never became ready")
        if not self.open:
            note(f"start {self.kernel.name}")
            self.kernel_run = replace(self.kernel_run, accel="tcg", boot_seconds=1.5, restored=False)
        self.open = True
        return self.kernel_run

    def run(self, case: Case, _built: object) -> CaseResult:
        """Judge by the name; `term` first ends this process with SIGTERM."""
        note(f"run {case.id}")
        if "term" in case.variant.name:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(20)
        fine = case.variant.name.startswith("accept")
        log = "verified" if fine else LOG
        status = ObservationStatus.LOADED if fine else ObservationStatus.FAILED
        return CaseResult(
            id=case.id,
            program=case.program.name,
            variant=case.variant.name,
            kernel=case.kernel,
            compiler="clang-19",
            loader="libbpf",
            verdict=Verdict(VerdictKind.ACCEPT)
            if fine
            else Verdict(VerdictKind.REJECT, Stage.LOAD, "EACCES", "bounds", "R1 is out of bounds"),
            outcome=Outcome.AS_EXPECTED if fine else Outcome.UNEXPECTED,
            expected=Expected(VerdictKind.ACCEPT),
            observation=Observation(status, verifier_log=log),
            reason="" if fine else "expected accept, got reject",
        )

    def close(self) -> None:
        """Note the first close."""
        if self.open:
            note(f"close {self.kernel.name}")
        self.open = False


def ensure(_store: object, spec: Any, **_: Any) -> Kernel:
    """Have every kernel but 5.4."""
    note(f"ensure {spec.name}")
    if spec.name == "5.4":
        raise KernelUnavailable("5.4", "mainline v5.4.290", "the archive cannot be reached")
    return kernel(spec.name)


def install(put: Callable[[str, Any], None]) -> None:
    """Put the stand-ins in place with `put(target, value)`."""
    put("harness.kernels.store.KernelStore.ensure", ensure)
    put("harness.pytest_plugin.session.find_compilers", lambda _names: (CLANG,))
    put("harness.pytest_plugin.guests.KernelSession", FakeSession)
    put("harness.pytest_plugin.guests.warm_object", lambda: None)
    put(
        "harness.pytest_plugin.guests.Workshop.build",
        lambda _self, _case: BuiltObject(Path("x.o"), "00", "int x;", CLANG, ("f",)),
    )


def pytest_configure(config: pytest.Config) -> None:
    """Install for the life of this process."""
    patch = pytest.MonkeyPatch()
    install(patch.setattr)
    config.add_cleanup(patch.undo)
