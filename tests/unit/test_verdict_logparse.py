"""Reading verifier logs: every layout seen in a real guest, and logs that were never meant to be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model import CaseResult
from harness.record.runfile import read
from harness.verdict.logparse import LineKind, btf_reason, line_kinds, parse, stats
from harness.verdict.logplace import listed_insn
from harness.verdict.text import one_line, visible

RUN = read(Path(__file__).parent / "test_data" / "sample-run.json")


def case(program: str, variant: str, kernel: str) -> CaseResult:
    return next(c for c in RUN.cases if (c.program, c.variant, c.kernel) == (program, variant, kernel))


def log(program: str, variant: str, kernel: str) -> str:
    observation = case(program, variant, kernel).observation
    assert observation is not None
    return observation.verifier_log


KERNELS = ("5.10", "6.1", "6.12", "newest")


def test_the_statistics_of_7_2_are_no_reason() -> None:
    text = (
        "vfs_read is not sleepable\nverification time 6458 usec\nstack depth 480+0 max 480\n"
        "insns processed 15\n"
        "processed 15 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0\n"
    )
    assert parse(text).reason == "vfs_read is not sleepable"


@pytest.mark.parametrize("kernel", KERNELS)
def test_null_dereference_is_read_from_every_layout(kernel: str) -> None:
    parsed = parse(log("programs/maps/update_looked_up", "null", kernel))
    assert parsed.reason == "R0 invalid mem access 'map_value_or_null'"
    assert parsed.insn == 7
    assert parsed.source.startswith('SEC("tracepoint/syscalls/sys_enter_mkdirat") int p(void*ctx)')
    assert parsed.stats is not None
    assert parsed.stats.insns_processed == 7


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_marked_lines_are_the_instruction_and_the_reason(kernel: str) -> None:
    text = log("programs/maps/update_looked_up", "null", kernel)
    parsed = parse(text)
    lines = text.split("\n")
    assert [lines[index] for index in parsed.reason_lines] == ["R0 invalid mem access 'map_value_or_null'"]
    assert parsed.insn_line is not None
    assert lines[parsed.insn_line] == "7: (79) r1 = *(u64 *)(r0 +0)"


def test_7_3_gives_title_suggestion_and_place_besides_the_old_reason() -> None:
    parsed = parse(log("programs/refs/ringbuf_leak", "leak", "newest"))
    assert parsed.reasons == (
        "Unreleased reference id=2 alloc_insn=4",
        "BPF_EXIT instruction in main prog would lead to reference leak",
    )
    assert parsed.title == "Resource Lifetime Safety: Unreleased resource"
    assert parsed.explanation.startswith("Owned resource (id=2) was acquired at instruction 4")
    assert parsed.suggestion.endswith("on every path before the program exits.")
    assert (parsed.insn, parsed.source_at) == (16, "a07_leak.c:3")


def test_7_3_block_without_source_still_names_the_instruction() -> None:
    block = (
        "R0 !read_ok\n\nVerification failed: Register Type Safety: Unreadable register\n\n"
        "Reason:\n  R0 has.\n\nAt:\n  p @ x.c:3:9\n  Source context:\n  >>> 3 | return r;\n"
        "  Instruction context:\n  >>> 5 | (95) exit\n\n"
        "Suggestion:\n  Initialize R0.\n\nprocessed 1 insns (limit 1000000)\n"
    )
    parsed = parse(block)
    assert (parsed.insn, parsed.source, parsed.source_at) == (5, "return r;", "x.c:3")


def test_two_line_reasons_are_kept_together() -> None:
    parsed = parse(log("programs/bounds/output_size", "map_oob_const", "5.10"))
    assert parsed.reason == (
        "invalid access to map value, value_size=64 off=64 size=1; "
        "R0 min value is outside of the allowed memory range"
    )


def test_a_note_is_the_reason_only_where_nothing_else_is_said() -> None:
    alone = parse(log("programs/functions/global_arg", "global_voidptr", "6.1"))
    assert alone.reason == "arg#0 reference type('UNKNOWN ') size cannot be determined: -22"
    with_more = parse(log("programs/functions/global_arg", "global_voidptr", "6.12"))
    assert with_more.reason == "Caller passes invalid args into func#1 ('f2')"


def test_btf_dump_before_a_map_failure_is_no_reason() -> None:
    text = log("programs/limits/memlock", "maplarge", "5.10")
    assert text.startswith("magic: 0xeb9f")
    assert parse(text).reason == ""
    assert btf_reason(text).endswith("Array size overflows U32_MAX")


def test_statistics_of_every_generation() -> None:
    old = stats(
        "processed 3 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 2 mark_read 3\n"
    )
    assert old is not None
    assert (old.insns_processed, old.total_states, old.peak_states, old.mark_read) == (3, 1, 2, 3)
    short = stats("processed 3 insns (limit 131072)\n")
    assert short is not None
    assert (short.limit, short.total_states) == (131072, None)
    assert stats("nothing of the kind") is None


def test_source_comments_cannot_pose_as_reasons() -> None:
    text = "0: (95) exit\n; R5 unbounded memory access\nR0 !read_ok\nprocessed 1 insns (limit 1000000)\n"
    assert parse(text).reasons == ("R0 !read_ok",)


def test_the_reason_is_found_behind_a_megabyte_of_log() -> None:
    noise = "".join(f"{n}: (bf) r1 = r2\n" for n in range(60_000))
    parsed = parse(noise + "59999: (95) exit\nR0 !read_ok\nprocessed 9 insns (limit 1000000)\n")
    assert (parsed.reason, parsed.insn) == ("R0 !read_ok", 59999)
    assert parsed.line_count == 60_003
    assert parsed.insn_line == 60_000


def test_a_reason_behind_an_instruction_is_told_from_it() -> None:
    """Measured on 6.1, 6.12 and 7.3: the newline of the jump is taken back, and no state follows."""
    text = (
        "4: (77) r0 >>= 32                     ; R0_w=scalar(umax=4294967295,var_off=(0x0; 0xffffffff))\n"
        "5: (55) if r0 != 0x3 goto pc-4 infinite loop detected at insn 2\n"
        "cur state: R10=fp0 fp-8=0000pppp\nold state: R10=fp0 fp-8=0000pppp\n"
        "verification time 984 usec\nstack depth max 0\nsubprog 0 (p) main insns_self 15 insns_total 15\n"
        "processed 15 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0\n"
    )
    parsed = parse(text)
    assert parsed.reason == "infinite loop detected at insn 2"
    assert (parsed.insn, parsed.insn_text) == (5, "(55) if r0 != 0x3 goto pc-4")
    assert (parsed.reason_lines, parsed.insn_line) == ((1,), 1)


def test_a_reason_without_a_newline_behind_it() -> None:
    """Measured on 7.3."""
    text = "3: (85) call bpf_tail_call#12\nexpected prog array map for tail callverification time 666 usec\n"
    assert parse(text).reason == "expected prog array map for tail call"


def test_the_agents_mark_in_a_cut_log_is_no_reason() -> None:
    text = (
        "7: (57) r0 &= 1\n"
        "(the log was cut here; what follows is the log of the first, statistics-only attempt)\n"
        "The sequence of 8193 jumps is too complex.\nprocessed 9 insns (limit 1000000)\n"
    )
    assert parse(text).reason == "The sequence of 8193 jumps is too complex."


def test_instructions_are_quoted_without_their_state() -> None:
    text = (
        "1: (85) call bpf_ringbuf_reserve#131          ; R0_w=ringbuf_mem_or_null(id=2)\n"
        "2: (b7) r0 = 0                        ; R0_w=0\n3: (95) exit\n"
        "Unreleased reference id=2 alloc_insn=1\n"
    )
    parsed = parse(text)
    assert (parsed.insn, parsed.insn_text) == (3, "(95) exit")
    assert listed_insn(text, 1) == "(85) call bpf_ringbuf_reserve#131"
    assert listed_insn(text, 11) == ""


def test_a_log_cut_at_its_head_side_has_no_reason() -> None:
    assert parse("0: (bf) r1 = r2\n1: (b7) r0").reason == ""


def test_line_kinds_end_the_block_of_7_3() -> None:
    lines = log("programs/refs/ringbuf_leak", "leak", "newest").split("\n")
    kinds = list(line_kinds(lines))
    assert kinds[lines.index("Suggestion:")] is LineKind.DIAGNOSIS
    assert kinds[next(i for i, line in enumerate(lines) if line.startswith("BPF_EXIT"))] is LineKind.TEXT
    assert kinds[next(i for i, line in enumerate(lines) if line.startswith("processed"))] is LineKind.STATS


@settings(deadline=None)  # on a busy machine the first example takes longer than the others
@given(st.text(max_size=2000))
def test_parse_survives_anything(text: str) -> None:
    parsed = parse(text)
    assert len(parsed.reason) <= 200
    assert "\n" not in parsed.reason
    assert "\x1b" not in parsed.reason


@settings(deadline=None)
@given(st.text(max_size=500), st.integers(10, 300))
def test_one_line_is_one_printable_bounded_line(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in line)


def test_escape_sequences_are_removed_from_messages_and_shown_in_logs() -> None:
    hostile = "\x1b[31mred\x1b]0;owned\x07\x00\x9b2J\u202eend"
    assert one_line(hostile) == "red end"
    assert visible(hostile) == "␛[31mred␛]0;owned␇␀<U+009B>2J<U+202E>end"
