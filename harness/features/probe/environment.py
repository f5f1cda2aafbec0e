"""What a kernel's answers depend on beside its code: settings of the guest as they were when it was asked."""

from __future__ import annotations

from harness.features.probe.subject import Answering
from harness.model import Kernel

# Documentation/admin-guide/sysctl/{kernel,net}.rst, Documentation/admin-guide/LSM; what is not there says so.
_FILES = {
    "unprivileged_bpf_disabled": "/proc/sys/kernel/unprivileged_bpf_disabled",
    "bpf_stats_enabled": "/proc/sys/kernel/bpf_stats_enabled",
    "perf_event_paranoid": "/proc/sys/kernel/perf_event_paranoid",
    "kptr_restrict": "/proc/sys/kernel/kptr_restrict",
    "bpf_jit_enable": "/proc/sys/net/core/bpf_jit_enable",
    "bpf_jit_harden": "/proc/sys/net/core/bpf_jit_harden",
    "lockdown": "/sys/kernel/security/lockdown",
    "lsm": "/sys/kernel/security/lsm",
    "cmdline": "/proc/cmdline",
}
_CHARACTERS = 300
ABSENT = "no such file"


def environment(guest: Answering, kernel: Kernel) -> dict[str, str]:
    """The settings by name, as the guest's files have them, and whether it has its own BTF."""
    found = {name: _text(guest, path) for name, path in _FILES.items()}
    return found | {
        "btf": "yes" if guest.facts.has_btf else "no",
        "cpus": str(kernel.cpus),
        "memory_mib": str(kernel.memory_mib),
        "uname": guest.facts.version_text,
    }


def _text(guest: Answering, path: str) -> str:
    try:
        return guest.read_file(path, 4096).decode("utf-8", "replace").strip()[:_CHARACTERS]
    except FileNotFoundError:
        return ABSENT
    except OSError as problem:
        return f"cannot be read: {problem.strerror or problem}"[:_CHARACTERS]
