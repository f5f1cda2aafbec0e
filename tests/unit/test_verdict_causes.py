"""The data file of causes: every quoted sample, and every rejection measured in real guests."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from time_bound import at_most

from harness.errors import UserError
from harness.model import (
    KernelVersion,
    LoadSettings,
    MapCreated,
    Observation,
    ObservationStatus,
    Stage,
    VersionRange,
)
from harness.record.runfile import read
from harness.verdict.causes import (
    UNCLASSIFIED,
    Cause,
    Evidence,
    Sample,
    all_causes,
    cause_by_id,
    find_cause,
    load_causes,
)
from harness.verdict.classify import interpret

RUN = read(Path(__file__).parent / "test_data" / "sample-run.json")
SAMPLES = [(cause, sample) for cause in all_causes() for sample in cause.samples]


@pytest.mark.parametrize(
    ("cause", "sample"), SAMPLES, ids=[f"{cause.id}-{n}" for n, (cause, _) in enumerate(SAMPLES)]
)
def test_every_sample_is_classified_as_its_cause(cause: Cause, sample: Sample) -> None:
    assert find_cause(sample.evidence).id == cause.id


def test_no_measured_rejection_is_unclassified() -> None:
    seen = [case for case in RUN.cases if case.observation and case.verdict.kind.value == "reject"]
    assert len(seen) > 200
    unknown = [
        case.id for case in seen if case.observation and interpret(case.observation).cause == UNCLASSIFIED
    ]
    assert unknown == []


def test_the_same_program_has_the_same_cause_on_every_kernel_that_rejects_it_for_it() -> None:
    """The wording differs from kernel to kernel; these programs are refused for one reason everywhere."""
    constant = {
        "leak": "unreleased-reference",
        "double": "use-after-release",
        "direct_task": "kernel-pointer-dereferenced",
        "pkt": "packet-out-of-bounds",
        "complex_slow": "program-too-complex",
        "toobig": "program-too-long",
        "nobtf_core": "core-relocation-failed",
        "l5_core": "core-relocation-failed",
        "extern_strlen": "extern-unresolved",
        "maptype": "map-type-unsupported",
        "maplarge": "map-too-large",
        "null": "null-not-checked",
        "1024-one_frame": "compile-stack-limit",
    }
    found = {name: {case.verdict.cause for case in RUN.cases if case.variant == name} for name in constant}
    assert found == {name: {cause} for name, cause in constant.items()}


PERMISSION = {cause.id for cause in all_causes() if "EPERM" in cause.errnos}


def test_eacces_is_never_a_permission_problem() -> None:
    """No cause of EPERM takes EACCES, whatever the text says; no cause of EACCES speaks of permissions."""
    assert {"memlock", "lockdown", "bpf-not-permitted", "missing-capability"} <= PERMISSION
    for cause in all_causes():
        if cause.id in PERMISSION:
            assert "EACCES" not in cause.errnos
        for sample in cause.samples:
            if (sample.evidence.errno, sample.evidence.stage) == ("EACCES", Stage.LOAD):
                assert cause.id not in PERMISSION
                assert not re.search(r"permission|privilege|CAP_(?!PERFMON)", cause.title)
    for sample in (sample for cause in all_causes() if cause.id in PERMISSION for sample in cause.samples):
        assert find_cause(replace(sample.evidence, errno="EACCES")).id not in PERMISSION
    seen = Observation(ObservationStatus.FAILED, Stage.LOAD, "EACCES", loader_log="Permission denied")
    assert interpret(seen).cause == UNCLASSIFIED


def test_eperm_is_never_a_verifier_problem() -> None:
    """Whatever else a text with EPERM says, memlock, capabilities and lockdown are not the verifier's."""
    for cause in all_causes():
        for sample in cause.samples:
            if sample.evidence.errno == "EPERM":
                assert cause.id in PERMISSION or sample.evidence.stage in (Stage.ATTACH, Stage.RUN)
                assert "verifier said no" not in cause.explanation
    for stage in (Stage.MAP_CREATE, Stage.LOAD):
        silent = Evidence(stage, "EPERM", "", frozenset({"silent"}))
        assert find_cause(silent).id in PERMISSION


def test_lockdown_that_takes_a_helper_away_is_told_from_a_wrong_program_type() -> None:
    """Measured on four kernels under lockdown=confidentiality: EINVAL, as of a wrong program type."""
    for words in ("unknown func bpf_probe_read#4", "program of this type cannot use helper bpf_probe_read#4"):
        found = find_cause(Evidence(Stage.LOAD, "EINVAL", words))
        assert found.id == "memory-helper-refused"
        assert "lockdown" in found.explanation


_MEASURED = re.compile(r"\bmeasured,? (?:on )?(?P<kernels>[4-9]\.\d+(?:(?:, | and )[4-9]\.\d+)*)")
MEASURED = [
    pytest.param(cause, sample, found["kernels"], id=f"{cause.id}-{n}")
    for n, (cause, sample) in enumerate(SAMPLES)
    if (found := _MEASURED.search(sample.origin))
]


@pytest.mark.parametrize(("cause", "sample", "kernels"), MEASURED)
def test_a_sample_lies_in_the_range_of_its_wording(cause: Cause, sample: Sample, kernels: str) -> None:
    """Where the words say it was measured is where the ranges say they occur."""
    for kernel in (KernelVersion.parse(name) for name in re.findall(r"\d+\.\d+", kernels)):
        assert kernel in cause.kernels
        said = cause.said(sample.text, kernel)
        assert said is None or kernel in said[0].kernels, f"{kernel} does not use {said[0].pattern.pattern}"


def test_most_samples_were_measured() -> None:
    assert len(MEASURED) > 120


