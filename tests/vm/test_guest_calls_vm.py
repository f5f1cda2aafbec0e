"""System calls made in a real guest: values, errnos, logs, a process that ends, one that does not."""

import struct

import pytest

from harness.crew import warm_object
from harness.guest.assets import prepare
from harness.guest.calls import Call, Ending, Patch, PatchKind, Sys, argument
from harness.guest.guest import start_guest
from harness.guest.options import AccelChoice, GuestOptions

pytestmark = pytest.mark.vm
GETPID, KILL, PAUSE = 39, 62, 34
EXIT = struct.pack("<BBhi", 0xB7, 0, 0, 0) + struct.pack("<BBhi", 0x95, 0, 0, 0)


@pytest.fixture(scope="module")
def guest(kernel):
    machine = kernel("5.10")
    options = GuestOptions(accel=AccelChoice.TCG)
    with start_guest(lambda kvm: prepare(machine, kvm=kvm, warm=warm_object()), options) as started:
        yield started


def program(insns):
    attr = struct.pack("<IIQQIIQ", 1, len(insns) // 8, 0, 0, 1, 4096, 0) + bytes(80)
    patches = (
        Patch(0, 8, PatchKind.ADDRESS, 1),
        Patch(0, 16, PatchKind.ADDRESS, 2),
        Patch(0, 32, PatchKind.LOG),
    )
    return Call(
        Sys.BPF,
        (5, 0, len(attr)),
        (attr, insns, b"GPL\0"),
        (*patches, argument(1)),
        log_bytes=4096,
        log_tail=200,
    )


def test_a_program_is_loaded_and_another_refused_with_words(guest):
    loaded, refused = guest.calls([program(EXIT), program(EXIT[8:])], 10).called
    assert loaded.errno is None
    assert loaded.value > 2
    assert refused.errno == "EACCES"
    assert "R0 !read_ok" in refused.log


def test_descriptors_of_earlier_calls_are_used_and_memory_comes_back(guest):
    path = b"/proc/self/comm\0"
    opening = Call(Sys.OPEN, data=(path,), patches=(argument(0),))
    reading = Call(Sys.READ, (0, 0, 4), (bytes(4),), (argument(0, PatchKind.RESULT, 0), argument(1)), out=0)
    _, read = guest.calls([opening, reading], 10).called
    assert read.out == b"init"


def test_a_file_is_read_and_one_that_is_not_there_is_said(guest):
    assert guest.read_file("/proc/sys/kernel/osrelease").startswith(b"5.10")
    with pytest.raises(FileNotFoundError):
        guest.read_file("/nowhere")


def test_a_batch_that_kills_its_process_says_how_far_it_got(guest):
    own = Call(GETPID)
    dying = Call(KILL, (0, 9), patches=(argument(0, PatchKind.RESULT, 0),))
    answers = guest.calls([own, dying, own], 10)
    assert answers.ending is Ending.EARLY
    assert answers.signal == 9
    assert len(answers.called) == 1
    assert guest.calls([own], 10).ending is Ending.ALL  # and the agent goes on


def test_a_batch_that_hangs_is_ended(guest):
    answers = guest.calls([Call(GETPID), Call(PAUSE)], 0.3)
    assert answers.ending is Ending.LIMIT
    assert len(answers.called) == 1
    assert guest.calls([Call(GETPID)], 10).ending is Ending.ALL


def test_a_call_that_cannot_be_understood_ends_the_batch(guest):
    wrong = Call(GETPID, patches=(Patch(5, 0, PatchKind.ADDRESS, 9),))
    answers = guest.calls([Call(GETPID), wrong, Call(GETPID)], 10)
    assert answers.ending is Ending.EARLY
    assert len(answers.called) == 1
