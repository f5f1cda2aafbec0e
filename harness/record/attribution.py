"""Why an answer may have changed: what else is different between the two times it was measured. Pure.

Nothing is proved here. Every circumstance that differs is named; one that was not recorded on a side is
no difference.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.record.changes import Attribution, Reason
from harness.record.snapshot import CaseRecord, Circumstances


def reasons(old: CaseRecord, new: CaseRecord) -> tuple[Reason, ...]:
    """Name everything that differs around a case; `nothing known changed` when that is so."""
    found = (
        *_kernel(old.under, new.under),
        *_compiler(old.under, new.under),
        *_source(old, new),
        *_harness(old.under, new.under),
    )
    return found or (Reason(Attribution.NOTHING_KNOWN),)


def differ(old: str, new: str) -> bool:
    """Whether both are recorded and not the same."""
    return bool(old and new) and old != new


def _arrow(old: str, new: str) -> str:
    return f"{old} → {new}"


def _kernel(old: Circumstances, new: Circumstances) -> Iterator[Reason]:
    if differ(old.version, new.version):
        yield Reason(Attribution.KERNEL, _arrow(old.version, new.version))
    elif differ(old.release, new.release):
        yield Reason(Attribution.KERNEL, _arrow(old.release, new.release))
    elif differ(old.image, new.image):
        yield Reason(Attribution.KERNEL, f"another image of {new.version or new.release}")


def _compiler(old: Circumstances, new: Circumstances) -> Iterator[Reason]:
    if differ(old.compiler, new.compiler):
        yield Reason(Attribution.COMPILER, _arrow(old.compiler, new.compiler))


def _source(old: CaseRecord, new: CaseRecord) -> Iterator[Reason]:
    if differ(old.source, new.source):
        yield Reason(Attribution.SOURCE, _arrow(old.source, new.source))
    elif differ(old.object, new.object) and not differ(old.under.compiler, new.under.compiler):
        words = (
            "its object differs: a header it includes" if old.source and new.source else "its object differs"
        )
        yield Reason(Attribution.SOURCE, words)


def _harness(old: Circumstances, new: Circumstances) -> Iterator[Reason]:
    parts = (
        ("", old.harness, new.harness),
        ("libbpf ", old.libbpf, new.libbpf),
        ("", old.qemu, new.qemu),
        ("", old.accel, new.accel),
    )
    words = [f"{name}{_arrow(was, now)}" for name, was, now in parts if differ(was, now)]
    if words:
        yield Reason(Attribution.HARNESS, ", ".join(words))
