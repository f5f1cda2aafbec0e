"""What of an object a kernel lacks: each use asked, the guards answered as that kernel answers them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from harness.build import btftypes as kinds
from harness.features.ask import ask
from harness.features.documented import documented
from harness.features.names import Feature
from harness.features.objects.analysis import Analysis
from harness.features.objects.core import Resolution, fits_access, resolve
from harness.features.objects.guards import Guard, GuardKind
from harness.features.objects.kconfig import configured
from harness.features.objects.model import CoreRelocation
from harness.features.objects.uses import Necessity, ObjectUses, Use, UseKey, UseKind
from harness.features.objects.view import KernelView
from harness.features.types import FeatureKind, Support
from harness.model import KernelVersion

_LONGEST_OFFSET = 0x7FFF
_TARGET_KINDS = {"func": kinds.FUNC, "typedef": kinds.TYPEDEF, "struct": kinds.STRUCT}
_IN_MEMORY = frozenset({GuardKind.KCONFIG, GuardKind.CONSTANT})
_MEMORY_SINCE = KernelVersion(5, 5)
_NO_BTF = "this kernel's BTF is not at hand"


class Basis:
    """What an answer rests on, as a word."""

    MEASURED, DOCUMENTED, BTF, CONFIG, NOTHING = "measured", "documented", "btf", "config", "nothing"


@dataclass(frozen=True, slots=True)
class UseAnswer:
    """One use on one kernel. `counts`: the object cannot do without it there."""

    use: Use
    support: Support
    basis: str
    reason: str
    counts: bool
    reached: bool = True  # its guards let control get there on this kernel


@dataclass(frozen=True, slots=True)
class Judgement:
    """One object on one kernel: no if something that counts is missing, unknown if something is not known."""

    kernel: str  # as asked
    title: str
    support: Support
    answers: tuple[UseAnswer, ...]
    measured: bool  # every answer that counts was measured, or read from the kernel's BTF or configuration
    guards: tuple[tuple[str, bool | None], ...] = ()  # question, and the kernel's answer

    def those(self, support: Support) -> tuple[UseAnswer, ...]:
        """The answers that count, of one kind."""
        return tuple(answer for answer in self.answers if answer.counts and answer.support is support)

    @property
    def reason(self) -> str:
        """One line: why not, or that everything is there."""
        lacking = self.those(Support.NO) or self.those(Support.UNKNOWN)
        if not lacking:
            return "everything it needs is there"
        first = lacking[0]
        more = f" (and {len(lacking) - 1} more)" if len(lacking) > 1 else ""
        word = "lacks" if first.support is Support.NO else "unknown:"
        return f"{word} {first.use.key.name}{more}: {first.reason}"


class Judge:
    """An object against kernels; what does not depend on the kernel is found out once."""

    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis
        self.uses: ObjectUses = analysis.uses()

    def on(self, kernel: KernelView) -> Judgement:
        """Judge the object on a kernel. UserError for a kernel's BTF or configuration that cannot be read."""
        asker = _Asker(self._analysis, kernel)
        reached = {
            program.entry.name: program.keys({guard: asker.guard(guard) for guard in program.guards})
            for program in self._analysis.programs
        }
        answers = tuple(self._answer(use, reached, asker) for use in self.uses.uses)
        return Judgement(
            kernel.target.asked,
            kernel.title,
            _joined(answers),
            answers,
            all(answer.basis not in (Basis.DOCUMENTED, Basis.NOTHING) for answer in answers if answer.counts),
            tuple((guard.text, _yes_no(answer)) for guard, answer in asker.guards.items()),
        )

    def _answer(self, use: Use, reached: dict[str, frozenset[UseKey]], asker: _Asker) -> UseAnswer:
        support, basis, reason = asker.about(use)
        here = not use.places or use.key in reached.get(use.program, frozenset())
        return UseAnswer(use, support, basis, reason, _counts(use, asker, here=here), here)


def _counts(use: Use, asker: _Asker, *, here: bool) -> bool:
    """Whether the object depends on it on this kernel.

    What is optional in general is needed where the kernel's own answers to the guards lead there.
    """
    if use.necessity is Necessity.NEEDED:
        return here
    return use.guarded and here and (asker.sure(use) or asker.undecided(use))


