"""Several kernels measured side by side, a guest each; nothing is left running, however it ends."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path

from harness.errors import HarnessError
from harness.execute import config_symbols
from harness.features.probe.measure import Measurement, Watch, measure
from harness.features.probe.respondent import Respondent
from harness.guest.assets import prepare
from harness.guest.guest import Guest, start_guest
from harness.guest.options import GuestOptions
from harness.model import Kernel

# Of one kernel, where there are fewer kernels than processors: half of everything is about kernel functions.
_MOST_GUESTS = 2


def respondent_of(kernel: Kernel, options: GuestOptions, warm: Path | None) -> Respondent:
    """What answers for a kernel: guests as those of a run, out of the same snapshots."""

    def begin() -> Guest:
        symbols = config_symbols(kernel.config)
        return start_guest(lambda kvm: prepare(kernel, kvm=kvm, warm=warm), options, symbols)

    return Respondent(begin)


class Crew:
    """Measures kernels, with `jobs` guests at a time."""

    def __init__(self, options: GuestOptions, warm: Path | None, jobs: int, watch: Watch) -> None:
        self._options = options
        self._warm = warm
        self._jobs = max(1, jobs)
        self._watch = watch
        self._respondents: list[Respondent] = []

    def work(
        self, kernels: Sequence[Kernel], keep: Callable[[Measurement], None]
    ) -> tuple[tuple[str, str], ...]:
        """Measure every kernel and give each measurement to `keep`, as soon as it is whole.

        Returns (kernel, reason) of those that could not be measured. Ctrl-C ends all guests and is passed on.
        `keep` is called by the caller's own thread.
        """
        failed: list[tuple[str, str]] = []
        guests = max(1, min(_MOST_GUESTS, self._jobs // max(1, len(kernels))))
        with ThreadPoolExecutor(self._jobs) as pool:
            running = {pool.submit(self._one, kernel, guests): kernel.name for kernel in kernels}
            try:
                for future in _finished(running):
                    try:
                        keep(future.result())
                    except HarnessError as problem:
                        failed.append((running[future], str(problem)))
                        self._watch.told(running[future], str(problem))
            except BaseException:
                for future in running:
                    future.cancel()
                for respondent in self._respondents:
                    respondent.abort()
                raise
        return tuple(failed)

    def _one(self, kernel: Kernel, guests: int) -> Measurement:
        with ExitStack() as stack:
            mine = [respondent_of(kernel, self._options, self._warm) for _ in range(guests)]
            for respondent in mine:
                self._respondents.append(stack.enter_context(respondent))
            return measure(kernel, mine, self._watch)


def _finished(running: Collection[Future[Measurement]]) -> Iterator[Future[Measurement]]:
    """Each future when it is done; in slices, so that a signal is handled soon."""
    pending = set(running)
    while pending:
        done, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
        yield from done
