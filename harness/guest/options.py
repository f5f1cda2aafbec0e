"""What a caller may choose about guests."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class AccelChoice(StrEnum):
    """Which accelerator a person asks for; `auto` finds out by trying."""

    AUTO = "auto"
    KVM = "kvm"
    TCG = "tcg"


@dataclass(frozen=True, slots=True)
class GuestOptions:
    """Options of every guest of a run. Times in seconds."""

    accel: AccelChoice = AccelChoice.AUTO
    fresh_guest: bool = False  # restore before every case
    snapshots: bool = True  # save the ready guest, and restore it when there is a valid one
    boot_timeout_s: float = 60.0  # under TCG; a guest on KVM gets `kvm_timeout_s`
    kvm_timeout_s: float = 8.0
    grace_s: float = 5.0  # beyond a case's own limit before the host gives the guest up
