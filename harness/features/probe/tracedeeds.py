"""Features that attaching to events and functions of the kernel shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.features.probe.attaching import link_call, load_to_attach
from harness.features.probe.batch import Script
from harness.features.probe.commands import (
    Cmd,
    Field,
    Memory,
    Result,
    bpf_call,
    number,
    open_call,
    path_call,
    perf_call,
    set_bpf_call,
    text,
)
from harness.features.probe.files import read_files, text_of
from harness.features.probe.instructions import assemble
from harness.features.probe.loads import Load, load_call
from harness.features.probe.subject import Subject
from harness.guest.calls import Call, Called, Patch, PatchKind, Sys, argument

_TRACED_FILE = "/run/probe"
_EVENTS = "/sys/kernel/tracing/events"
_KPROBE_TYPE = "/sys/bus/event_source/devices/kprobe/type"
_SWITCH = f"{_EVENTS}/sched/sched_switch/id"
_SYSCALL = f"{_EVENTS}/syscalls/sys_enter_getpid/id"
_FUNCTION = "filp_close"
_UNLINK = 87  # of x86_64's system calls
_SOFTWARE, _TRACEPOINT = 1, 2  # PERF_TYPE_…
_RETURN_0 = assemble("r0 = 0\nexit").code
_CREATE = 0o102  # O_CREAT | O_RDWR


def attach_to_kernel(script: Script, subject: Subject) -> None:
    """Append what is attached to events and functions."""
    _perf_events(script, read_files(subject, (_KPROBE_TYPE, _SWITCH, _SYSCALL)))
    _multi(script)
    _trampolines(script, subject)
    _raw_tracepoints(script)
    _sleepable(script, subject)


def _perf_events(script: Script, files: Mapping[str, Called]) -> None:
    clock = script.add(perf_call(_SOFTWARE, 0))
    program = load_to_attach(script, "perf_event")
    script.deed(
        "attach_perf_event", set_bpf_call(clock, program), (clock, program), what="PERF_EVENT_IOC_SET_BPF"
    )
    other = script.add(perf_call(_SOFTWARE, 0))
    script.deed(
        "link_perf_event",
        link_call(Result(other), program, "BPF_PERF_EVENT"),
        (other, program, clock),
        what="BPF_LINK_CREATE, BPF_PERF_EVENT",
    )
    for name, path, type_ in (
        ("attach_kprobe", _KPROBE_TYPE, "kprobe"),
        ("attach_tracepoint", _SWITCH, "tracepoint"),
        ("syscall_tracepoint_programs", _SYSCALL, "tracepoint"),
    ):
        found = text_of(files, path)
        if found is None or not found.isdigit():
            script.impossible[name] = f"{path} cannot be read"
            continue
        of_kprobe = type_ == "kprobe"
        call = perf_call(int(found), 0, _FUNCTION) if of_kprobe else perf_call(_TRACEPOINT, int(found))
        event = script.add(call)
        program = load_to_attach(script, type_)
        script.deed(
            name, set_bpf_call(event, program), (event, program), what=f"PERF_EVENT_IOC_SET_BPF, {type_}"
        )


def _multi(script: Script) -> None:
    """Links to many functions at once: one of the kernel's, and one place in a file nobody runs."""
    names = Memory(_FUNCTION.encode() + b"\0")
    for name, attach in (
        ("link_kprobe_multi", "BPF_TRACE_KPROBE_MULTI"),
        ("link_kprobe_session", "BPF_TRACE_KPROBE_SESSION"),
    ):
        program = load_to_attach(script, "kprobe", attach, result=0)
        # A list of one pointer to a name: blobs 1 and 2 of the call.
        call = link_call(number(0), program, attach, {20: number(1), 24: Memory(bytes(8))})
        call = replace(
            call, data=(*call.data, names.data), patches=(Patch(1, 0, PatchKind.ADDRESS, 2), *call.patches)
        )
        script.deed(name, call, (program,), no=("EINVAL", "ENOTSUP"), what=f"BPF_LINK_CREATE, {attach}")
    file = script.add(open_call(_TRACED_FILE, _CREATE, 0o755))
    script.add(_write(file, b"\x90" * 4096))
    attach = "BPF_TRACE_UPROBE_MULTI"
    program = load_to_attach(script, "kprobe", attach, result=0)
    place: dict[int, Field] = {16: text(_TRACED_FILE), 24: Memory(bytes(8)), 48: number(1)}
    call = link_call(number(0), program, attach, place)
    script.deed(
        "link_uprobe_multi",
        call,
        (file, program),
        no=("EINVAL", "ENOTSUP"),
        what=f"BPF_LINK_CREATE, {attach}",
    )
    script.add(path_call(_UNLINK, _TRACED_FILE))


