"""The words of a run: verdicts, stages, outcomes."""

from __future__ import annotations

from enum import StrEnum

# In a kernel's place, for rows no kernel has a part in.
HOST = "host"
HOST_COMPILERS = ("gcc", "g++", "clang", "clang++")


class VerdictKind(StrEnum):
    """What the kernel (or a stage before it) answered; `none` when there is no answer."""

    ACCEPT = "accept"
    REJECT = "reject"
    NONE = "none"


class Stage(StrEnum):
    """Where a case ended, in the order a program passes them."""

    RENDER = "render"
    COMPILE = "compile"
    OPEN = "open"
    MAP_CREATE = "map_create"
    BTF_LOAD = "btf_load"
    LOAD = "load"
    ATTACH = "attach"
    RUN = "run"
    HOST_COMPILE = "host_compile"  # a compiler of this machine, for code in user space


class Loader(StrEnum):
    """Who turns the object into `bpf()` calls: libbpf with its fix-ups, or the calls as written."""

    LIBBPF = "libbpf"
    RAW = "raw"


class Outcome(StrEnum):
    """A case measured against its expectation.

    `unexpected`: the verdict (accept/reject) differs. `changed`: same verdict, but another stage,
    errno or message. `no_expectation`: measured, nothing to compare with. `flaky`: repeated, and not always
    the same answer. `crash`, `hang`, `splat`, `flaky` and `not_run` never count as the expected answer.
    """

    AS_EXPECTED = "as_expected"
    CHANGED = "changed"
    UNEXPECTED = "unexpected"
    NO_EXPECTATION = "no_expectation"
    CRASH = "crash"
    HANG = "hang"
    SPLAT = "splat"
    FLAKY = "flaky"
    NOT_RUN = "not_run"


class ObservationStatus(StrEnum):
    """How a case ended in the guest, before anyone interprets it."""

    LOADED = "loaded"  # the program (and its maps) exist in the kernel
    FAILED = "failed"  # a stage said no; `stage` and `errno` tell which
    CRASH = "crash"  # the kernel, the agent or QEMU died under the case
    HANG = "hang"  # the time limit passed


class ProgramKind(StrEnum):
    """What a program's file is: a Jinja template, plain C, or an object somebody compiled."""

    TEMPLATE = "template"
    SOURCE = "source"
    OBJECT = "object"
