"""What an object expects from outside: kernel symbols, kfuncs and configuration values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from harness.build import btftypes as kinds
from harness.build.btftypes import Btf
from harness.features.objects.elf import Symbol
from harness.features.objects.model import Constant, Extern

KSYMS, KCONFIG = ".ksyms", ".kconfig"
_NUMBERS = frozenset({kinds.INT, kinds.ENUM, kinds.ENUM64})


def read_externs(undefined: Mapping[str, Symbol], btf: Btf | None) -> dict[str, Extern]:
    """The externs among the undefined symbols, by name; BtfError.

    Without BTF (or without an entry in it) where they come from is not known and `section` is "".
    """
    declared = _declared(btf) if btf is not None else {}
    externs: dict[str, Extern] = {}
    for name, symbol in undefined.items():
        section, number = declared.get(name, ("", 0))
        function, typed = _nature(btf, number)
        weak = symbol.bind == "STB_WEAK"
        externs[name] = Extern(name, section, weak, function, number, typed and section == KSYMS)
    return externs


def read_constants(btf: Btf, sections: Mapping[str, bytes]) -> dict[tuple[str, int], Constant]:
    """The numbers in sections of constants (`.rodata…`), by section and offset; BtfError."""
    found: dict[tuple[str, int], Constant] = {}
    order: Literal["little", "big"] = "little" if btf.order == "<" else "big"
    for number in range(1, len(btf)):
        section = btf.name(number) if btf.kind(number) == kinds.DATASEC else ""
        if section not in sections:
            continue
        for variable, offset, size in btf.variables(btf[number]):
            data = sections[section][offset : offset + size]
            kind = btf.kind(btf.resolve(btf[variable].value))
            if kind in _NUMBERS and 0 < size == len(data) <= 8:
                found[section, offset] = Constant(btf.name(variable), size, int.from_bytes(data, order))
    return found


def _declared(btf: Btf) -> dict[str, tuple[str, int]]:
    found: dict[str, tuple[str, int]] = {}
    for number in range(1, len(btf)):
        if btf.kind(number) == kinds.DATASEC and btf.name(number) in (KSYMS, KCONFIG):
            for entry, _, _ in btf.variables(btf[number]):
                found[btf.name(entry)] = (btf.name(number), entry)
    return found


def _nature(btf: Btf | None, number: int) -> tuple[bool, bool]:
    """Whether an extern is a function, and whether it is a variable with a type other than void."""
    if btf is None or not number:
        return False, False
    found = btf[number]
    if found.kind == kinds.FUNC:
        return True, False
    return False, found.kind == kinds.VAR and btf.resolve(found.value) != 0
