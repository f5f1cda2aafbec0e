"""Values of `.kconfig` variables on a kernel, as libbpf fills them in (bpf_object__resolve_externs)."""

from __future__ import annotations

from harness.build import btftypes as kinds
from harness.build.btftypes import Btf
from harness.features.ask import ask
from harness.features.documented import documented
from harness.features.names import Feature
from harness.features.objects.guards import KERNEL_VERSION
from harness.features.objects.model import BpfObject
from harness.features.objects.view import KernelView
from harness.features.types import FeatureKind, Support

_HAS_COOKIE = "LINUX_HAS_BPF_COOKIE"
_HAS_WRAPPER = "LINUX_HAS_SYSCALL_WRAPPER"
_MADE_UP = frozenset({KERNEL_VERSION, _HAS_COOKIE, _HAS_WRAPPER})
_TRISTATE = {"n": 0, "y": 1, "m": 2}  # enum libbpf_tristate


def configured(name: str, found: BpfObject, kernel: KernelView) -> int | None:
    """The value a program reads; None where it is not known, or is not set and has to be.

    A weak variable that is not set reads 0.
    """
    if name in _MADE_UP:
        return _made_up(name, kernel)
    if kernel.symbols is None:
        return None
    text = kernel.symbols.get(name)
    extern = found.externs.get(name)
    if text is None:
        return 0 if extern is not None and extern.weak else None
    if extern is None or found.btf is None:
        return None
    return _value(text, extern.type, found.btf)


def _made_up(name: str, kernel: KernelView) -> int | None:
    """What libbpf finds out itself."""
    if name == KERNEL_VERSION:
        version = kernel.version
        return version.major << 16 | version.minor << 8 | min(version.patch, 255) if version else None
    if name == _HAS_COOKIE:
        return _asked(FeatureKind.HELPER, "bpf_get_attach_cookie", kernel)
    return _asked(FeatureKind.LANGUAGE, "syscall_wrapper", kernel)


def _asked(kind: FeatureKind, name: str, kernel: KernelView) -> int | None:
    answer = ask(Feature(kind, name), kernel.target, documented())
    return {Support.YES: 1, Support.NO: 0}.get(answer.support)


def _value(text: str, variable: int, btf: Btf) -> int | None:
    """A line of the configuration in the variable's type: bool, char, libbpf_tristate or integer."""
    found = btf[btf.resolve(btf[variable].value)]
    if text in _TRISTATE:
        if found.kind in (kinds.ENUM, kinds.ENUM64):
            return _TRISTATE[text]
        if found.kind == kinds.INT and found.value == 1:
            boolean = btf.words(found)[0] >> 24 & 4  # BTF_INT_BOOL
            return int(text == "y") if boolean else ord(text)
        return None
    try:
        return int(text, 0)
    except ValueError:
        return None  # a string: its characters are not followed
