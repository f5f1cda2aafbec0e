"""Features that attaching to cgroups, sockets and lo shows.

What is attached by a descriptor goes away with the process of the batch; what is not is detached again.
"""

from __future__ import annotations

from harness.features.probe.attaching import attach_call, detach_call, link_call, load_to_attach
from harness.features.probe.attempts import attach_number
from harness.features.probe.batch import NO_FLAG, Script
from harness.features.probe.commands import (
    Cmd,
    Field,
    Result,
    bpf_call,
    number,
    open_call,
    option_call,
    path_call,
    socket_call,
)
from harness.features.probe.loads import Map, map_call
from harness.guest.calls import Sys

_CGROUP = "/sys/fs/cgroup/probe"
_RMDIR = 84  # of x86_64's system calls
_INET, _UDP, _AF_XDP, _SOCK_RAW = 2, 2, 44, 3
_REUSE_PORT, _ATTACH_BPF, _ATTACH_REUSEPORT = 15, 50, 52
_LOOPBACK, _SKB_MODE = 1, 2
_OVERRIDE, _MULTI, _REPLACE, _BEFORE, _AFTER, _ID, _PREORDER = 1, 2, 4, 8, 16, 32, 64
_SOCKMAP = 15
_NOWHERE = 0x7FFFFFF0  # the id of no program


def attach_to_network(script: Script) -> None:
    """Append what is attached to cgroups, sockets and the loopback device."""
    _cgroups(script)
    _sockets(script)
    _network(script)


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
        program = load_to_attach(script, type_, attach)
        call = attach_call(Result(group), program, attach)
        script.deed(name, call, (group, program), what=f"BPF_PROG_ATTACH, {attach}")
        script.add(detach_call(Result(group), program, attach))
    _cgroup_flags(script, group)
    script.add(path_call(_RMDIR, _CGROUP))


def _cgroup_flags(script: Script, group: int) -> None:
    egress, target = "BPF_CGROUP_INET_EGRESS", Result(group)
    one, other, third = (load_to_attach(script, "cgroup_skb", egress) for _ in range(3))
    script.deed(
        "BPF_F_ALLOW_OVERRIDE",
        attach_call(target, one, egress, _OVERRIDE),
        (group, one),
        what="BPF_PROG_ATTACH with it",
    )
    script.add(detach_call(target, one, egress))
    multi = script.deed(
        "BPF_F_ALLOW_MULTI",
        attach_call(target, one, egress, _MULTI),
        (group, one),
        what="BPF_PROG_ATTACH with it",
    )
    swap = attach_call(target, other, egress, _MULTI | _REPLACE, replace=Result(one))
    script.deed("BPF_F_REPLACE", swap, (multi, other), no=("EINVAL", "E2BIG"), what="BPF_PROG_ATTACH with it")
    script.deed(
        "BPF_F_PREORDER",
        attach_call(target, third, egress, _MULTI | _PREORDER),
        (multi, third),
        what="BPF_PROG_ATTACH with it",
    )
    script.refuses("BPF_F_PREORDER", attach_call(target, third, egress, _MULTI | NO_FLAG))
    asked: dict[int, Field] = {0: target, 4: number(attach_number(egress)), 24: number(0)}
    plain = script.add(bpf_call(Cmd.PROG_QUERY, asked))
    script.deed(
        "BPF_F_QUERY_EFFECTIVE",
        bpf_call(Cmd.PROG_QUERY, {**asked, 8: number(1)}),
        (plain,),
        what="BPF_PROG_QUERY with it",
    )
    for program in (one, other, third):
        script.add(detach_call(target, program, egress))
    linked = load_to_attach(script, "cgroup_skb", egress)
    script.deed(
        "bpf_link",
        link_call(target, linked, egress),
        (group, linked, multi),
        what="BPF_LINK_CREATE on a cgroup",
    )


