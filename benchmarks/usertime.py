"""What the agent and libbpf take of a guest's time: the user mode of the agent and its children."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.ours import on_kernel
from harness.crew import warm_object
from harness.execute import KernelSession
from harness.guest.options import AccelChoice, GuestOptions
from harness.model import HOST, Kernel
from harness.plan import PlannedCase

_SAMPLE = 200
_TICK = 0.01  # USER_HZ, the unit of /proc/PID/stat on x86_64
_UTIME, _CUTIME = 11, 13  # fields behind the name's bracket (proc(5): 14 and 16, counted from 1)


def user_seconds_per_case(kernel: Kernel, planned: Sequence[PlannedCase]) -> float:
    """Load a sample of the cases that have no scenario, and return the mean seconds in user mode.

    All of it is the agent's and libbpf's: such a program does not run. What reading the figure takes itself
    is taken off.
    """
    guests = [each for each in planned if each.case.kernel != HOST]
    plain = [each for each in guests if not each.case.variant.scenario and not each.case.variant.slow]
    sample = plain[:: max(1, len(plain) // _SAMPLE)]
    with KernelSession(kernel, GuestOptions(accel=AccelChoice.TCG), warm_object()) as session:
        session.start()
        reading = -_user_seconds(session) + (before := _user_seconds(session))
        for each in sample:
            session.run(on_kernel(each.case, kernel), each.built)
        return max(0.0, _user_seconds(session) - before - reading) / len(sample)


def _user_seconds(session: KernelSession) -> float:
    """User mode of PID 1 and of the children it has waited for."""
    assert session._guest is not None  # noqa: S101 - the session was started
    fields = session._guest.read_file("/proc/1/stat").decode().rpartition(")")[2].split()
    return (int(fields[_UTIME]) + int(fields[_CUTIME])) * _TICK