def test_every_wording_has_a_range_and_says_something() -> None:
    for cause in all_causes():
        assert isinstance(cause.kernels, VersionRange)
        for wording in cause.wordings:
            assert VersionRange.parse(wording.kernels.text) == wording.kernels
            assert not wording.pattern.search(""), f"{cause.id} fits everything"
            assert not wording.pattern.search("libbpf: prog 'p': BPF program load failed: Permission denied")


# What a pattern that backtracks needs: long runs of what its classes take, and its beginnings over and over.
HOSTILE = [
    "a" * 16384,
    "R1 " * 5000,
    "R1 type=" * 2000,
    "'" * 16384,
    "arg#0 " * 2700,
    "kernel function x " * 900,
    "(" * 16384,
    "_or_null " * 1800,
]


def test_no_pattern_is_slow_on_hostile_text() -> None:
    """Texts are bounded to 16 KiB in lines of 1,000 characters; one line of 16 KiB is no trouble either."""
    with at_most(120):
        for cause in all_causes():
            own = [(sample.text + " ") * (16384 // (len(sample.text) + 1)) for sample in cause.samples]
            for text in (*HOSTILE, *own):
                cause.said(text)


def test_eperm_is_memlock_only_where_the_limit_was_low() -> None:
    seen = Observation(ObservationStatus.FAILED, Stage.MAP_CREATE, "EPERM")
    assert interpret(seen, LoadSettings(memlock=65536)).cause == "memlock"
    assert interpret(seen, LoadSettings(capabilities=())).cause == "missing-capability"


@pytest.mark.parametrize(
    ("kind", "entries", "cause"),
    [
        ("ringbuf", 0, "ringbuf-size"),
        ("ringbuf", 4095, "ringbuf-size"),
        ("ringbuf", 12288, "ringbuf-size"),
        ("ringbuf", 4096, "map-type-unsupported"),
        ("array", 0, "map-zero-entries"),
        ("type 99", 1, "map-type-unsupported"),
        ("hash", 1, "map-parameters"),
    ],
)
def test_einval_at_map_creation_is_explained_by_the_map(kind: str, entries: int, cause: str) -> None:
    created = MapCreated("m", kind, 4, 4, entries, 0, "EINVAL")
    seen = Observation(ObservationStatus.FAILED, Stage.MAP_CREATE, "EINVAL", maps=(created,))
    verdict = interpret(seen)
    assert verdict.cause == cause
    assert f"max_entries {entries}" in verdict.message


def test_unknown_rejection_is_unclassified_and_keeps_its_errno() -> None:
    seen = Observation(ObservationStatus.FAILED, Stage.LOAD, "EXDEV", verifier_log="the moon is full\n")
    verdict = interpret(seen)
    assert (verdict.cause, verdict.errno, verdict.message) == (UNCLASSIFIED, "EXDEV", "the moon is full")
    assert cause_by_id("of another version").id == UNCLASSIFIED


def test_a_listing_cannot_choose_the_cause() -> None:
    lie = '; printf("cannot call GPL-restricted function from non-GPL compatible program")'
    text = f"0: (95) exit\n{lie}\nR0 !read_ok\n"
    seen = Observation(ObservationStatus.FAILED, Stage.LOAD, "EACCES", verifier_log=text)
    assert interpret(seen).cause == "uninitialised-register"


def test_a_listing_pasted_into_the_loaders_log_is_no_word_of_the_loader() -> None:
    """Measured: libbpf 1.1.2 on 5.10, an object whose BTF the kernel refuses, then a program too long."""
    pasted = (
        "libbpf: BTF loading error: -22\nlibbpf: -- BEGIN BTF LOAD LOG ---\nmagic: 0xeb9f\n"
        "[4] FUNC x legacy map definitions in section\n\n-- END BTF LOAD LOG --\n"
        "libbpf: Error loading .BTF into kernel: -22. BTF is optional, ignoring.\n"
        "libbpf: prog 'straight_line': BPF program load failed: Argument list too long\n"
    )
    verdict = interpret(Observation(ObservationStatus.FAILED, Stage.LOAD, "E2BIG", loader_log=pasted))
    assert (verdict.cause, verdict.message) == ("program-too-long", "E2BIG, and no reason given")


def test_facts_alone_do_not_overrule_the_stage() -> None:
    evidence = Evidence(Stage.LOAD, "EINVAL", "", frozenset({"ringbuf_size_invalid"}))
    assert find_cause(evidence).id == UNCLASSIFIED


BAD = """causes:
  - id: x-one
    title: A title
    stages: [load]
    patterns: ["(unclosed"]
    explanation: something long enough to pass
    fix: something long enough
    samples: [{text: a, origin: here}]
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BAD, r":5: not a regular expression"),
        (BAD.replace('"(unclosed"', '"closed"').replace("title:", "titel:"), r":3: unknown key 'titel'"),
        (BAD.replace('"(unclosed"', '"closed"').replace("[load]", "[lod]"), r":4: .*did you mean 'load'"),
        (BAD.replace('patterns: ["(unclosed"]', 'kernels: ">>5"'), r":5: '>>5' is not a comparison"),
        (
            BAD.replace('patterns: ["(unclosed"]', 'wordings: [{pattern: "(unclosed", kernels: "*"}]'),
            r":5: not a regular expression",
        ),
        (
            BAD.replace('patterns: ["(unclosed"]', 'wordings: [{pattern: "closed", kernels: "new"}]'),
            r":5: 'new' is not a comparison",
        ),
        (
            BAD.replace("x-one", "unclassified").replace("(unclosed", "closed"),
            r":2: the id 'unclassified' is taken",
        ),
    ],
)
def test_a_bad_causes_file_is_refused_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "causes.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        load_causes(path)