def _write(file: int, data: bytes) -> Call:
    patches = (argument(0, PatchKind.RESULT, file), argument(1))
    return Call(Sys.WRITE, (0, 0, len(data)), (data,), patches)


def _trampolines(script: Script, subject: Subject) -> None:
    """Programs that BTF says where to put, attached without a name."""
    for names, type_, attach in (
        (("fentry_fexit", "trampoline"), "tracing", "BPF_TRACE_FENTRY"),
        (("attach_lsm",), "lsm", "BPF_LSM_MAC"),
        (("bpf_iterator",), "tracing", "BPF_TRACE_ITER"),
        (("program_replacement_freplace",), "ext", ""),
    ):
        load = _usable(subject, type_, attach)
        if load is None:
            words = f"no {type_} program {attach} can be loaded"
            script.impossible |= dict.fromkeys(names, words)
        elif type_ == "ext":
            _replacement(script, names[0], subject, load)
        else:
            _attached(script, names, replace(load, keep=True, code=_RETURN_0), attach)


def _attached(script: Script, names: Sequence[str], load: Load, attach: str) -> None:
    """One program for all the features it shows; an iterator is opened."""
    program = script.add(load_call(load))
    if attach == "BPF_TRACE_ITER":
        link = script.add(link_call(number(0), program, attach))
        call, what = bpf_call(Cmd.ITER_CREATE, {0: Result(link)}), "BPF_ITER_CREATE"
    else:
        call, what = _raw(program), f"BPF_RAW_TRACEPOINT_OPEN, {attach}"
    at = script.add(call)
    for name in names:
        script.deed(name, at, (program,), what=what)


def _raw_tracepoints(script: Script) -> None:
    raw = load_to_attach(script, "raw_tracepoint")
    what = "BPF_RAW_TRACEPOINT_OPEN, sys_enter"
    script.deed("attach_raw_tracepoint", _raw(raw, "sys_enter"), (raw,), what=what)
    writable = load_to_attach(script, "raw_tracepoint_writable")
    what = "BPF_RAW_TRACEPOINT_OPEN, bpf_test_finish, writable"
    script.deed("raw_tracepoint_writable", _raw(writable, "bpf_test_finish"), (writable,), what=what)


def _sleepable(script: Script, subject: Subject) -> None:
    loads = (_usable(subject, type_, "", sleepable=True) for type_ in ("tracing", "lsm"))
    load = next((one for one in loads if one is not None), None)
    if load is None:
        script.impossible["sleepable_programs"] = "no program with BPF_F_SLEEPABLE can be loaded"
        return
    call = load_call(replace(load, code=_RETURN_0))
    script.deed("sleepable_programs", call, what="a program with BPF_F_SLEEPABLE")


def _replacement(script: Script, name: str, subject: Subject, load: Load) -> None:
    """A program in another's place: the calls that load that one come first, so references are moved."""
    first = len(script.calls)
    for call in subject.prelude.calls:
        patches = tuple(
            replace(one, index=one.index + first) if one.kind is PatchKind.RESULT else one
            for one in call.patches
        )
        script.add(replace(call, patches=patches))
    moved = replace(
        load,
        target=None if load.target is None else load.target + first,
        btf=None if load.btf is None else load.btf + first,
        code=assemble("r2 = 0\ncall 44\nr0 = 2\nexit").code,
        keep=True,
    )
    program = script.add(load_call(moved))
    script.deed(
        name, _raw(program), (program,), what="BPF_RAW_TRACEPOINT_OPEN of a program that replaces another"
    )


def _usable(subject: Subject, type_: str, attach: str, *, sleepable: bool | None = None) -> Load | None:
    for placed in subject.usable.get(type_, ()):
        attempt = placed.attempt
        if attempt.attach == (attach or attempt.attach) and sleepable in (None, attempt.sleepable):
            return placed.load
    return None


def _raw(program: int, name: str = "") -> Call:
    """BPF_RAW_TRACEPOINT_OPEN; without a name to what the program was loaded for."""
    fields: dict[int, Field] = {8: Result(program)}
    return bpf_call(Cmd.RAW_TRACEPOINT_OPEN, {**fields, 0: text(name)} if name else fields)
