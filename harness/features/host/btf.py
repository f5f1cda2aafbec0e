"""What the running kernel's BTF says there is: enumerators of the UAPI, and functions marked as kfuncs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.build.btftypes import DECL_TAG, ENUM, ENUM64, FUNC, Btf, BtfError

FOLDER = Path("/sys/kernel/btf")
_ENUM_KINDS = frozenset({ENUM, ENUM64})
_KFUNC = "bpf_kfunc"  # the tag pahole gives kfuncs (1.27 and later)


@dataclass(frozen=True, slots=True)
class HostTypes:
    """Names of the kernel's types. `tagged`: its kfuncs carry a mark, so that one without is none."""

    enumerators: frozenset[str]
    functions: frozenset[str]
    kfuncs: frozenset[str]

    @property
    def tagged(self) -> bool:
        """Whether kfuncs are marked at all."""
        return bool(self.kfuncs)


def host_types(folder: Path = FOLDER) -> HostTypes | None:
    """Read `vmlinux`; None where the kernel shows none that can be read."""
    try:
        return _names(Btf((folder / "vmlinux").read_bytes()))
    except (OSError, BtfError):
        return None


def module_functions(folder: Path = FOLDER) -> Iterable[str]:
    """The modules that show their types; their functions are not read, as their BTF is split."""
    try:
        return sorted(path.name for path in folder.iterdir() if path.name != "vmlinux")
    except OSError:
        return ()


def _names(btf: Btf) -> HostTypes:
    enumerators: set[str] = set()
    functions: dict[int, str] = {}
    tagged: set[int] = set()
    for number in range(1, len(btf)):
        kind = btf.kind(number)
        if kind in _ENUM_KINDS:
            enumerators.update(name for name, _ in btf.enumerators(btf[number]))
        elif kind == FUNC:
            functions[number] = btf.name(number)
        elif kind == DECL_TAG and btf.name(number) == _KFUNC:
            tagged.add(btf[number].value)
    kfuncs = frozenset(functions[number] for number in tagged if number in functions)
    return HostTypes(frozenset(enumerators), frozenset(functions.values()), kfuncs)
