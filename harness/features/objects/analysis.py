"""Everything an object uses: its programs one by one, then what it uses as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.build import btftypes as kinds
from harness.build.btftypes import Btf, BtfError
from harness.features.documented import documented
from harness.features.objects.externs import KCONFIG
from harness.features.objects.flow import Budget
from harness.features.objects.guards import Answers
from harness.features.objects.mapuses import map_uses
from harness.features.objects.model import BpfObject, CoreRelocation, Function
from harness.features.objects.program import FunctionView, Place, Program, assumptions, in_words
from harness.features.objects.read import parse_bpf_object, read_bpf_object
from harness.features.objects.scan import Sighting, isa_level
from harness.features.objects.sections import AttachCheck, table
from harness.features.objects.uses import Necessity, ObjectUses, ProgramSummary, Use, UseKey, UseKind
from harness.features.types import FeatureKind, short_program_type

WORK = 4_000_000  # instructions looked at in all passes over an object; some ten seconds
_SHOWN_PLACES = 4
_STRUCT_OPS = (".struct_ops", ".struct_ops.link", "?.struct_ops", "?.struct_ops.link")
_BY_TYPE = frozenset({UseKind.HELPER, UseKind.KFUNC})
_LIBBPFS_OWN = "LINUX_"  # variables libbpf sets on every kernel
_EXTERNS = frozenset({UseKind.KSYM, UseKind.KCONFIG})


class Analysis:
    """An object with what it uses; `uses` where no kernel is known, `needed` on one."""

    def __init__(self, found: BpfObject) -> None:
        self.found = found
        self.budget = Budget(WORK)
        views = _views(found)
        self.programs = tuple(
            Program(function, views, found.externs, self.budget) for function in found.programs
        )

    @classmethod
    def of_file(cls, path: Path) -> Analysis:
        """Read and analyse a file; UserError as `read_bpf_object`."""
        return cls(read_bpf_object(path))

    @classmethod
    def of_bytes(cls, raw: bytes, where: str) -> Analysis:
        """The same for bytes; `where` names them in messages."""
        return cls(parse_bpf_object(raw, where))

    def uses(self) -> ObjectUses:
        """Everything the object uses, with what of it is optional."""
        own = [use for program in self.programs for use in _of_program(program)]
        whole = list(self._whole())
        return ObjectUses(
            name=self.found.name,
            sha256=self.found.sha256,
            isa=isa_level(self.found),
            programs=tuple(_summary(program) for program in self.programs),
            uses=tuple(whole + own),
            notes=self._notes(),
            counts={
                "programs": len(self.programs),
                "maps": len(self.found.maps),
                "relocations": self.found.relocated,
                "externs": len(self.found.externs),
            },
        )

    def needed(self, program: Program, answers: Answers) -> frozenset[UseKey]:
        """What a program uses once its guards are answered."""
        return program.keys(answers)

    def _notes(self) -> tuple[str, ...]:
        notes = list(self.found.notes)
        if not self.programs:
            notes.append("no program in it: no global function outside .text")
        if self.budget.spent:
            notes.append("too large to follow every guard: what may be optional is said to be needed")
        notes += [
            f"section {p.entry.section[:60]!r} is none libbpf knows: the type of {p.entry.name} is unknown"
            for p in self.programs
            if p.meaning is None
        ]
        return tuple(notes)

    def _whole(self) -> Iterator[Use]:
        found = self.found
        try:
            yield from map_uses(found)
            if found.btf is not None:
                yield from _struct_ops(found.btf)
                yield from _btf_kinds(found.btf)
        except BtfError:
            return  # said when it was read
        if found.relocated:
            yield Use(
                UseKey(UseKind.LANGUAGE, "vmlinux_btf_sysfs"),
                why=f"{found.relocated} CO-RE relocations; or BTF from elsewhere",
            )
        for extern in found.externs.values():
            if not extern.section:
                yield Use(UseKey(UseKind.UNDEFINED, extern.name))
            if extern.section == KCONFIG and not extern.weak and not extern.name.startswith(_LIBBPFS_OWN):
                yield Use(
                    UseKey(UseKind.KCONFIG, extern.name), why="not weak: libbpf refuses where it is not set"
                )


def _views(found: BpfObject) -> dict[Place, FunctionView]:
    helpers = {
        record.id: record.name
        for (kind, _), record in documented().items()
        if kind is FeatureKind.HELPER and record.id is not None
    }
    return {(f.section, f.offset): FunctionView(f, found, helpers) for f in found.functions}


def _summary(program: Program) -> ProgramSummary:
    meaning = program.meaning
    return ProgramSummary(
        program.entry.name,
        program.entry.section,
        meaning.program_type if meaning else "",
        meaning.attach_type if meaning else "",
        program.length,
        meaning.autoload if meaning else True,
    )


def _of_program(program: Program) -> Iterator[Use]:
    autoload = program.meaning is None or program.meaning.autoload
    for use in (*_entry_uses(program), *_code_uses(program)):
        if autoload or use.necessity is not Necessity.NEEDED:
            yield use
        else:
            yield _optional(use, "the program is not loaded unless asked for (`?` in its section)")


def _optional(use: Use, why: str) -> Use:
    return Use(
        use.key,
        use.program,
        use.program_type,
        Necessity.OPTIONAL,
        use.check,
        why,
        use.places,
        use.relocations,
    )


def _entry_uses(program: Program) -> Iterator[Use]:
    """What the section's name asks for."""
    meaning, name = program.meaning, program.entry.name
    if meaning is None:
        return
    yield Use(UseKey(UseKind.PROGRAM_TYPE, meaning.program_type), name)
    if meaning.attach_type:
        optional = meaning.check is AttachCheck.OPTIONAL
        yield Use(
            UseKey(UseKind.ATTACH_TYPE, meaning.attach_type),
            name,
            necessity=Necessity.OPTIONAL if optional else Necessity.NEEDED,
            check=meaning.check,
            why="attaching works without it" if optional else "",
        )
    if meaning.target:
        yield Use(UseKey(UseKind.TARGET, meaning.target, meaning.target_kind), name)
    for flag in meaning.flags:
        yield Use(UseKey(UseKind.PROGRAM_FLAG, flag), name)
    if meaning.sleepable and meaning.program_type not in ("BPF_PROG_TYPE_SYSCALL", "BPF_PROG_TYPE_KPROBE"):
        yield Use(UseKey(UseKind.PROGRAM_FLAG, "BPF_F_SLEEPABLE"), name)


