"""Numbers of the Linux UAPI and the names a person knows them by.

Source: include/uapi/linux/bpf.h (enum bpf_map_type, order fixed by ABI), include/uapi/linux/capability.h,
errno.h and include/linux/errno.h (524, which the verifier and map code return to user space although it
is kernel-internal).
"""

from __future__ import annotations

import errno
from collections.abc import Iterable

from harness.errors import UserError

MAP_TYPES = [
    "unspec",
    "hash",
    "array",
    "prog_array",
    "perf_event_array",
    "percpu_hash",
    "percpu_array",
    "stack_trace",
    "cgroup_array",
    "lru_hash",
    "lru_percpu_hash",
    "lpm_trie",
    "array_of_maps",
    "hash_of_maps",
    "devmap",
    "sockmap",
    "cpumap",
    "xskmap",
    "sockhash",
    "cgroup_storage",
    "reuseport_sockarray",
    "percpu_cgroup_storage",
    "queue",
    "stack",
    "sk_storage",
    "devmap_hash",
    "struct_ops",
    "ringbuf",
    "inode_storage",
    "task_storage",
    "bloom_filter",
    "user_ringbuf",
    "cgrp_storage",
    "arena",
    "insn_array",
    "rhash",
]

CAPABILITIES = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
]

_INTERNAL_ERRNO = {512: "ERESTARTSYS", 517: "EPROBE_DEFER", 524: "ENOTSUPP"}
ALL_CAPABILITIES = (1 << 64) - 1


def map_type_name(number: int) -> str:
    """`27` → `ringbuf`; a type newer than this table → `type 99`."""
    return MAP_TYPES[number] if 0 <= number < len(MAP_TYPES) else f"type {number}"


def errno_name(number: int) -> str:
    """`22` → `EINVAL`; unknown numbers → `errno 999`."""
    return errno.errorcode.get(number) or _INTERNAL_ERRNO.get(number) or f"errno {number}"


def capability_mask(names: Iterable[str] | None) -> int:
    """The bit set of `CAP_…` names; None means all. UserError for a name that is none."""
    if names is None:
        return ALL_CAPABILITIES
    mask = 0
    for name in names:
        short = name.upper().removeprefix("CAP_")
        if short not in CAPABILITIES:
            known = ", ".join(f"CAP_{known}" for known in CAPABILITIES)
            raise UserError(f"unknown capability {name!r}", hint=f"use one of: {known}")
        mask |= 1 << CAPABILITIES.index(short)
    return mask