def _sockets(script: Script) -> None:
    socket, other = (script.add(socket_call(_INET, _UDP)) for _ in range(2))
    filter_ = load_to_attach(script, "socket_filter")
    attached = script.deed(
        "attach_socket",
        option_call(socket, _ATTACH_BPF, Result(filter_)),
        (socket, filter_),
        no=("ENOPROTOOPT",),
        what="SO_ATTACH_BPF",
    )
    script.deed("ebpf_socket_filter_internal", attached, what="SO_ATTACH_BPF")
    reuse = script.add(option_call(other, _REUSE_PORT, 1))
    select = load_to_attach(script, "sk_reuseport")
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
        program = load_to_attach(script, type_, attach if type_ == "sk_msg" else "")
        call = attach_call(Result(sockets), program, attach)
        script.deed(name, call, (sockets, program), what=f"BPF_PROG_ATTACH, {attach}, to a sockmap")


def _network(script: Script) -> None:
    names = script.add(open_call("/proc/self/ns/net"))
    lookup = load_to_attach(script, "sk_lookup", "BPF_SK_LOOKUP")
    script.deed(
        "attach_sk_lookup",
        link_call(Result(names), lookup, "BPF_SK_LOOKUP"),
        (names, lookup),
        what="BPF_LINK_CREATE",
    )
    dissector = load_to_attach(script, "flow_dissector", "BPF_FLOW_DISSECTOR")
    call = attach_call(number(0), dissector, "BPF_FLOW_DISSECTOR")
    script.deed("attach_flow_dissector", call, (dissector,), what="BPF_PROG_ATTACH, BPF_FLOW_DISSECTOR")
    script.add(detach_call(number(0), dissector, "BPF_FLOW_DISSECTOR"))
    xdp = load_to_attach(script, "xdp", result=2)
    on_loopback = link_call(number(_LOOPBACK), xdp, "BPF_XDP", {12: number(_SKB_MODE)})
    linked = script.deed("xdp_generic", on_loopback, (xdp,), what="BPF_LINK_CREATE on lo, XDP_FLAGS_SKB_MODE")
    script.deed("xdp", linked, (xdp,), what="BPF_LINK_CREATE on lo")
    _tcx(script, linked)
    _netfilter(script)


def _tcx(script: Script, linked: int) -> None:
    ingress = "BPF_TCX_INGRESS"
    first, second, third = (load_to_attach(script, "sched_cls", result=0) for _ in range(3))
    lo = number(_LOOPBACK)
    script.deed(
        "tcx", link_call(lo, first, ingress), (first, linked), what="BPF_LINK_CREATE, BPF_TCX_INGRESS, on lo"
    )
    plain = script.add(attach_call(lo, second, ingress))
    for name, flag in (("BPF_F_BEFORE", _BEFORE), ("BPF_F_AFTER", _AFTER)):
        call = attach_call(lo, third, ingress, flag, relative=Result(second))
        script.deed(name, call, (plain, third), what="BPF_PROG_ATTACH with it to lo")
        script.add(detach_call(lo, third, ingress))
    call = attach_call(lo, third, ingress, _BEFORE | _ID, relative=number(_NOWHERE))
    script.deed(
        "BPF_F_ID",
        call,
        (plain, third),
        yes=("ENOENT",),
        what="BPF_PROG_ATTACH with it and the id of no program",
    )
    for program in (third, second):
        script.add(detach_call(lo, program, ingress))


def _netfilter(script: Script) -> None:
    """Packets to be defragmented first; the module that does that may be missing, which is ENOENT."""
    program = load_to_attach(script, "netfilter", "BPF_NETFILTER")
    hook: dict[int, Field] = {16: number(2), 20: number(0), 24: number(100)}
    control = script.add(link_call(number(0), program, "BPF_NETFILTER", hook))
    call = link_call(number(0), program, "BPF_NETFILTER", {**hook, 28: number(1)})
    for name in ("netfilter_ip_defrag", "BPF_F_NETFILTER_IP_DEFRAG"):
        script.deed(
            name,
            call,
            (control,),
            no=("ENOTSUP", "EINVAL"),
            yes=("ENOENT", "EAFNOSUPPORT"),
            what="BPF_LINK_CREATE with BPF_F_NETFILTER_IP_DEFRAG",
        )