def _code_uses(program: Program) -> Iterator[Use]:
    """What the instructions use; optional where some answer of the guards does without."""
    meaning = program.meaning
    kind = short_program_type(meaning.program_type) if meaning else ""
    without = [(words, answers, program.keys(answers)) for words, answers in assumptions(program.guards)]
    adapted = table("language.json")["adapted"]
    for key, seen in program.sighted(program.everything).items():
        necessity, why = Necessity.NEEDED, ""
        excuse = next((each for each in without if key not in each[2]), None)
        if excuse is not None:
            necessity, why = Necessity.OPTIONAL, in_words(program, key, excuse[0], excuse[1])
        elif key.name in adapted:
            necessity, why = Necessity.ADAPTED, adapted[key.name]
        elif key.kind in _EXTERNS and _is_weak(program, key.name):
            necessity, why = Necessity.OPTIONAL, "weak"
        yield Use(
            key,
            program.entry.name,
            kind if key.kind in _BY_TYPE else "",
            necessity,
            why=why,
            places=_places(seen),
            relocations=_relocations(seen),
            guarded=excuse is not None,
        )


def _is_weak(program: Program, name: str) -> bool:
    extern = program.externs.get(name)
    return extern is not None and extern.weak


def _relocations(seen: Sequence[tuple[Function, Sighting]]) -> tuple[tuple[CoreRelocation, bool], ...]:
    """The different relocations among the sightings of one use."""
    return tuple({(s.relocation, s.access): None for _, s in seen if s.relocation is not None})


def _places(seen: Sequence[tuple[Function, Sighting]]) -> tuple[str, ...]:
    found = [f"{function.name}+{sighting.at}" for function, sighting in seen[:_SHOWN_PLACES]]
    return (*found, f"{len(seen) - len(found)} more") if len(seen) > len(found) else tuple(found)


def _struct_ops(btf: Btf) -> Iterator[Use]:
    """The kernel's structs of functions the object fills in."""
    for number in range(1, len(btf)):
        if btf.kind(number) != kinds.DATASEC or btf.name(number) not in _STRUCT_OPS:
            continue
        optional = btf.name(number).startswith("?")
        for variable, _, _ in btf.variables(btf[number]):
            name = btf.name(btf.resolve(btf[variable].value))
            necessity = Necessity.OPTIONAL if optional else Necessity.NEEDED
            yield Use(UseKey(UseKind.MAP_TYPE, "BPF_MAP_TYPE_STRUCT_OPS"), necessity=necessity)
            yield Use(UseKey(UseKind.TARGET, f"bpf_struct_ops_{name}", "struct"), necessity=necessity)


def _btf_kinds(btf: Btf) -> Iterator[Use]:
    features = table("language.json")["btf_kinds"]
    adapted = table("language.json")["adapted"]
    seen = {kinds.KIND_NAMES[btf.kind(number)] for number in range(1, len(btf))}
    for name in sorted(seen & features.keys()):
        feature = features[name]
        yield Use(
            UseKey(UseKind.BTF_KIND, feature, name), necessity=Necessity.ADAPTED, why=adapted.get(feature, "")
        )
