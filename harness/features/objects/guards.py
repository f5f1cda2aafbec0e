"""What a program asks about the kernel before it uses something: the guards of its optional parts.

`bpf_core_field_exists`, `bpf_core_type_exists`, `bpf_core_enum_value_exists` and their like are constants
libbpf writes into the program; a weak kernel symbol is an address or 0; a configuration value is read from
`.kconfig`. The verifier knows all of them, so it never looks at the branch that is not taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from harness.build import btftypes as kinds
from harness.build.btftypes import Btf, BtfError
from harness.features.objects.externs import KCONFIG
from harness.features.objects.flow import NONZERO, Value, Variable
from harness.features.objects.instructions import LD_IMM64
from harness.features.objects.model import (
    BpfObject,
    Constant,
    CoreRelocation,
    Extern,
    Function,
    RelocationKind,
    TargetKind,
)

KERNEL_VERSION = "LINUX_KERNEL_VERSION"
_WORDS = {
    RelocationKind.FIELD_BYTE_OFFSET: "offset",
    RelocationKind.FIELD_BYTE_SIZE: "size",
    RelocationKind.FIELD_EXISTS: "exists",
    RelocationKind.TYPE_EXISTS: "exists",
    RelocationKind.ENUMVAL_EXISTS: "exists",
    RelocationKind.ENUMVAL_VALUE: "value",
    RelocationKind.TYPE_MATCHES: "matches",
}
_NEWEST = 0xFFFFFF


class GuardKind(StrEnum):
    """What a guard asks for."""

    CORE = "core"
    KSYM = "ksym"
    KCONFIG = "kconfig"
    CONSTANT = "constant"  # a `const volatile` the loader may set


@dataclass(frozen=True, slots=True)
class Guard:
    """One question; equal questions are one guard. `text` is how a person would write it."""

    kind: GuardKind
    text: str
    relocation: CoreRelocation | None = field(default=None, compare=False)
    extern: str = ""
    constant: Constant | None = None

    @property
    def alternatives(self) -> tuple[int, ...]:
        """The answers worth trying where the kernel is not known."""
        if self.constant is not None:
            return (self.constant.value,)
        return (0, _NEWEST) if self.text == KERNEL_VERSION else (0, 1)

    @property
    def words(self) -> tuple[str, ...]:
        """What to say of a use that is not there with each of `alternatives`."""
        if self.constant is not None:
            return (f"only if its loader sets {self.text}",)
        text = f"{self.text} is new enough" if self.text == KERNEL_VERSION else self.text
        return (f"only if {text}", f"unless {text}")


Answers = Mapping[Guard, int | None]


def guards_of(function: Function, found: BpfObject) -> dict[int, Guard]:
    """By instruction, the guard whose answer it loads."""
    asked: dict[int, Guard] = {}
    for at, relocation in function.core.items():
        if relocation.kind.asks and found.btf is not None:
            text = relocation_text(found.btf, relocation)
            asked[at] = Guard(GuardKind.CORE, text, relocation)
    for at, extern in _loaded_externs(function, found.externs):
        if extern.section == KCONFIG:
            asked[at] = Guard(GuardKind.KCONFIG, extern.name, extern=extern.name)
        elif extern.weak:
            asked[at] = Guard(GuardKind.KSYM, f"exists({extern.name})", extern=extern.name)
    for at, target in function.targets.items():
        constant = found.constants.get((target.section, target.offset))
        if target.kind is TargetKind.DATA and constant is not None:
            asked[at] = Guard(GuardKind.CONSTANT, constant.name, constant=constant)
    return asked


def known_values(function: Function, asked: Mapping[int, Guard], answers: Answers) -> dict[int, Value]:
    """What the relocated instructions of a function load when guards are answered like this."""
    known: dict[int, Value] = dict.fromkeys(function.core)
    known |= dict.fromkeys(function.targets)
    for at, guard in asked.items():
        answer = answers.get(guard)
        if guard.kind is GuardKind.KCONFIG:
            known[at] = Variable(answer)
        elif guard.constant is not None:
            known[at] = Variable(answer, guard.constant.size)
        elif guard.kind is GuardKind.KSYM and answer:
            known[at] = NONZERO
        else:
            known[at] = answer
    return known


def relocation_text(btf: Btf, relocation: CoreRelocation) -> str:
    """A relocation as a person would write it: `field_exists(task_struct.start_boottime)`."""
    word = _WORDS.get(relocation.kind, relocation.kind.name.lower())
    try:
        return f"{word}({_spelled(btf, relocation)})"
    except (BtfError, ValueError, IndexError):
        return f"{word}(type {relocation.type}, {relocation.access[:40]!r})"


def _spelled(btf: Btf, relocation: CoreRelocation) -> str:
    name = btf.name(relocation.type) or "?"
    number = btf.resolve(relocation.type)
    steps = [int(part) for part in relocation.access.split(":")]
    if relocation.kind.is_enumerator:
        names = [text for text, _ in btf.enumerators(btf[number])]
        return names[steps[0]] if 0 <= steps[0] < len(names) else name
    if not relocation.kind.is_field:
        return name
    text = name if not steps[0] else f"{name}[{steps[0]}]"
    for step in steps[1:64]:
        found = btf[btf.resolve(number)]
        if found.kind == kinds.ARRAY:
            number = btf.words(found)[0]
            text += f"[{step}]"
        else:
            member = list(btf.members(found))[step]
            number = member.type
            text += f".{member.name}" if member.name else ""
    return text


def _loaded_externs(function: Function, externs: Mapping[str, Extern]) -> Iterator[tuple[int, Extern]]:
    for at, target in function.targets.items():
        wanted = target.kind is TargetKind.EXTERN and target.name in externs
        if wanted and function.instructions[at].code == LD_IMM64:
            yield at, externs[target.name]
