"""A kernel under questions: its guest, its types, and which programs it takes at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Protocol

from harness.build import btftypes as kinds
from harness.build.btftypes import Btf
from harness.features.objects.core import KernelTypes
from harness.features.probe.attempts import Placed, Prelude, attempts, place, program_types
from harness.features.probe.enums import Enumeration, enumerations
from harness.features.probe.instructions import assemble
from harness.features.probe.loads import Load, load_call
from harness.features.types import FeatureKind, Finding, MeasuredFeature, Method, Support
from harness.guest.assets import Assets
from harness.guest.calls import MOST_CALLS, Answers, Call, Called, Ending
from harness.model import GuestFacts

# Statistics and the reason only: no listing, which costs a quarter of a refused load.
BRIEF = 4
NO_ANSWER = "no answer"
_TIME_LIMIT_S = 60.0
_MOST_BROKEN = 20  # batches that a load ended, each of which may have cost the time limit
_BATCH = 2_000  # calls at a time, so that what one of them breaks does not take all others along


class Answering(Protocol):
    """What probes need of a guest: `Guest` itself, or a `Respondent`, which survives the loss of one."""

    @property
    def facts(self) -> GuestFacts:
        """What the guest says of itself."""

    @property
    def assets(self) -> Assets:
        """What the guest is made of, its kernel among it."""

    def calls(self, calls: Sequence[Call], time_limit_s: float, grace_s: float = 15.0) -> Answers:
        """Make a batch of system calls."""

    def read_file(self, path: str, limit: int = 256 << 10) -> bytes:
        """The first bytes of a file of the guest."""


class Subject:
    """One kernel's guest and what has to be known before it can be asked.

    `btf` is the kernel's BTF, None where it has none. Nothing is asked before it is needed.
    """

    def __init__(self, guest: Answering, btf: bytes | None) -> None:
        self.guest = guest
        self.types = KernelTypes(Btf(btf)) if btf else None
        self.prelude = Prelude()
        self.kernel_messages: list[str] = []
        self.broken = 0  # batches that one of their loads ended
        self.made: dict[FeatureKind, list[MeasuredFeature]] = {}  # what one batch said of several kinds

    def beside(self, guest: Answering) -> Subject:
        """The same kernel in another guest; its types are read once for both."""
        other = Subject(guest, None)
        other.types = self.types
        return other

    def ask(self, loads: Sequence[Load], before: Sequence[Call] = ()) -> list[Called]:
        """What each load returned; `before` are calls whose results the loads refer to, behind the prelude's.

        A load that ended the process or the guest has the errno NO_ANSWER; those behind it are asked again.
        """
        first = [*self.prelude.calls, *before]
        size = min(_BATCH, MOST_CALLS - len(first))
        parts = [loads[start : start + size] for start in range(0, len(loads), size)]
        return [called for part in parts for called in self._part(first, part)]

    def _part(self, first: Sequence[Call], loads: Sequence[Load]) -> list[Called]:
        """One batch, and what is left of it after each load that broke it."""
        got: list[Called] = []
        while len(got) < len(loads):
            left = loads[len(got) :]
            done = self.guest.calls([*first, *map(load_call, left)], _TIME_LIMIT_S)
            self.kernel_messages += done.kernel_messages
            new = done.called[len(first) :]
            got += new
            if len(got) == len(loads):
                break
            if done.ending is Ending.LIMIT and new:
                continue  # a slow machine: the next goes on where this one stopped
            self.broken += 1
            if self.broken > _MOST_BROKEN:
                got += [Called(-1, NO_ANSWER)] * (len(loads) - len(got))
            elif done.called or len(left) == 1:
                got.append(Called(-1, NO_ANSWER))
            else:  # the guest is gone and nobody knows under which load
                got += self._part(first, left[: len(left) // 2])
        return got

    @cached_property
    def _loadable(self) -> list[tuple[Placed, Called]]:
        placed = [found for one in attempts() if (found := place(one, self.types, self.prelude))]
        code = assemble("r0 = 1\nexit").code
        return list(zip(placed, self.ask([replace(one.load, code=code) for one in placed]), strict=True))

    @cached_property
    def usable(self) -> dict[str, tuple[Placed, ...]]:
        """The attempts this kernel takes, by program type: accepted, or refused for what the program does."""
        found: dict[str, list[Placed]] = {}
        for placed, called in self._loadable:
            if called.errno is None or _was_verified(called.log):
                load = replace(placed.load, log_level=BRIEF)
                found.setdefault(placed.attempt.program_type, []).append(replace(placed, load=load))
        return {name: tuple(found[name]) for name in program_types() if name in found}

    @cached_property
    def refused(self) -> dict[str, Finding]:
        """Why nothing can be asked of a program type, for those of which no program can be loaded."""
        reasons: dict[str, Finding] = {}
        for name in program_types():
            said = [called for placed, called in self._loadable if placed.attempt.program_type == name]
            if name not in self.usable:
                errnos = sorted({called.errno or "" for called in said})
                silent = errnos == ["EINVAL"] and not any(called.log for called in said)
                words = f"no program of this type can be loaded: {', '.join(errnos) or 'no way to try'}"
                reasons[name] = (
                    Finding(Support.NO, Method.ERRNO, words)
                    if silent
                    else Finding(Support.UNKNOWN, Method.NONE, words)
                )
        return reasons

    def loadings(self, program_type: str) -> list[tuple[Placed, Called]]:
        """Every attempt to load a program of that type, and what the kernel answered."""
        return [one for one in self._loadable if one[0].attempt.program_type == program_type]

    @cached_property
    def functions(self) -> dict[str, int]:
        """The functions of the kernel's BTF with their ids; the first of a name."""
        return self._named(kinds.FUNC)

    @cached_property
    def tagged_kfuncs(self) -> frozenset[str]:
        """Functions with the declaration tag `bpf_kfunc`, which pahole writes since 1.26."""
        if self.types is None:
            return frozenset()
        btf, numbers = self.types.btf, self.types.by_name.get("bpf_kfunc", ())
        return frozenset(btf.name(btf[n].value) for n in numbers if btf.kind(n) == kinds.DECL_TAG)

    @cached_property
    def enumerations(self) -> dict[FeatureKind, Enumeration]:
        """The enumerations of bpf() in the kernel's BTF."""
        return enumerations(self.types)

    @cached_property
    def helper_enumerators(self) -> frozenset[str]:
        """What `enum bpf_func_id` of the kernel's BTF lists (`BPF_FUNC_loop`); empty without BTF."""
        if self.types is None:
            return frozenset()
        btf = self.types.btf
        for number in range(1, len(btf)):
            if btf.kind(number) == kinds.ENUM and btf.name(number) in ("", "bpf_func_id"):
                names = frozenset(name for name, _ in btf.enumerators(btf[number]))
                if "BPF_FUNC_map_lookup_elem" in names:
                    return names
        return frozenset()

    def _named(self, kind: int) -> dict[str, int]:
        if self.types is None:
            return {}
        btf = self.types.btf
        found: dict[str, int] = {}
        for number in range(1, len(btf)):
            if btf.kind(number) == kind:
                found.setdefault(btf.name(number), number)
        return found


def _was_verified(log: str) -> bool:
    """Whether the verifier came to the program's instructions, rather than refuse its attributes."""
    return "processed " in log and "processed 0 insns" not in log
