"""The run file: nothing lost, nothing half written, nothing unreadable accepted."""

from __future__ import annotations

import dataclasses
import json
import os
import tracemalloc
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import InfrastructureError, UserError
from harness.model import (
    CaseResult,
    Expected,
    KernelRun,
    MapCreated,
    Observation,
    ObservationStatus,
    Outcome,
    ProgramInfo,
    Run,
    Stage,
    Verdict,
    VerdictKind,
)
from harness.record import runfile
from harness.record.runfile import case_from_json, case_to_json, read, write
from harness.scenario import Behaviour, CheckResult, Step, StepOp, StepResult

SAMPLE = Path(__file__).parent / "test_data" / "sample-run.json"

text = st.text(st.characters(codec=None), max_size=40)  # surrogates and NULs too
number = st.none() | st.integers(0, 2**63)
stage = st.none() | st.sampled_from(Stage)
maps = st.builds(
    MapCreated,
    text,
    text,
    *[st.integers(0, 2**32) for _ in range(4)],
    st.none() | text,
    number,
)
blob = st.binary(max_size=20)
steps = st.builds(
    Step,
    op=st.sampled_from(StepOp),
    name=text,
    label=text,
    key=blob,
    value=blob,
    fact=text,
    flags=st.integers(0, 2**64 - 1),
    count=st.integers(0, 2**20),
    args=st.lists(text, max_size=2).map(tuple),
    time_limit_s=st.floats(0, 3600),
    may_fail=st.booleans(),
)
results = st.builds(
    StepResult,
    index=st.integers(0, 5),
    errno=st.none() | text,
    message=text,
    values=st.lists(blob, max_size=2).map(tuple),
    numbers=st.lists(st.integers(0, 2**64 - 1), max_size=4).map(tuple),
    omitted=st.integers(0, 2**20),
)
observations = st.builds(
    Observation,
    status=st.sampled_from(ObservationStatus),
    stage=stage,
    errno=st.none() | text,
    verifier_log=text,
    log_truncated=st.booleans(),
    log_level=st.integers(0, 5),
    loader_log=text,
    insns_processed=number,
    total_states=number,
    peak_states=number,
    kernel_time_us=number,
    bpf_time_us=number,
    maps=st.lists(maps, max_size=2).map(tuple),
    fixups=st.lists(text, max_size=2).map(tuple),
    kernel_messages=st.lists(text, max_size=2).map(tuple),
    console_tail=text,
    wall_us=st.integers(0, 10**12),
    note=text,
    steps=st.lists(results, max_size=3).map(tuple),
)
behaviours = st.none() | st.sampled_from(Behaviour)
cases = st.builds(
    CaseResult,
    id=text,
    program=text,
    variant=text,
    kernel=text,
    compiler=st.none() | text,
    loader=text,
    verdict=st.builds(
        Verdict,
        st.sampled_from(VerdictKind),
        stage,
        st.none() | text,
        st.none() | text,
        text,
        st.sampled_from([None, Outcome.CRASH, Outcome.HANG, Outcome.SPLAT]),
    ),
    outcome=st.sampled_from(Outcome),
    expected=st.none()
    | st.builds(
        Expected,
        st.sampled_from([VerdictKind.ACCEPT, VerdictKind.REJECT]),
        stage,
        st.none() | text,
        st.none() | text,
        st.booleans(),
        text,
        behaviours,
    ),
    observation=st.none() | observations,
    pitfall=text,
    title=text,
    axes=st.dictionaries(text, text | st.integers() | st.booleans(), max_size=2).map(MappingProxyType),
    source=text,
    build_log=text,
    object_sha256=st.none() | text,
    slow=st.booleans(),
    reason=text,
    answers=st.lists(text, max_size=2).map(tuple),
    scenario=st.lists(steps, max_size=3).map(tuple),
    behaviour=behaviours,
    checks=st.lists(st.builds(CheckResult, text, text, text, st.booleans(), text), max_size=2).map(tuple),
).map(lambda case: dataclasses.replace(case, build_log="") if case.observation else case)


