"""The assembler against clang's, instruction by instruction."""

import subprocess

import pytest
from elftools.elf.elffile import ELFFile

from harness.build.toolchain import find_compilers
from harness.features.probe.instructions import (
    AssemblyError,
    assemble,
    call_and_exit,
    instruction,
)

TEXTS = """r1 = r2
w1 = w2
w1 = 5
r1 = -5
r1 = 0x123456789 ll
r1 += r2
r2 -= 7
w1 s>>= 3
r1 <<= r2
r1 ^= 0x7f
r1 s/= r2
r1 s%= 7
r1 %= 7
r1 = -r1
w1 = -w1
r1 = be16 r1
r1 = le64 r1
r1 = bswap32 r1
r1 = (s8)r2
w1 = (s16)w2
r1 = *(u32 *)(r2 + 4)
r1 = *(u8 *)(r2 + 0)
r1 = *(s8 *)(r2 - 4)
r1 = *(s32 *)(r2 - 4)
*(u64 *)(r10 - 8) = r1
*(u16 *)(r10 - 8) = w1
*(u32 *)(r10 - 8) = 5
lock *(u64 *)(r1 + 0) += r2
lock *(u32 *)(r1 + 0) |= w2
r2 = atomic_fetch_add((u64 *)(r1 + 8), r2)
w2 = atomic_fetch_xor((u32 *)(r1 + 8), w2)
r2 = xchg_64(r1 + 0, r2)
w2 = xchg32_32(r1 + 0, w2)
r0 = cmpxchg_64(r1 + 0, r0, r2)
w0 = cmpxchg32_32(r1 + 0, w0, w2)
if r1 == r2 goto +1
if w1 s> 5 goto -2
if r1 != -1 goto +0
if r1 <= r9 goto +0
goto +3
gotol +7000
call 12
exit
r0 = *(u32 *)skb[12]
r0 = *(u16 *)skb[r1]""".splitlines()
# Newer than the oldest clang that is used here.
NEWER = {
    "may_goto +1": "e5 00 01 00 00 00 00 00",
    "r0 = load_acquire((u64 *)(r1 + 0))": "db 10 00 00 00 01 00 00",
    "store_release((u64 *)(r1 + 0), r2)": "db 21 00 00 10 01 00 00",
    "gotol +70000": "06 00 00 00 70 11 01 00",
    "gotox r1": "0d 01 00 00 00 00 00 00",
    "if r1 & 7 goto +0": "45 01 00 00 07 00 00 00",
    "r1 = addr_space_cast(r2, 0x0, 0x1)": "bf 21 01 00 01 00 00 00",
}


@pytest.fixture(scope="module")
def clang(tmp_path_factory):
    """A function that assembles a text with the newest clang there is."""
    compiler = find_compilers([])[0]
    folder = tmp_path_factory.mktemp("assembled")

    def code(text):
        (folder / "a.s").write_text(text + "\n")
        command = [str(compiler.path), "--target=bpf", "-mcpu=v4", "-c", "a.s", "-o", "a.o"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        with (folder / "a.o").open("rb") as file:
            return ELFFile(file).get_section_by_name(".text").data()

    return code


def test_every_form_is_what_clang_makes_of_it(clang):
    whole = clang("\n".join(TEXTS))
    mine = [assemble(text).code for text in TEXTS]
    at = 0
    for text, code in zip(TEXTS, mine, strict=True):
        assert code.hex(" ") == whole[at : at + len(code)].hex(" "), text
        at += len(code)
    assert at == len(whole)


@pytest.mark.parametrize("text", NEWER)
def test_newer_instructions(text):
    assert assemble(text).code.hex(" ") == NEWER[text]


def test_labels_count_wide_instructions_twice(clang):
    text = "start:\nr1 = 1 ll\nif r1 > 5 goto end\nr2 = 2 ll\ngoto start\nend:\nexit"
    assert assemble(text).code == clang(text)
    assert assemble(text).labels == {"start": 0, "end": 6}


def test_names_become_pseudo_instructions():
    done = assemble(
        "r1 = map events\nr2 = value data + 4\nr3 = function back\ncall kfunc f\ncall function back\n"
        "exit\nback:\nexit",
        {"f": 77},
    )
    assert done.maps == {4: "events", 20: "data"}
    rows = [done.code[at : at + 8].hex(" ") for at in range(0, len(done.code), 8)]
    assert rows[0] == "18 11 00 00 00 00 00 00"
    assert rows[2:4] == ["18 22 00 00 00 00 00 00", "00 00 00 00 04 00 00 00"]
    assert rows[4] == "18 43 00 00 04 00 00 00"  # from its own place + 1
    assert rows[6] == "85 20 00 00 4d 00 00 00"
    assert rows[7] == "85 10 00 00 01 00 00 00"


def test_what_is_no_instruction_is_said():
    with pytest.raises(AssemblyError, match="no instruction: 'r1 = r99'"):
        assemble("exit\nr1 = r99")
    with pytest.raises(AssemblyError, match="no label 'there'; there are: here"):
        assemble("here:\ngoto there")
    with pytest.raises(KeyError):
        assemble("call kfunc unheard_of")


def test_the_shortest_call():
    assert call_and_exit(181) == assemble("call 181\nexit").code
    assert call_and_exit(5, 2) == assemble("call kfunc f\nexit", {"f": 5}).code
    assert instruction(0xB7, imm=0xFFFFFFFF) == assemble("r0 = -1").code
