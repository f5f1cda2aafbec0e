"""Error texts as people paste them: the notes' quotes, measured logs in every loader's form, hostile ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from time_bound import at_most

from harness.model import CaseResult, KernelVersion, Observation, ObservationStatus, Stage
from harness.record.runfile import read
from harness.verdict import errnos
from harness.verdict.causes import UNCLASSIFIED
from harness.verdict.classify import interpret
from harness.verdict.errortext import read_error
from harness.verdict.explain import Explanation, Hints, explain
from harness.verdict.logparse import parse

RUN = read(Path(__file__).parent / "test_data" / "sample-run.json")
STATES = (
    "R0_w=inv(id=0) R1_w=ctx(id=0,off=0,imm=0) R2_w=map_ptr(id=0,off=0,ks=4,vs=4,imm=0) R3_w=inv4294967295 "
    "R4_w=map_value(id=0,off=0,ks=4,vs=8040,imm=0) "
    "R5_w=inv(id=0,umax_value=4294967295,var_off=(0x0; 0xffffffff)) R6=ctx(id=0,off=0,imm=0) "
    "R7_w=map_value(id=0,off=0,ks=4,vs=8040,imm=0) R10=fp0 fp-8=mmmm????"
)
# Every error text the two field notes quote, to the letter.
NOTE_N1 = (
    "FATA[0000] LoadAndAssign error -> field EnterMkdiratProg: program sys_enter_mkdirat: "
    "map container_cgroup_files_event_map: map create: invalid argument (without BTF k/v)"
)
NOTE_N9 = (
    "FATA[0001] LoadAndAssign error -> field ExitExecveProg: program sys_exit_execve: load program: "
    f"permission denied: {STATES}: R5 unbounded memory access, use 'var &= const' or 'if (var < const)' "
    "(44 line(s) omitted)"
)
QUOTES = {
    "N1": (NOTE_N1, "map-parameters", Stage.MAP_CREATE, "EINVAL"),
    "N2": ("argument list tooo long ", "map-too-large", None, "E2BIG"),
    "N6": ('symbol "strlen": unsatisfied program reference', "extern-unresolved", Stage.OPEN, None),
    "N9": (NOTE_N9, "unbounded-size", Stage.LOAD, "EACCES"),
    "N10": (
        "load program: permission denied: 14: (71) r4 = *(u8 *)(r1 +0): R1 invalid mem access 'inv' "
        "(30 line(s) omitted) ",
        "kernel-pointer-dereferenced",
        Stage.LOAD,
        "EACCES",
    ),
    "N11": (
        "invalid argument: Unreleased reference id=2 alloc_insn=14 (130 line(s) omitted) ",
        "unreleased-reference",
        None,
        "EINVAL",
    ),
    "N12": (
        "R1 invalid mem access inv. R1 寄存器非法访问",
        "kernel-pointer-dereferenced",
        None,
        None,
    ),
    "N13": (
        "load program: invalid argument: Arg#0 type PTR in match_cgroup_dirs() is not supported yet. "
        "(2 line(s) omitted) ",
        "global-function-argument",
        Stage.LOAD,
        "EINVAL",
    ),
    "S1": ("'permission deny'", "verifier-log-missing", None, "EACCES"),
}


@pytest.mark.parametrize("name", QUOTES)
def test_every_error_the_notes_quote_is_recognised(name: str) -> None:
    text, cause, stage, errno = QUOTES[name]
    found = explain(text)
    assert (found.cause.id, found.error.stage, found.error.errno) == (cause, stage, errno)


def test_what_the_quotes_tell_besides_the_cause() -> None:
    size = explain(NOTE_N9)
    assert size.said == "R5 unbounded memory access, use 'var &= const' or 'if (var < const)'"
    assert (size.error.program, size.error.omitted_lines) == ("sys_exit_execve", 44)
    ring = explain(NOTE_N1)
    assert (ring.error.map, ring.error.program) == ("container_cgroup_files_event_map", "sys_enter_mkdirat")
    assert [cause.id for cause in ring.also] == ["ringbuf-size", "map-type-unsupported", "map-zero-entries"]
    pointer = explain(QUOTES["N10"][0])
    assert (pointer.parsed.insn, pointer.parsed.insn_text) == (14, "(71) r4 = *(u8 *)(r1 +0)")
    assert pointer.wording is not None
    assert pointer.wording.kernels.text == "<5.18"
    leak = explain(QUOTES["N11"][0])
    assert leak.acquired == (14, "")
    assert [cause.id for cause in explain(QUOTES["N2"][0]).also] == ["program-too-long"]


PHRASES = {
    "permission denied": "verifier-log-missing",
    "libbpf: prog 'x': BPF program load failed: Permission denied": "verifier-log-missing",
    "libbpf: prog 'x': failed to load: -13": "verifier-log-missing",
    "-13": "verifier-log-missing",
    "operation not permitted": "missing-capability",
    "libbpf: prog 'x': failed to load: -1": "missing-capability",
    "load program: operation not permitted (MEMLOCK may be too low, consider rlimit.…)": "memlock",
    "Lockdown: loader: use of kprobes is restricted; see man kernel_lockdown.7": "lockdown",
    "cannot allocate memory": "map-too-large",
    "libbpf: map 'm': failed to create: Argument list too long(-7)": "map-too-large",
    "libbpf: prog 'x': BPF program load failed: Argument list too long": "program-too-long",
    "libbpf: prog 'x': BPF program load failed: Invalid argument": "program-refused-unseen",
    "libbpf: map 'm': failed to create: Invalid argument(-22)": "map-parameters",
    "Error: the BPF_PROG_LOAD syscall failed. Verifier output: combined stack size of 3 calls is 544. "
    "Too large": "stack-combined",
    'attach kprobe: creating perf_kprobe PMU (arch-specific fallback for "do_unlinkat"): token '
    "__x64_do_unlinkat: not found: no such file or directory": "attach-target-missing",
    "x.bpf.c:1:29: error: A call to built-in function 'memcpy' is not supported.": "compile-builtin-call",
    "load program: bad CO-RE relocation: invalid func unknown#195896080 (9 line(s) omitted)": (
        "core-relocation-failed"
    ),
}


@pytest.mark.parametrize(("text", "cause"), PHRASES.items())
def test_short_texts(text: str, cause: str) -> None:
    assert explain(text).cause.id == cause


def test_permission_words_are_told_apart_by_what_stands_with_them() -> None:
    """EACCES with a verifier's reason is its reason; EPERM with a hint at memlock is not the verifier's."""
    reason = "load program: permission denied: 0: (95) exit: R0 !read_ok"
    assert explain(reason).cause.id == "uninitialised-register"
    hint = "map create: operation not permitted (MEMLOCK may be too low, consider rlimit.RemoveMemlock)"
    old, new = (explain(hint, Hints(kernel=KernelVersion.parse(name))) for name in ("5.10", "6.1"))
    assert (old.cause.id, [cause.id for cause in old.also]) == ("memlock", ["missing-capability"])
    assert new.cause.id == "missing-capability", "since 5.11 the limit plays no part"


def test_the_kernel_named_prefers_its_wordings() -> None:
    """`unknown func` with a name came before `program of this type cannot use helper`."""
    text = "unknown func bpf_redirect#23"
    here = explain(text, Hints(kernel=KernelVersion.parse("6.1.0-56-amd64")))
    assert here.wording is not None
    assert KernelVersion.parse("6.1") in here.wording.kernels
    elsewhere = explain(text, Hints(kernel=KernelVersion.parse("7.3")))
    assert elsewhere.cause.id == "helper-not-allowed", "known all the same, and the range says from where"


def test_hints_overrule_the_text() -> None:
    assert explain("it failed", Hints(Stage.MAP_CREATE, "E2BIG")).cause.id == "map-too-large"
    assert explain("Invalid argument", Hints(Stage.LOAD)).cause.id == "program-refused-unseen"
    assert explain("it failed").cause.id == UNCLASSIFIED


WORDS = {"EACCES": "Permission denied", "EINVAL": "Invalid argument", "E2BIG": "Argument list too long"}


def refused() -> list[CaseResult]:
    """Cases of the sample run whose verifier log says why."""
    return [
        case
        for case in RUN.cases
        if (seen := case.observation)
        and (seen.status, seen.stage) == (ObservationStatus.FAILED, Stage.LOAD)
        and seen.errno in WORDS
        and parse(seen.verifier_log).reasons
    ]


def forms(seen: Observation) -> Iterator[tuple[str, str]]:
    """The same log as tools print it."""
    words, log = WORDS[seen.errno or ""], seen.verifier_log.rstrip("\n")
    lines = log.split("\n")
    yield "log", log
    yield (
        "libbpf",
        f"libbpf: prog 'p': BPF program load failed: {words}\n"
        f"libbpf: prog 'p': -- BEGIN PROG LOAD LOG --\n{log}\n-- END PROG LOAD LOG --\n"
        "libbpf: prog 'p': failed to load: -13\nlibbpf: failed to load object 'o'\n",
    )
    yield (
        "old libbpf",
        (
            f"libbpf: load bpf program failed: {words}\nlibbpf: -- BEGIN DUMP LOG ---\nlibbpf: \n{log}\n\n"
            "libbpf: -- END LOG --\nlibbpf: failed to load program 'p'\n"
        ),
    )
    yield (
        "cilium %+v",
        f"program p: load program: {words.lower()}:" + "".join(f"\n\t{line}" for line in lines),
    )
    yield (
        "journal",
        "".join(f"Nov 22 21:00:{n % 60:02} host app[123]: {line}\n" for n, line in enumerate(lines)),
    )
    escaped = log.replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    yield "json", f'{{"level":"error","msg":"load program: {words.lower()}: {escaped}"}}'
    yield "colours", "\x1b[31m" + log.replace("\n", "\x1b[0m\r\n\x1b[31m") + "\x1b[0m"


def test_a_log_has_the_same_cause_and_place_in_every_form() -> None:
    cases = refused()
    assert len(cases) > 100
    wrong = []
    for case in cases:
        assert case.observation is not None
        want, place = interpret(case.observation).cause, parse(case.observation.verifier_log)
        for form, text in forms(case.observation):
            found = explain(text)
            if (found.cause.id, found.parsed.insn) != (want, place.insn):
                wrong.append(f"{case.id} as {form}: {found.cause.id} at {found.parsed.insn}")
    assert wrong == []


def test_cilium_summaries_of_measured_logs() -> None:
    """internal/errors.go: the last line, and the one before it where that begins with a register."""
    for case in refused():
        assert case.observation is not None
        log = [line for line in case.observation.verifier_log.split("\n") if line]
        ends = ("processed ", "verification time", "stack depth", "subprog ")
        said = [line for line in log if not line.startswith(ends)]
        if any(line.startswith("Verification failed") for line in said) or said[-1].startswith(";"):
            continue  # 7.3: see below; and a statistics log ends with the source line
        last = said[-2:] if said[-1].startswith("R") else said[-1:]
        words = WORDS[case.observation.errno or ""].lower()
        text = f"load program: {words}: {': '.join(last)} (9 line(s) omitted)"
        found = explain(text)
        assert (found.cause.id, found.error.omitted_lines) == (interpret(case.observation).cause, 9), text


def test_summaries_of_7_3_hold_the_end_of_its_suggestion() -> None:
    """Most are known by it; the others are said to lack the reason, and none is taken for something else."""
    known = 0
    for case in refused():
        assert case.observation is not None
        log = [line for line in case.observation.verifier_log.split("\n") if line]
        if not any(line.startswith("Verification failed") for line in log):
            continue
        ends = ("processed ", "verification time", "stack depth", "subprog ")
        last = [line for line in log if not line.startswith(ends)][-1].strip()
        words = WORDS[case.observation.errno or ""].lower()
        found = explain(f"load program: {words}: {last} (41 line(s) omitted)").cause.id
        want = interpret(case.observation).cause
        assert found in (want, "verifier-log-missing", "helper-argument-type"), last
        known += found == want
    assert known > 10


def test_text_around_a_log_does_not_become_its_reason() -> None:
    text = (
        "Nov 22 starting up\nError: something before\n0: R1=ctx() R10=fp0\n0: (95) exit\nR0 !read_ok\n"
        "processed 1 insns (limit 1000000)\nError: cannot call GPL-restricted function from a shell\nbye\n"
    )
    found = explain(text)
    assert (found.cause.id, found.said, found.parsed.insn) == ("uninitialised-register", "R0 !read_ok", 0)


def test_a_listing_cannot_choose_the_cause() -> None:
    lie = "; cannot call GPL-restricted function from non-GPL compatible program @ x.c:1"
    for text in (
        f"0: (b7) r0 = 0\n{lie}\n1: (95) exit\nR0 !read_ok\nprocessed 2 insns (limit 1000000)\n",
        f"libbpf: -- BEGIN PROG LOAD LOG --\n{lie}\n0: (95) exit\nR0 !read_ok\n-- END PROG LOAD LOG --\n",
        f"load program: permission denied: {lie}: R0 !read_ok (1 line(s) omitted)",
    ):
        assert explain(text).cause.id == "uninitialised-register"


def test_the_suggestion_and_place_of_7_3_are_handed_on() -> None:
    case = next(c for c in RUN.cases if (c.variant, c.kernel) == ("leak", "newest"))
    assert case.observation is not None
    found = explain(case.observation.verifier_log)
    assert found.parsed.suggestion.endswith("on every path before the program exits.")
    assert found.acquired is not None
    assert (found.acquired[0], "bpf_ringbuf_reserve" in found.acquired[1]) == (4, True)
    assert found.parsed.source_at == "a07_leak.c:3"


def check(found: Explanation) -> None:
    """Whatever came in, what goes out is bounded and printable."""
    for text in (
        found.said,
        found.error.program,
        found.error.map,
        found.parsed.source,
        found.parsed.insn_text,
    ):
        assert len(text) <= 300
        assert not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in text)


PIECES = st.sampled_from(
    [
        "libbpf: prog 'p': ", "-- BEGIN PROG LOAD LOG --", "-- END PROG LOAD LOG --", "\n", "\t", ": ", "; ",
        "0: ", "(71) r4 = *(u8 *)(r1 +0)", "permission denied", "invalid argument", " (44 line(s) omitted)",
        "R1 ", "R0_w=", "processed 1 insns (limit 1000000)", "Verification failed: ", "Reason:", "At:",
        "Suggestion:", "\\n", "\x1b[", "map create", "Verifier output: ", "alloc_insn=4",
        "invalid mem access 'inv'", "\0", "\r", "é", "\udcff", "'",
    ]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=2000), st.lists(PIECES, max_size=60).map("".join)))
def test_explain_survives_any_text(text: str) -> None:
    check(explain(text))


@settings(deadline=None)
@given(st.binary(max_size=2000))
def test_explain_survives_any_bytes(raw: bytes) -> None:
    check(explain(raw.decode("utf-8", "replace")))
    check(explain(raw.decode("utf-8", "surrogateescape")))


@pytest.mark.parametrize(
    "piece",
    [
        "a", "\n", ": ", "'", "\t", "\\n", "\x1b[", "\x1b]", "R1 type=", "0: (95) exit: ", "(((((", "Error: ",
        "permission denied: ", "-- BEGIN PROG LOAD LOG --\n", "libbpf: -- BEGIN DUMP LOG ---\n", "; x: ",
        "0: (95) exit\n", "Reason:\n", "Verification failed: x\n", "processed 1 insns (limit 1000000)\n",
        "map 'm': failed to create: ", "failed to create kprobe '",
        "5: (55) if r0 != 0x3 goto pc-4 infinite loop detected at insn ",
    ],
)  # fmt: skip
def test_a_megabyte_of_anything_is_quick(piece: str) -> None:
    """Linear enough: a megabyte takes a fraction of a second here; what backtracks takes minutes."""
    with at_most(60):
        check(explain((piece * (1 << 20))[: 1 << 20]))


def test_a_very_long_log_keeps_its_head_and_its_end() -> None:
    listing = "".join(f"{n}: (bf) r1 = r2\n" for n in range(200_000))
    head = "x" * 100_000 + "\nlibbpf: prog 'late': BPF program load failed: Permission denied\n"
    log = f"libbpf: prog 'late': -- BEGIN PROG LOAD LOG --\n{listing}R0 !read_ok\n-- END PROG LOAD LOG --\n"
    found = explain(head + log)
    assert (found.cause.id, found.parsed.insn) == ("uninitialised-register", 199_999)
    assert (found.error.program, found.error.errno) == ("late", "EACCES")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("EINVAL", "EINVAL"), ("einval", "EINVAL"), ("22", "EINVAL"), ("-22", "EINVAL"), ("524", "ENOTSUPP"),
        ("Permission denied", "EACCES"), ("95", "EOPNOTSUPP"), ("EFOO", None), ("9999", None), ("", None),
    ],
)  # fmt: skip
def test_errnos_as_people_write_them(text: str, name: str | None) -> None:
    assert errnos.parse(text) == name


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("failed to load: -13", "EACCES"),
        ("Permission denied (os error 13)", "EACCES"),
        ("map create: errno=524", "ENOTSUPP"),
        ("Error in bpf_create_map_xattr(m):ERROR: strerror_r(-524)=22(-524)", "ENOTSUPP"),
        ("exit status 1", None),
        ("44 line(s) omitted (2 more)", None),
        ("listening on port 13", None),
    ],
)
def test_errnos_in_lines(line: str, name: str | None) -> None:
    assert errnos.of_line(line) == name


def test_libbpfs_asides_do_not_decide() -> None:
    text = (
        "libbpf: BTF loading error: -22\nlibbpf: -- BEGIN BTF LOAD LOG ---\n"
        "[4] FUNC x type_id=1 Invalid arg#1\n\n-- END BTF LOAD LOG --\n"
        "libbpf: Error loading .BTF into kernel: -22. BTF is optional, ignoring.\n"
        "libbpf: Error in bpf_create_map_xattr(m):ERROR: strerror_r(-524)=22(-524). Retrying without BTF.\n"
        "libbpf: prog 'p': BPF program load failed: Argument list too long\n"
    )
    read_text = read_error(text)
    assert (read_text.errno, read_text.stage) == ("E2BIG", Stage.LOAD)
    assert explain(text).cause.id == "program-too-long"