@given(cases)
def test_a_case_comes_back_as_it_went(case: CaseResult) -> None:
    assert case_from_json(json.loads(json.dumps(case_to_json(case)))) == case


@settings(max_examples=30)
@given(st.lists(cases, max_size=3))
def test_a_run_comes_back_as_it_went(
    tmp_path_factory: pytest.TempPathFactory, some: list[CaseResult]
) -> None:
    path = tmp_path_factory.mktemp("run") / "run.json"
    run = Run(
        "id",
        "2026-01-01T00:00:00Z",
        "",
        "host",
        MappingProxyType({"clang": "16"}),
        (
            KernelRun(
                "6.1", "6.1.5", "6.1.0-1", "6.1.5", "debian", "ab" * 32, boot_seconds=1.5, restored=True
            ),
        ),
        tuple(some),
        partial=True,
        programs=(ProgramInfo("p", "p.bpf.c.j2", claim="c"),),
        command="bpfmatrix run",
        repeat=3,
    )
    write(run, path)
    assert read(path) == run


def test_fields_the_documentation_fixes_are_there(tmp_path: Path) -> None:
    run = read(SAMPLE)
    write(run, tmp_path / "run.json")
    data = json.loads((tmp_path / "run.json").read_text())
    assert data["schema"] == 2
    assert set(data) >= {"schema", "run", "kernels", "cases"}
    assert set(data["run"]) >= {"id", "start", "end", "host", "tools", "partial"}
    assert set(data["kernels"][0]) >= {
        "name",
        "release",
        "source",
        "sha256",
        "accel",
        "boot_seconds",
        "restored",
    }
    wanted = "id program variant kernel compiler loader verdict stage errno cause message log loader_log"
    wanted += " insns_processed kernel_time_us expected outcome reason behaviour steps checks scenario"
    assert set(data["cases"][0]) >= set(wanted.split())


def test_build_failures_keep_their_whole_message_in_log() -> None:
    case = next(case for case in read(SAMPLE).cases if case.verdict.stage is Stage.COMPILE)
    assert case.build_log.count("\n") > 3
    assert case_to_json(case)["log"] == case.build_log


def test_a_source_is_stored_once(tmp_path: Path) -> None:
    run = read(SAMPLE)
    write(run, tmp_path / "run.json")
    data = json.loads((tmp_path / "run.json").read_text())
    assert len(data["sources"]) == len({case.source for case in run.cases if case.source})
    assert all("source" not in case for case in data["cases"])
    again = read(tmp_path / "run.json")
    assert len({id(case.source) for case in again.cases if case.source}) == len(data["sources"])


def test_a_file_from_before_scenarios_is_read(tmp_path: Path) -> None:
    assert json.loads(SAMPLE.read_text())["schema"] == 1
    run = read(SAMPLE)
    assert not any(case.scenario or case.checks or case.behaviour for case in run.cases)
    write(run, tmp_path / "run.json")
    assert read(tmp_path / "run.json") == run


def test_steps_are_written_for_readers_with_names_and_hex(tmp_path: Path) -> None:
    base = next(case for case in read(SAMPLE).cases if case.observation)
    assert base.observation is not None
    ring = StepResult(1, values=(b"\x01\xff",), numbers=(1, 2))
    failed = StepResult(2, errno="ENOENT", message="no such symbol")
    case = dataclasses.replace(
        base,
        scenario=(
            Step(StepOp.SET, "pid", value=b"\x07"),
            Step(StepOp.RING, "rb", "ev"),
            Step(StepOp.ATTACH, "p", args=("kprobe:x",), line=9),
        ),
        observation=dataclasses.replace(base.observation, steps=(StepResult(0), ring, failed)),
        behaviour=Behaviour.MISBEHAVES,
        checks=(CheckResult("ev.records", "2", "1", False, "lost"),),
    )
    write(dataclasses.replace(read(SAMPLE), cases=(case,)), tmp_path / "run.json")
    (raw,) = json.loads((tmp_path / "run.json").read_text())["cases"]
    assert raw["behaviour"] == "misbehaves"
    assert raw["scenario"][0] == {"action": "set", "name": "pid", "value": "07"}
    assert raw["steps"][1] == {
        "step": 1,
        "action": "ring",
        "as": "ev",
        "errno": None,
        "message": "",
        "values": ["01ff"],
        "omitted": 0,
        "numbers": {"records": 1, "bytes": 2},
    }
    assert raw["checks"] == [{"value": "ev.records", "want": "2", "got": "1", "holds": False, "why": "lost"}]
    assert read(tmp_path / "run.json").cases == (case,)


