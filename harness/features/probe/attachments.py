"""Features that attaching a program shows, to what a guest has: cgroups, sockets, events, functions, lo.

What is attached by a descriptor goes away with the process of the batch; what is not is detached again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from harness.features.probe.attempts import attach_number, program_types
from harness.features.probe.batch import Script
from harness.features.probe.commands import (
    Cmd,
    Field,
    Memory,
    Result,
    bpf_call,
    number,
    open_call,
    option_call,
    path_call,
    perf_call,
    set_bpf_call,
    socket_call,
    text,
)
from harness.features.probe.files import text_of
from harness.features.probe.instructions import assemble
from harness.features.probe.loads import Load, Map, load_call, map_call
from harness.features.probe.subject import Subject
from harness.guest.calls import Call, Called, Patch, PatchKind, Sys

ReadFiles = Callable[[Subject, Iterable[str]], dict[str, Called]]

_CGROUP = "/sys/fs/cgroup/probe"
_TRACED_FILE = "/run/probe"
_EVENTS = "/sys/kernel/tracing/events"
_KPROBE_TYPE = "/sys/bus/event_source/devices/kprobe/type"
_SWITCH = f"{_EVENTS}/sched/sched_switch/id"
_SYSCALL = f"{_EVENTS}/syscalls/sys_enter_getpid/id"
_FUNCTION = "filp_close"
_RMDIR, _UNLINK = 84, 87
_INET, _UDP, _AF_XDP, _SOCK_RAW = 2, 2, 44, 3
_REUSE_PORT, _ATTACH_BPF, _ATTACH_REUSEPORT = 15, 50, 52
_SOFTWARE, _TRACEPOINT = 1, 2  # PERF_TYPE_…
_LOOPBACK, _SKB_MODE = 1, 2
_OVERRIDE, _MULTI, _REPLACE, _BEFORE, _AFTER, _ID, _PREORDER = 1, 2, 4, 8, 16, 32, 64
_SOCKMAP = 15
_NO_FLAG = 1 << 30
_CREATE = 0o102  # O_CREAT | O_RDWR
_NOWHERE = 0x7FFFFFF0  # the id of no program


def attach_all(script: Script, subject: Subject, read: ReadFiles) -> None:
    """Append everything that is attached."""
    files = read(subject, (_KPROBE_TYPE, _SWITCH, _SYSCALL))
    _cgroups(script)
    _sockets(script)
    _network(script)
    _perf_events(script, files)
    _multi(script)
    _trampolines(script, subject)


def _program(script: Script, type_: str, attach: str = "", result: int = 1) -> int:
    code = assemble(f"r0 = {result}\nexit").code
    load = Load(program_types()[type_], code, attach_type=attach_number(attach), keep=True)
    return script.add(load_call(load))


def _attach(target: Field, program: int, attach: str, flags: int = 0, **more: Field) -> Call:
    """BPF_PROG_ATTACH; `replace` and `relative` are the fields behind the flags."""
    fields: dict[int, Field] = {
        0: target,
        4: Result(program),
        8: number(attach_number(attach)),
        12: number(flags),
    }
    fields |= {{"replace": 16, "relative": 20}[name]: value for name, value in more.items()}
    return bpf_call(Cmd.PROG_ATTACH, fields)


def _detach(target: Field, program: int, attach: str) -> Call:
    fields: dict[int, Field] = {0: target, 4: Result(program), 8: number(attach_number(attach))}
    return bpf_call(Cmd.PROG_DETACH, fields)


def _link(target: Field, program: int, attach: str, more: Mapping[int, Field] | None = None) -> Call:
    """BPF_LINK_CREATE; what is special to a kind of links begins at 16."""
    fields: dict[int, Field] = {0: Result(program), 4: target, 8: number(attach_number(attach))}
    return bpf_call(Cmd.LINK_CREATE, {**fields, **(more or {})})


def _cgroups(script: Script) -> None:
    """All kinds of programs on a cgroup of its own, which is taken away again."""
    script.add(path_call(Sys.MKDIR, _CGROUP, 0o755))
    group = script.add(open_call(_CGROUP))
    for name, type_, attach in (
        ("attach_cgroup_skb", "cgroup_skb", "BPF_CGROUP_INET_INGRESS"),
        ("attach_cgroup_bind", "cgroup_sock_addr", "BPF_CGROUP_INET4_BIND"),
        ("attach_cgroup_connect", "cgroup_sock_addr", "BPF_CGROUP_INET4_CONNECT"),
        ("attach_cgroup_device", "cgroup_device", "BPF_CGROUP_DEVICE"),
        ("attach_cgroup_sysctl", "cgroup_sysctl", "BPF_CGROUP_SYSCTL"),
        ("attach_sock_ops", "sock_ops", "BPF_CGROUP_SOCK_OPS"),
    ):
        program = _program(script, type_, attach)
        call = _attach(Result(group), program, attach)
        script.deed(name, call, (group, program), what=f"BPF_PROG_ATTACH, {attach}")
        script.add(_detach(Result(group), program, attach))
    _cgroup_flags(script, group)
    script.add(path_call(_RMDIR, _CGROUP))


def _cgroup_flags(script: Script, group: int) -> None:
    egress, target = "BPF_CGROUP_INET_EGRESS", Result(group)
    one, other, third = (_program(script, "cgroup_skb", egress) for _ in range(3))
    script.deed(
        "BPF_F_ALLOW_OVERRIDE",
        _attach(target, one, egress, _OVERRIDE),
        (group, one),
        what="BPF_PROG_ATTACH with it",
    )
    script.add(_detach(target, one, egress))
    multi = script.deed(
        "BPF_F_ALLOW_MULTI",
        _attach(target, one, egress, _MULTI),
        (group, one),
        what="BPF_PROG_ATTACH with it",
    )
    swap = _attach(target, other, egress, _MULTI | _REPLACE, replace=Result(one))
    script.deed("BPF_F_REPLACE", swap, (multi, other), no=("EINVAL", "E2BIG"), what="BPF_PROG_ATTACH with it")
    script.deed(
        "BPF_F_PREORDER",
        _attach(target, third, egress, _MULTI | _PREORDER),
        (multi, third),
        what="BPF_PROG_ATTACH with it",
    )
    script.refuses("BPF_F_PREORDER", _attach(target, third, egress, _MULTI | _NO_FLAG))
    asked: dict[int, Field] = {0: target, 4: number(attach_number(egress)), 24: number(0)}
    plain = script.add(bpf_call(Cmd.PROG_QUERY, asked))
    script.deed(
        "BPF_F_QUERY_EFFECTIVE",
        bpf_call(Cmd.PROG_QUERY, {**asked, 8: number(1)}),
        (plain,),
        what="BPF_PROG_QUERY with it",
    )
    for program in (one, other, third):
        script.add(_detach(target, program, egress))
    linked = _program(script, "cgroup_skb", egress)
    script.deed(
        "bpf_link", _link(target, linked, egress), (group, linked, multi), what="BPF_LINK_CREATE on a cgroup"
    )


def _sockets(script: Script) -> None:
    socket, other = (script.add(socket_call(_INET, _UDP)) for _ in range(2))
    filter_ = _program(script, "socket_filter")
    attached = script.deed(
        "attach_socket",
        option_call(socket, _ATTACH_BPF, Result(filter_)),
        (socket, filter_),
        no=("ENOPROTOOPT",),
        what="SO_ATTACH_BPF",
    )
    script.deed("ebpf_socket_filter_internal", attached, what="SO_ATTACH_BPF")
    reuse = script.add(option_call(other, _REUSE_PORT, 1))
    select = _program(script, "sk_reuseport")
    script.deed(
        "attach_sk_reuseport",
        option_call(other, _ATTACH_REUSEPORT, Result(select)),
        (reuse, select),
        no=("ENOPROTOOPT",),
        what="SO_ATTACH_REUSEPORT_EBPF",
    )
    script.deed(
        "af_xdp", socket_call(_AF_XDP, _SOCK_RAW), (socket,), no=("EAFNOSUPPORT",), what="a socket of AF_XDP"
    )
    sockets = script.add(map_call(Map(_SOCKMAP, 4, 4, 1)))
    for name, type_, attach in (
        ("attach_sk_skb", "sk_skb", "BPF_SK_SKB_STREAM_VERDICT"),
        ("attach_sk_msg", "sk_msg", "BPF_SK_MSG_VERDICT"),
    ):
        program = _program(script, type_, attach if type_ == "sk_msg" else "")
        call = _attach(Result(sockets), program, attach)
        script.deed(name, call, (sockets, program), what=f"BPF_PROG_ATTACH, {attach}, to a sockmap")


def _network(script: Script) -> None:
    names = script.add(open_call("/proc/self/ns/net"))
    lookup = _program(script, "sk_lookup", "BPF_SK_LOOKUP")
    script.deed(
        "attach_sk_lookup",
        _link(Result(names), lookup, "BPF_SK_LOOKUP"),
        (names, lookup),
        what="BPF_LINK_CREATE",
    )
    dissector = _program(script, "flow_dissector", "BPF_FLOW_DISSECTOR")
    call = _attach(number(0), dissector, "BPF_FLOW_DISSECTOR")
    script.deed("attach_flow_dissector", call, (dissector,), what="BPF_PROG_ATTACH, BPF_FLOW_DISSECTOR")
    script.add(_detach(number(0), dissector, "BPF_FLOW_DISSECTOR"))
    xdp = _program(script, "xdp", result=2)
    on_loopback = _link(number(_LOOPBACK), xdp, "BPF_XDP", {12: number(_SKB_MODE)})
    linked = script.deed("xdp_generic", on_loopback, (xdp,), what="BPF_LINK_CREATE on lo, XDP_FLAGS_SKB_MODE")
    script.deed("xdp", linked, (xdp,), what="BPF_LINK_CREATE on lo")
    _tcx(script, linked)
    _netfilter(script)


def _tcx(script: Script, linked: int) -> None:
    ingress = "BPF_TCX_INGRESS"
    first, second, third = (_program(script, "sched_cls", result=0) for _ in range(3))
    lo = number(_LOOPBACK)
    script.deed(
        "tcx", _link(lo, first, ingress), (first, linked), what="BPF_LINK_CREATE, BPF_TCX_INGRESS, on lo"
    )
    plain = script.add(_attach(lo, second, ingress))
    for name, flag in (("BPF_F_BEFORE", _BEFORE), ("BPF_F_AFTER", _AFTER)):
        call = _attach(lo, third, ingress, flag, relative=Result(second))
        script.deed(name, call, (plain, third), what="BPF_PROG_ATTACH with it to lo")
        script.add(_detach(lo, third, ingress))
    call = _attach(lo, third, ingress, _BEFORE | _ID, relative=number(_NOWHERE))
    script.deed(
        "BPF_F_ID",
        call,
        (plain, third),
        yes=("ENOENT",),
        what="BPF_PROG_ATTACH with it and the id of no program",
    )
    for program in (third, second):
        script.add(_detach(lo, program, ingress))


def _netfilter(script: Script) -> None:
    """Packets to be defragmented first; the module that does that may be missing, which is ENOENT."""
    program = _program(script, "netfilter", "BPF_NETFILTER")
    hook: dict[int, Field] = {16: number(2), 20: number(0), 24: number(100)}
    control = script.add(_link(number(0), program, "BPF_NETFILTER", hook))
    call = _link(number(0), program, "BPF_NETFILTER", {**hook, 28: number(1)})
    for name in ("netfilter_ip_defrag", "BPF_F_NETFILTER_IP_DEFRAG"):
        script.deed(
            name,
            call,
            (control,),
            no=("ENOTSUP", "EINVAL"),
            yes=("ENOENT", "EAFNOSUPPORT"),
            what="BPF_LINK_CREATE with BPF_F_NETFILTER_IP_DEFRAG",
        )


def _perf_events(script: Script, files: Mapping[str, Called]) -> None:
    clock = script.add(perf_call(_SOFTWARE, 0))
    program = _program(script, "perf_event")
    script.deed(
        "attach_perf_event", set_bpf_call(clock, program), (clock, program), what="PERF_EVENT_IOC_SET_BPF"
    )
    other = script.add(perf_call(_SOFTWARE, 0))
    script.deed(
        "link_perf_event",
        _link(Result(other), program, "BPF_PERF_EVENT"),
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
        program = _program(script, type_)
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
        program = _program(script, "kprobe", attach, result=0)
        # A list of one pointer to a name: blobs 1 and 2 of the call.
        call = _link(number(0), program, attach, {20: number(1), 24: Memory(bytes(8))})
        call = replace(
            call, data=(*call.data, names.data), patches=(Patch(1, 0, PatchKind.ADDRESS, 2), *call.patches)
        )
        script.deed(name, call, (program,), no=("EINVAL", "ENOTSUP"), what=f"BPF_LINK_CREATE, {attach}")
    file = script.add(open_call(_TRACED_FILE, _CREATE, 0o755))
    script.add(_write(file, b"\x90" * 4096))
    attach = "BPF_TRACE_UPROBE_MULTI"
    program = _program(script, "kprobe", attach, result=0)
    place: dict[int, Field] = {16: text(_TRACED_FILE), 24: Memory(bytes(8)), 48: number(1)}
    call = _link(number(0), program, attach, place)
    script.deed(
        "link_uprobe_multi",
        call,
        (file, program),
        no=("EINVAL", "ENOTSUP"),
        what=f"BPF_LINK_CREATE, {attach}",
    )
    script.add(path_call(_UNLINK, _TRACED_FILE))


def _write(file: int, data: bytes) -> Call:
    return Call(
        Sys.WRITE,
        (0, 0, len(data)),
        (data,),
        (Patch(0xFFFFFFFF, 0, PatchKind.RESULT, file), Patch(0xFFFFFFFF, 1, PatchKind.ADDRESS, 0)),
    )


def _trampolines(script: Script, subject: Subject) -> None:
    """Programs that BTF says where to put, attached without a name; and raw tracepoints, with one."""
    for name, type_, attach in (
        ("fentry_fexit", "tracing", "BPF_TRACE_FENTRY"),
        ("trampoline", "tracing", "BPF_TRACE_FENTRY"),
        ("attach_lsm", "lsm", "BPF_LSM_MAC"),
        ("bpf_iterator", "tracing", "BPF_TRACE_ITER"),
        ("program_replacement_freplace", "ext", ""),
    ):
        load = _usable(subject, type_, attach)
        if load is None:
            script.impossible[name] = f"no {type_} program {attach} can be loaded"
            continue
        if type_ == "ext":
            script.impossible.pop(name, None)
            _replacement(script, name, subject, load)
            continue
        program = script.add(load_call(replace(load, keep=True, code=assemble("r0 = 0\nexit").code)))
        if attach == "BPF_TRACE_ITER":
            link = script.add(_link(number(0), program, attach))
            opened = bpf_call(Cmd.ITER_CREATE, {0: Result(link)})
            script.deed(name, opened, (program,), what="BPF_ITER_CREATE")
            continue
        script.deed(name, _raw(program), (program,), what=f"BPF_RAW_TRACEPOINT_OPEN, {attach}")
    raw = _program(script, "raw_tracepoint")
    script.deed(
        "attach_raw_tracepoint", _raw(raw, "sys_enter"), (raw,), what="BPF_RAW_TRACEPOINT_OPEN, sys_enter"
    )
    writable = _program(script, "raw_tracepoint_writable")
    script.deed(
        "raw_tracepoint_writable",
        _raw(writable, "bpf_test_finish"),
        (writable,),
        what="BPF_RAW_TRACEPOINT_OPEN, bpf_test_finish, writable",
    )
    for load in (
        _usable(subject, "tracing", "", sleepable=True),
        _usable(subject, "lsm", "", sleepable=True),
    ):
        if load is not None:
            call = load_call(replace(load, code=assemble("r0 = 0\nexit").code))
            script.deed("sleepable_programs", call, what="a program with BPF_F_SLEEPABLE")
    if "sleepable_programs" not in script.deeds:
        script.impossible["sleepable_programs"] = "no program with BPF_F_SLEEPABLE can be loaded"


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
