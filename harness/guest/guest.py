"""A guest: booted or restored, asked one case after another, replaced by its owner when it dies."""

from __future__ import annotations

import errno
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from harness.errors import InfrastructureError
from harness.guest.accel import KvmVerdict, remember, wants_kvm
from harness.guest.assets import WARM, Assets
from harness.guest.calls import Answers, Call, PatchKind, Sys, answers_of, argument, calls_fields
from harness.guest.errors import GuestConfused, GuestFailure, GuestGone, GuestSilent
from harness.guest.exchange import LoadRequest, case_fields, facts_of, observation_of
from harness.guest.options import AccelChoice, GuestOptions
from harness.guest.port import Port
from harness.guest.qemu import Qemu, describe_exit
from harness.guest.snapshot import SnapshotMeta, try_save
from harness.guest.wire import Message, MessageType
from harness.model import GuestFacts, Observation, ObservationStatus

_MAX_BLOBS = 8
_INLINE = 256 << 10
_PIECE = 64 << 10  # of a file that is read
_PUT_SECONDS = 60.0
_CONSOLE_TAIL = 16384  # a panic with its backtraces
# A kernel that boots while this machine is busy can measure its clock's frequency wrong (seen: 15 times, 5.10
# emulated). Every time and limit of its cases would be wrong, and those of all guests restored from it.
_BOOTS = 3
_CLOCK_FACTOR = 1.5
_CLOCK_SECONDS = 0.2