def test_unknown_keys_are_ignored(tmp_path: Path) -> None:
    data = json.loads(SAMPLE.read_text())
    data["kernels"][1]["colour"] = "blue"
    data["cases"][0]["mood"] = 3
    path = tmp_path / "run.json"
    path.write_text(json.dumps(data))
    assert read(path) == read(SAMPLE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.update(schema=3), "schema 3; this version knows schemas up to 2"),
        (lambda data: data.update(schema="1"), "its schema is '1'"),
        (lambda data: data.update(schema=True), "its schema is True"),
        (lambda data: data.pop("cases"), "the top level: 'cases' is a required property"),
        (lambda data: data["cases"][0].pop("verdict"), "cases/0: 'verdict' is a required property"),
        (lambda data: data["cases"][1].update(outcome="fine"), "cases/1/outcome: 'fine' is not one of"),
        (lambda data: data["cases"][0].update(source_ref="0"), "names the source '0', which is missing"),
        (lambda data: data["cases"][0].update(insns_processed="many"), "cases/0/insns_processed"),
        (lambda data: data["cases"][0].update(scenario=[{"action": "jump"}]), "scenario/0/action"),
        (lambda data: data["cases"][0].update(behaviour="fine"), "cases/0/behaviour"),
    ],
)
def test_what_is_no_run_file_is_refused_with_the_place(tmp_path: Path, change, message: str) -> None:  # type: ignore[no-untyped-def]  # a lambda per row
    data = json.loads(SAMPLE.read_text())
    change(data)
    path = tmp_path / "run.json"
    path.write_text(json.dumps(data))
    with pytest.raises(UserError) as caught:
        read(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not JSON, perhaps cut short"),
        (SAMPLE.read_bytes()[:50_000], "not JSON, perhaps cut short"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"[]", "the top level is no object"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_bytes_that_are_no_run_file(tmp_path: Path, raw: bytes, message: str) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(raw)
    with pytest.raises(UserError, match=message):
        read(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        read(tmp_path / "none.json")


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    write(read(SAMPLE), path)
    before = path.read_bytes()
    calls = []

    def interrupted(value: object) -> str:
        calls.append(value)
        if len(calls) > 5:
            raise KeyboardInterrupt
        return json.dumps(value)

    monkeypatch.setattr(runfile, "_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(read(SAMPLE), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]


def test_a_full_disk_is_an_infrastructure_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InfrastructureError, match="No space left on device"):
        write(read(SAMPLE), tmp_path / "run.json")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write(read(SAMPLE), tmp_path / "file" / "run.json")


def test_writing_a_thousand_cases_needs_little_memory(tmp_path: Path) -> None:
    """The text of the whole file (30 MB here) must never be in memory at once."""
    base = next(case for case in read(SAMPLE).cases if case.observation)
    assert base.observation is not None
    log = "0: (b7) r0 = 0 ; R0_w=0\n" * 1200
    case = dataclasses.replace(base, observation=dataclasses.replace(base.observation, verifier_log=log))
    run = dataclasses.replace(read(SAMPLE), cases=(case,) * 1000)
    tracemalloc.start()
    write(run, tmp_path / "run.json")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "run.json").stat().st_size > 25_000_000
    assert peak < 2_000_000