class _Asker:
    """Asks one kernel, each question once."""

    def __init__(self, analysis: Analysis, kernel: KernelView) -> None:
        self._analysis = analysis
        self._kernel = kernel
        self._resolved: dict[CoreRelocation, Resolution] = {}
        self.guards: dict[Guard, int | None] = {}

    def about(self, use: Use) -> tuple[Support, str, str]:
        """The answer, what it rests on, and a reason."""
        handlers: dict[UseKind, Callable[[Use], tuple[Support, str, str]]] = {
            UseKind.CORE: self._core,
            UseKind.TARGET: self._target,
            UseKind.KSYM: self._ksym,
            UseKind.KCONFIG: self._kconfig,
            UseKind.LIMIT: self._limit,
            UseKind.UNDEFINED: self._undefined,
        }
        handler = handlers.get(use.key.kind, self._feature)
        return handler(use)

    def guard(self, guard: Guard) -> int | None:
        """What the kernel answers to a guard; None: not known."""
        if guard not in self.guards:
            self.guards[guard] = self._guard(guard)
        return self.guards[guard]

    def sure(self, use: Use) -> bool:
        """Whether all guards of the use's program are answered, so that what is reached is reached."""
        programs = [p for p in self._analysis.programs if p.entry.name == use.program]
        return all(self.guard(guard) is not None for program in programs for guard in program.guards)

    def _guard(self, guard: Guard) -> int | None:
        if guard.kind in _IN_MEMORY:
            return self._in_memory(guard) if self._follows_memory() else None
        if guard.kind is GuardKind.KSYM:
            support, _, _ = self._extern(guard.extern)
            return {Support.YES: 1, Support.NO: 0}.get(support)
        if guard.relocation is None or self._kernel.types is None:
            return None
        resolved = self._resolve(guard.relocation)
        unsure = not resolved.candidates and self._kernel.modules_have_types
        return None if unsure else resolved.value

    def _in_memory(self, guard: Guard) -> int | None:
        if guard.constant is not None:
            return guard.constant.value
        return configured(guard.extern, self._analysis.found, self._kernel)

    def _follows_memory(self) -> bool:
        """Whether the verifier knows what read-only maps hold (a23740ec43ba, 5.5)."""
        return self._kernel.version is None or self._kernel.version >= _MEMORY_SINCE

    def undecided(self, use: Use) -> bool:
        """Whether the verifier looks at both sides of every guard the use stands behind."""
        programs = [p for p in self._analysis.programs if p.entry.name == use.program]
        kinds_of = {guard.kind for program in programs for guard in program.guards}
        return bool(kinds_of) and kinds_of <= _IN_MEMORY and not self._follows_memory()

    def _resolve(self, relocation: CoreRelocation) -> Resolution:
        if relocation not in self._resolved:
            btf, types = self._analysis.found.btf, self._kernel.types
            assert btf is not None  # noqa: S101 - a relocation comes with BTF
            assert types is not None  # noqa: S101 - asked before
            self._resolved[relocation] = resolve(btf, relocation, types)
        return self._resolved[relocation]

    def _feature(self, use: Use) -> tuple[Support, str, str]:
        kind = use.key.kind.feature
        if kind is None:
            return Support.UNKNOWN, Basis.NOTHING, "nobody knows"
        feature = Feature(kind, use.key.name)
        answer = ask(feature, self._kernel.target, documented(), use.program_type or None)
        if answer.support is Support.UNKNOWN and kind is FeatureKind.KFUNC:
            return self._extern(use.key.name)
        return answer.support, str(answer.basis), answer.reason

    def _limit(self, _use: Use) -> tuple[Support, str, str]:
        return Support.NO, Basis.DOCUMENTED, "a program may have 1,000,000 (BPF_COMPLEXITY_LIMIT_INSNS)"

    def _undefined(self, use: Use) -> tuple[Support, str, str]:
        if self._analysis.found.btf is None:
            return Support.UNKNOWN, Basis.NOTHING, "without BTF nobody knows where it comes from"
        reason = "undefined in the object and not declared __ksym or __kconfig: libbpf refuses it"
        return Support.NO, Basis.BTF, reason

    def _core(self, use: Use) -> tuple[Support, str, str]:
        if self._kernel.types is None:
            return Support.UNKNOWN, Basis.NOTHING, _NO_BTF
        worst = (Support.YES, Basis.BTF, "it resolves against this kernel's BTF")
        for relocation, access in use.relocations:
            found = self._relocated(relocation, access=access)
            if found is not None:
                worst = found
                if found[0] is Support.NO:
                    break
        return worst

    def _relocated(self, relocation: CoreRelocation, *, access: bool) -> tuple[Support, str, str] | None:
        """What is wrong with a relocation on this kernel; None: nothing."""
        resolved = self._resolve(relocation)
        problem = resolved.problem
        if resolved.value is None and not problem and not resolved.candidates:
            if self._kernel.modules_have_types:
                return Support.UNKNOWN, Basis.NOTHING, "no such type in vmlinux; a module may have it"
            problem = "there is no such type in this kernel's BTF"
        elif resolved.value is None:
            problem = problem or "the type has nothing that fits in this kernel's BTF"
        elif access:
            problem = self._access(relocation, resolved, resolved.value)
        return (Support.NO, Basis.BTF, problem) if problem else None

    def _access(self, relocation: CoreRelocation, resolved: Resolution, offset: int) -> str:
        """Why a load or store cannot be relocated so; "" when it can."""
        btf = self._analysis.found.btf
        if offset > _LONGEST_OFFSET:
            return f"offset {offset} does not fit a load or store"
        if btf is not None and not fits_access(btf, relocation, resolved):
            return f"the field has {resolved.size} bytes there, and a load of it may not be resized"
        return ""

    def _target(self, use: Use) -> tuple[Support, str, str]:
        types = self._kernel.types
        if types is None:
            return Support.UNKNOWN, Basis.NOTHING, _NO_BTF
        name, kind = use.key.name, use.key.detail
        if types.has(_TARGET_KINDS[kind], name):
            return Support.YES, Basis.BTF, f"{kind} {name} is in this kernel's BTF"
        if self._kernel.modules_have_types:
            return Support.UNKNOWN, Basis.NOTHING, f"no {kind} {name} in vmlinux; a module may have it"
        return Support.NO, Basis.BTF, f"no {kind} {name} in this kernel's BTF"

    def _ksym(self, use: Use) -> tuple[Support, str, str]:
        return self._extern(use.key.name)

    def _extern(self, name: str) -> tuple[Support, str, str]:
        """A kernel symbol or kfunc, looked up as libbpf does."""
        extern = self._analysis.found.externs.get(name)
        types = self._kernel.types
        if types is None:
            return Support.UNKNOWN, Basis.NOTHING, _NO_BTF
        if extern is not None and not extern.is_function and not extern.typed:
            return Support.UNKNOWN, Basis.NOTHING, "a symbol without type is looked up in the running kernel"
        function = extern is None or extern.is_function
        if types.has(kinds.FUNC if function else kinds.VAR, name):
            return Support.YES, Basis.BTF, "it is in this kernel's BTF"
        if self._kernel.modules_have_types:
            return Support.UNKNOWN, Basis.NOTHING, "not in vmlinux; a module may have it"
        return Support.NO, Basis.BTF, "it is not in this kernel's BTF"

    def _kconfig(self, use: Use) -> tuple[Support, str, str]:
        if self._kernel.symbols is None and use.key.name.startswith("CONFIG_"):
            return Support.UNKNOWN, Basis.NOTHING, "this kernel's configuration is not at hand"
        value = configured(use.key.name, self._analysis.found, self._kernel)
        if value is None:
            return Support.NO, Basis.CONFIG, "not set in this kernel's configuration"
        return Support.YES, Basis.CONFIG, f"{value}"


def _joined(answers: tuple[UseAnswer, ...]) -> Support:
    counting = [answer.support for answer in answers if answer.counts]
    if Support.NO in counting:
        return Support.NO
    return Support.UNKNOWN if Support.UNKNOWN in counting else Support.YES


def _yes_no(answer: int | None) -> bool | None:
    return None if answer is None else bool(answer)


def by_kind(answers: tuple[UseAnswer, ...]) -> Iterator[UseAnswer]:
    """Each used thing once, whatever number of programs use it, the ones that count first."""
    best: dict[tuple[UseKey, str], UseAnswer] = {}
    for answer in sorted(answers, key=lambda each: not each.counts):
        key = (answer.use.key, answer.use.program_type)
        if key in best:
            old = best[key]
            best[key] = replace(old, counts=old.counts or answer.counts)
        else:
            best[key] = answer
    yield from best.values()
