"""A kernel's guest as probes ask it: when a question is the end of one guest, the next takes its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

from harness.errors import InfrastructureError
from harness.guest.assets import Assets
from harness.guest.calls import Answers, Call, Ending
from harness.guest.guest import Guest
from harness.model import GuestFacts

# A kernel that goes down again and again is not asked on for hours: each loss costs a restore, or the limit.
MOST_LOSSES = 12


class Respondent:
    """A running guest that is replaced when it dies. A context manager that leaves no QEMU behind.

    `begin` starts a guest (restored where there is a snapshot), and is called again for each that was lost.
    What was lost, and why, stands in `losses`.
    """

    def __init__(self, begin: Callable[[], Guest]) -> None:
        self._begin = begin
        self._guest: Guest | None = None
        self._ended = False
        self.losses: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def guest(self) -> Guest:
        """The guest that runs; started when there is none. InfrastructureError when it does not start."""
        if self._over():
            raise InfrastructureError("the probe was ended")
        if self._guest is not None and not self._guest.alive():
            self._lost(InfrastructureError("the guest ended while nothing was asked of it"))
        if self._guest is None:
            self._guest = self._begin()
            if self._over():
                self.close()
                raise InfrastructureError("the probe was ended")
        return self._guest

    @property
    def facts(self) -> GuestFacts:
        """What the guest says of itself."""
        return self.guest.facts

    @property
    def assets(self) -> Assets:
        """What the guest is made of."""
        return self.guest.assets

    def calls(self, calls: Sequence[Call], time_limit_s: float, grace_s: float = 15.0) -> Answers:
        """Make a batch of system calls, as `Guest.calls`; a guest that is lost under it has answered none.

        The next batch goes to a new guest. InfrastructureError when no guest starts, or too many were lost.
        """
        guest = self.guest
        try:
            return guest.calls(calls, time_limit_s, grace_s)
        except InfrastructureError as problem:
            self._lost(problem)
            return Answers((), Ending.EARLY)

    def read_file(self, path: str, limit: int = 256 << 10) -> bytes:
        """The first `limit` bytes of a file of the guest, or of the next one; OSError as it says."""
        try:
            return self.guest.read_file(path, limit)
        except InfrastructureError as problem:
            self._lost(problem)
            return self.guest.read_file(path, limit)

    def _lost(self, problem: InfrastructureError) -> None:
        self.close()
        self.losses.append(str(problem))
        if self._over() or len(self.losses) > MOST_LOSSES:
            raise problem

    def _over(self) -> bool:
        return self._ended  # which another thread sets

    def abort(self) -> None:
        """End the guest from another thread; the one that waits for it is woken, and no other is started."""
        self._ended = True
        guest = self._guest
        if guest is not None:
            guest.abort()

    def close(self) -> None:
        """End the guest; safe to call twice."""
        if self._guest is not None:
            self._guest.close()
            self._guest = None
