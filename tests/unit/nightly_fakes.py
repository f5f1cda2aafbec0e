"""A project whose kernels, compiler and guests are stand-ins, for nights in this process or one to be killed.

What they answer stands in `world.json` of the project: `kernels` (name → releases in the cache, the one its
source offers, or why that cannot be asked) and `answers` (case id → what it gives, time after time).
`python nightly_fakes.py ARGUMENTS` is `bpfmatrix ARGUMENTS` with the stand-ins.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.errors import InfrastructureError
from harness.execute import describe_kernel
from harness.kernels.errors import KernelUnavailable
from harness.model import (
    BuiltObject,
    Case,
    CaseResult,
    Compiler,
    Kernel,
    KernelRun,
    KernelVersion,
    Observation,
    ObservationStatus,
    Outcome,
    Stage,
    Verdict,
    VerdictKind,
)
from harness.record.fingerprint import source_digest

CLANG = Compiler("clang-19", Path("/usr/bin/clang-19"), "19.1.7")
KERNELS = """kernels:
  "6.1": {source: debian, suites: [bookworm], package: 'linux-image-6\\.1.*', default: true}
  "6.12": {source: debian, suites: [trixie], package: 'linux-image-6\\.12.*', default: true}
"""
PROGRAM = 'SEC("socket") int f(void *c) { return {{ n }}; }\n'
MANIFEST = "title: t\npitfall: N99\nclaim: c\naxes: {n: [%s]}\nexpect: []\n"
CASE = "programs/family/one[{}]@{}"
_asked: Counter[str] = Counter()
started: Counter[str] = Counter()  # guests, by kernel
_lock = threading.Lock()


def make_project(folder: Path, cases: int = 3) -> None:
    """Write a project of one program with that many variants on two kernels, all of them accepted."""
    (folder / "kernels.yaml").write_text(KERNELS)
    (folder / "programs" / "family").mkdir(parents=True)
    (folder / "programs" / "family" / "one.bpf.c.j2").write_text(PROGRAM)
    (folder / "programs" / "family" / "one.yaml").write_text(MANIFEST % ", ".join(map(str, range(cases))))
    kernels = {"6.1": {"cached": ["6.1.190"]}, "6.12": {"cached": ["6.12.117"]}}
    (folder / "world.json").write_text(json.dumps({"kernels": kernels, "answers": {}, "pause": 0}))


def world() -> dict[str, Any]:
    """What the stand-ins are to do."""
    data: dict[str, Any] = json.loads(Path("world.json").read_text())
    return data


def kernel_of(name: str, version: str) -> Kernel:
    """A kernel on disk that nobody boots."""
    digest = hashlib.sha256(version.encode()).hexdigest()
    return Kernel(
        name,
        KernelVersion.parse(version),
        f"{version}+deb-amd64",
        "debian",
        digest,
        Path("vmlinuz"),
        package=f"linux-image-{version}",
        package_version=f"{version}-1",
    )


def cached(_store: object, spec: Any) -> Kernel | None:
    """The newest release in the cache."""
    releases = world()["kernels"][spec.name].get("cached", [])
    return kernel_of(spec.name, releases[-1]) if releases else None


def kept(_store: object, spec: Any) -> tuple[Kernel, ...]:
    """Every release in the cache."""
    return tuple(kernel_of(spec.name, v) for v in reversed(world()["kernels"][spec.name]["cached"]))


def ensure(store: object, spec: Any, *, refresh: bool = False, **_: Any) -> Kernel:
    """What the source offers; it is in the cache from then on."""
    data = world()
    entry = data["kernels"][spec.name]
    if "fails" in entry:
        raise KernelUnavailable(spec.name, "apt-get update", entry["fails"])
    if refresh and "offers" in entry and entry["offers"] not in entry["cached"]:
        entry["cached"].append(entry["offers"])
        Path("world.json").write_text(json.dumps(data))
        return kernel_of(spec.name, entry["offers"])
    found = cached(store, spec)
    assert found is not None
    return found


class FakeSession:
    """Answers as `world.json` says; `guests` there names kernels whose guest never becomes ready."""

    def __init__(self, kernel: Kernel, _options: Any, _warm: Any = None) -> None:
        self.kernel = kernel
        self.kernel_run = describe_kernel(kernel)
        started[kernel.name] += 1

    def __enter__(self) -> FakeSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> KernelRun:
        if self.kernel.name in world().get("unbootable", []):
            self.kernel_run = replace(self.kernel_run, problem="it never became ready")
            raise InfrastructureError("it never became ready")
        self.kernel_run = replace(self.kernel_run, accel="tcg", boot_seconds=0.1, restored=True, libbpf="1.5")
        return self.kernel_run

    def run(self, case: Case, built: BuiltObject) -> CaseResult:
        data = world()
        time.sleep(data["pause"])
        if self.kernel_run.problem:
            return _row(case, built, Verdict(VerdictKind.NONE), Outcome.NOT_RUN)
        answers = data["answers"].get(
            f"{case.id}={self.kernel.version}", data["answers"].get(case.id, ["accept"])
        )
        with _lock:
            _asked[case.id] += 1
            answer = answers[min(_asked[case.id], len(answers)) - 1]
        return _answered(case, built, answer)

    def abort(self) -> None:
        """Nothing runs."""

    def close(self) -> None:
        """Nothing runs."""


def _answered(case: Case, built: BuiltObject, answer: str) -> CaseResult:
    if answer == "accept":
        seen = Observation(ObservationStatus.LOADED, insns_processed=100)
        return replace(
            _row(case, built, Verdict(VerdictKind.ACCEPT), Outcome.NO_EXPECTATION), observation=seen
        )
    if answer.startswith("insns "):
        seen = Observation(ObservationStatus.LOADED, insns_processed=int(answer.split()[1]))
        return replace(
            _row(case, built, Verdict(VerdictKind.ACCEPT), Outcome.NO_EXPECTATION), observation=seen
        )
    if answer in ("crash", "hang"):
        outcome = Outcome(answer)
        seen = Observation(ObservationStatus(answer), console_tail="Kernel panic <script>\x1b[31m\x00")
        return replace(
            _row(case, built, Verdict(VerdictKind.NONE, abnormal=outcome), outcome), observation=seen
        )
    seen = Observation(
        ObservationStatus.FAILED, Stage.LOAD, answer, verifier_log="R1 \x1b[31m<script>\x00 bad"
    )
    verdict = Verdict(VerdictKind.REJECT, Stage.LOAD, answer, "bounds", "R1 is out of bounds")
    return replace(_row(case, built, verdict, Outcome.NO_EXPECTATION), observation=seen)


def _row(case: Case, built: BuiltObject, verdict: Verdict, outcome: Outcome) -> CaseResult:
    return CaseResult(
        id=case.id,
        program=case.program.name,
        variant=case.variant.name,
        kernel=case.kernel,
        compiler="clang-19",
        loader="libbpf",
        verdict=verdict,
        outcome=outcome,
        pitfall=case.program.pitfall,
        title=case.program.title,
        source=built.source,
        object_sha256=built.sha256,
        source_sha256=source_digest(case, built.source, built.sha256),
    )


def build_all(_builder: object, wanted: Any, *_: Any) -> list[BuiltObject]:
    """Build nothing: the text stands for the object."""
    made = []
    for request in wanted:
        text = request.program.path.read_text()
        digest = hashlib.sha256(f"{text}{request.variant.name}".encode()).hexdigest()
        made.append(BuiltObject(Path("x.o"), digest, text, CLANG, ("f",)))
    return made


def install(put: Callable[[str, Any], None]) -> None:
    """Put the stand-ins in place with `put(target, value)`."""
    _asked.clear()
    started.clear()
    put("harness.kernels.store.KernelStore.ensure", ensure)
    put("harness.kernels.store.KernelStore.cached", cached)
    put("harness.kernels.store.KernelStore.kept", kept)
    put("harness.cli.nightly.find_compilers", lambda _names: (CLANG,))
    put("harness.crew.KernelSession", FakeSession)
    put("harness.crew.warm_object", lambda: None)
    put("harness.plan.Builder.build_all", build_all)
    put("harness.nightly.night.compare_with_documents", lambda _options: None)


if __name__ == "__main__":
    import pytest

    from harness.cli import main

    patch = pytest.MonkeyPatch()
    install(patch.setattr)
    sys.exit(main(sys.argv[1:]))