class Guest:
    """One running guest. Start it with `start_guest`; close it, or use it as a context manager."""

    def __init__(self, qemu: Qemu, port: Port, assets: Assets) -> None:
        self._qemu = qemu
        self._port = port
        self._blobs: set[str] = set()  # what the agent holds
        self.assets = assets
        self.facts: GuestFacts
        self.ready_seconds = 0.0
        self.restored = False
        self.note = ""  # why there is no snapshot, why one was thrown away, why a boot was repeated

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """QEMU's process id."""
        return self._qemu.pid

    def alive(self) -> bool:
        """Whether QEMU still runs."""
        return self._qemu.alive()

    def abort(self) -> None:
        """End the guest under the thread that waits for it, which wakes and frees the rest.

        A socket closed here would leave that thread waiting for what nobody can send any more.
        """
        self._qemu.abort()

    def close(self) -> None:
        """End the guest; safe to call twice."""
        self._port.close()
        self._qemu.kill()

    def run(self, request: LoadRequest, grace_s: float = 5.0) -> Observation:
        """Run one case.

        A guest that dies or falls silent under it is closed, and the case recorded as crash or hang.
        """
        start = time.monotonic()
        try:
            bpf_object = self._object_field(request)
            btf = self._put_btf()
            deadline = time.monotonic() + request.settings.time_limit_s + grace_s
            answer = self._port.ask(MessageType.CASE, case_fields(request, bpf_object, btf), deadline)
            return observation_of(answer, round((time.monotonic() - start) * 1e6))
        except GuestFailure as failure:
            return self._lost(failure, start)

    def calls(self, calls: Sequence[Call], time_limit_s: float, grace_s: float = 15.0) -> Answers:
        """Make a batch of system calls in the guest, in one process and one round trip.

        Raise InfrastructureError when the guest does not survive it, ValueError for too many calls.
        """
        fields = calls_fields(calls, time_limit_s)
        try:
            answer = self._port.ask(MessageType.CALLS, fields, time.monotonic() + time_limit_s + grace_s)
            return answers_of(answer)
        except GuestFailure as failure:
            tail = self._qemu.console_tail(_CONSOLE_TAIL)
            self.close()
            raise InfrastructureError(
                f"kernel {self.assets.kernel.name}: the guest did not survive {len(calls)} calls: {failure}\n"
                f"  end of its console:\n{tail.strip() or '(nothing was printed)'}"
            ) from failure

    def read_file(self, path: str, limit: int = 256 << 10) -> bytes:
        """The first `limit` bytes of a file of the guest, in pieces of 64 KiB; OSError as the guest says."""
        reading = Call(
            Sys.READ, (0, 0, _PIECE), (bytes(_PIECE),), (argument(0, PatchKind.RESULT, 0), argument(1)), out=0
        )
        opening = Call(Sys.OPEN, data=(path.encode() + b"\0",), patches=(argument(0),))
        opened, *pieces = self.calls([opening, *[reading] * -(-limit // _PIECE)], 30.0).called
        for done in (opened, *pieces):
            if done.errno:
                raise OSError(getattr(errno, done.errno, errno.EIO), f"{path} in the guest: {done.errno}")
        return b"".join(piece.out[: piece.value] for piece in pieces)[:limit]

    def _object_field(self, request: LoadRequest) -> tuple[int, bytes]:
        """A small object goes with its request; one with many programs is stored once for all of them."""
        if request.object_path.stat().st_size <= _INLINE:
            return 10, request.object_path.read_bytes()
        return 1, self._put(request.object_sha256[:32], request.object_path).encode()

    def _put_btf(self) -> str | None:
        btf = self.assets.btf
        return self._put(btf.name, btf.path) if btf else None

    def _put(self, blob: str, path: Path) -> str:
        if blob not in self._blobs:
            deadline = time.monotonic() + _PUT_SECONDS
            if len(self._blobs) >= _MAX_BLOBS:
                self._port.ask(MessageType.DROP, [], deadline)
                self._blobs.clear()
            self._port.ask(MessageType.PUT, [(1, blob.encode()), (2, path.read_bytes())], deadline)
            self._blobs.add(blob)
        return blob

    def _lost(self, failure: GuestFailure, start: float) -> Observation:
        hung = isinstance(failure, GuestSilent)
        status = None if hung else self._qemu.wait_end(2.0)
        tail = self._qemu.console_tail(_CONSOLE_TAIL)
        self.close()
        return Observation(
            status=ObservationStatus.HANG if hung else ObservationStatus.CRASH,
            console_tail=tail,
            wall_us=round((time.monotonic() - start) * 1e6),
            note=f"{failure}; {'the guest was replaced' if hung else describe_exit(status)}",
        )

    def greet(self, hello: Message, config: frozenset[str], started: float) -> None:
        """Take the facts of the HELLO that says the guest is ready."""
        self.facts = facts_of(hello, config)
        if self.facts.agent != self.assets.agent:
            raise GuestConfused(f"the guest runs agent {self.facts.agent[:12]}, not {self.assets.agent[:12]}")
        self.ready_seconds = time.monotonic() - started

    def warm_up(self) -> None:
        """Let libbpf in the agent find out what this kernel can, once for all later cases."""
        if self.assets.warm is None:
            return
        fields = [(2, self._put(WARM, self.assets.warm).encode())]
        btf = self._put_btf()
        if btf:
            fields.append((8, btf.encode()))
        self._port.ask(MessageType.WARM, fields, time.monotonic() + 60)

    def clock(self) -> tuple[float, float]:
        """The time in seconds, here and in the guest, at the same moment."""
        before = time.monotonic()
        hello = self._port.ping(secrets.randbits(63), before + 15.0)
        return (before + time.monotonic()) / 2, (hello.number(13) or 0) / 1e6

    def save(self) -> None:
        """Keep this guest as a snapshot; a reason why that failed stands in `note`."""
        self.note = (
            try_save(self.assets.snapshot(), self._qemu.monitor, self._port.line or 0, self.ready_seconds)
            or ""
        )

    def console_tail(self) -> str:
        """The console's end, for messages."""
        return self._qemu.console_tail(_CONSOLE_TAIL)


def start_guest(
    prepare: Callable[[bool], Assets], options: GuestOptions, config: frozenset[str] = frozenset()
) -> Guest:
    """A ready guest, restored where there is a snapshot, else booted (and saved).

    `prepare(kvm)` makes the parts. A guest that never becomes ready under KVM is started again without it,
    and that is remembered. Raise InfrastructureError, with the console's tail, when none becomes ready.
    """
    kvm = wants_kvm(options.accel)
    try:
        return _restore_or_boot(prepare(kvm), options, config)
    except InfrastructureError as problem:
        if not kvm or options.accel is not AccelChoice.AUTO:
            raise
        remember(KvmVerdict(False, f"a guest did not become ready under it: {problem.what.splitlines()[0]}"))
        return _restore_or_boot(prepare(False), options, config)


def _restore_or_boot(assets: Assets, options: GuestOptions, config: frozenset[str]) -> Guest:
    why = ""
    if options.snapshots:
        snapshot = assets.snapshot()
        meta = snapshot.load()
        if meta is not None:
            try:
                return _restore(assets, meta, config)
            except GuestFailure as failure:
                why = f"the snapshot was thrown away: {failure}"
                snapshot.discard()
    guest = _boot_with_clock(assets, options, config)
    guest.note = why or guest.note
    return guest


def _restore(assets: Assets, meta: SnapshotMeta, config: frozenset[str]) -> Guest:
    snapshot = assets.snapshot()
    started = time.monotonic()
    guest = _launch(assets, snapshot.incoming(), meta.line)
    try:
        with ThreadPoolExecutor(1) as pool:  # the checksum is read while QEMU reads the same pages
            intact = pool.submit(snapshot.intact, meta)
            guest._qemu.monitor.wait_restored(started + 15.0)
            guest.greet(guest._port.ping(secrets.randbits(63), started + 15.0), config, started)
            _insist(intact.result(), "its checksum is wrong")
        guest.restored = True
        guest._blobs |= assets.warm_blobs
        guest.ready_seconds = time.monotonic() - started
    except BaseException:
        guest.close()
        raise
    return guest


def _insist(holds: bool, otherwise: str) -> None:
    if not holds:
        raise GuestConfused(otherwise)


def _boot_with_clock(assets: Assets, options: GuestOptions, config: frozenset[str]) -> Guest:
    """A booted guest whose clock keeps time, saved where snapshots are wanted.

    An emulated kernel that dies while it boots is booted once more: with two processors one can come upon
    code the other is just patching (seen on 6.12, an int3 in sched_clock_cpu()).
    """
    died = ""
    for _ in range(_BOOTS):
        try:
            guest, rate = _boot(assets, options, config)
        except InfrastructureError as problem:
            if died or assets.accel == "kvm" or not isinstance(problem.__cause__, GuestGone):
                raise
            died = f"booted twice; the first time: {problem.what.splitlines()[0]}"
            continue
        if 1 / _CLOCK_FACTOR < rate < _CLOCK_FACTOR:
            guest = _saved(guest) if options.snapshots else guest
            guest.note = "; ".join(filter(None, (guest.note, died)))
            return guest
        guest.close()
    raise InfrastructureError(
        f"the clock of kernel {assets.kernel.name}'s guest is wrong: it ran {rate:.1f} times as fast as ours "
        f"after the last of {_BOOTS} boots",
        hint="try again when this machine has less to do",
    )


def _saved(guest: Guest) -> Guest:
    try:
        guest.save()
    except BaseException:
        guest.close()
        raise
    return guest


def _boot(assets: Assets, options: GuestOptions, config: frozenset[str]) -> tuple[Guest, float]:
    """A guest that is ready and warm, and how many of its seconds pass in one of ours."""
    started = time.monotonic()
    limit = options.kvm_timeout_s if assets.accel == "kvm" else options.boot_timeout_s
    guest = _launch(assets)
    try:
        guest.greet(guest._port.hello(started + limit), config, started)
        here, there = guest.clock()
        guest.warm_up()
        time.sleep(max(0.0, here + _CLOCK_SECONDS - time.monotonic()))
        later_here, later_there = guest.clock()
    except GuestFailure as failure:
        tail = guest.console_tail().strip()
        guest.close()
        raise InfrastructureError(
            f"the guest of kernel {assets.kernel.name} did not become ready in {limit:.0f} s: {failure}\n"
            f"  end of its console:\n{tail or '(nothing was printed)'}",
            hint=f"bpfmatrix shell {assets.kernel.name}",
        ) from failure
    except BaseException:
        guest.close()
        raise
    return guest, (later_there - there) / (later_here - here)


def _launch(assets: Assets, incoming: str | None = None, line: int | None = None) -> Guest:
    qemu = Qemu(assets.platform, assets.initramfs, assets.append, incoming)
    return Guest(qemu, Port(qemu.lines, line), assets)
