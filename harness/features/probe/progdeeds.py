"""Features that programs show: by their attributes, by what is known of them, by running them."""

from __future__ import annotations

import struct
from dataclasses import replace

from harness.features.probe.attempts import program_types
from harness.features.probe.batch import NO_FLAG, Script
from harness.features.probe.btfblob import Blob
from harness.features.probe.commands import (
    Cmd,
    Field,
    Memory,
    Result,
    bpf_call,
    named,
    number,
    path_call,
    text,
)
from harness.features.probe.instructions import assemble
from harness.features.probe.loads import Load, Map, btf_call, info_call, load_call, map_call
from harness.guest.calls import Call, Called, Patch, PatchKind

_HASH = 1
_UNLINK = 87  # of x86_64's system calls
_RETURN_0 = assemble("r0 = 0\nexit").code
_PIN = "/sys/fs/bpf/probe"
_NAME_AT, _LINES_AT = 48, 92  # prog_name and line_info_rec_size in union bpf_attr
_TAG_AT, _XLATED_AT, _MAPS_AT = 8, 20, 52  # tag, xlated_prog_len and nr_map_ids in struct bpf_prog_info


def _load(script: Script, code: bytes = _RETURN_0, type_: str = "socket_filter") -> int:
    return script.add(load_call(Load(program_types()[type_], code, keep=True)))


def _named_load(name: str) -> Call:
    """A program with a name."""
    load = Load(program_types()["socket_filter"], _RETURN_0, keep=True)
    return named(load_call(load), name, _NAME_AT)


def load_programs(script: Script) -> None:
    """Append programs whose attributes, or what the kernel says of them, show a feature."""
    plain = _load(script)
    wrong = ("EINVAL", "E2BIG")
    script.deed("program_name", _named_load("probe"), (plain,), no=wrong, what="a program with a name")
    script.deed(
        "verifier_log_level_stats",
        load_call(Load(program_types()["socket_filter"], _RETURN_0, log_level=4)),
        (plain,),
        what="BPF_PROG_LOAD with log_level 4",
    )
    script.deed(
        "program_tag",
        info_call(plain),
        (plain,),
        shows=lambda one: any(one.out[_TAG_AT : _TAG_AT + 8]),
        what="the tag in its information",
    )
    hashed = script.add(map_call(Map(_HASH, 4, 4, 1)))
    uses = assemble("r1 = map hash\nr0 = 0\nexit")
    using = script.add(
        load_call(
            Load(
                program_types()["socket_filter"],
                uses.code,
                maps=tuple((at, hashed) for at in uses.maps),
                keep=True,
            )
        )
    )
    script.deed(
        "prog_info_map_ids",
        info_call(using),
        (using,),
        shows=lambda one: _word(one, _MAPS_AT) == 1,
        what="nr_map_ids is 1",
    )
    dead = _load(script, assemble("r0 = 0\nif r0 == 0 goto +1\nr0 = 1\nexit").code)
    script.deed(
        "dead_code_nop",
        info_call(dead),
        (dead,),
        shows=lambda one: 0 < _word(one, _XLATED_AT) < 32,
        what="what is never reached is gone from the program",
    )
    script.deed("object_ids", bpf_call(Cmd.PROG_GET_NEXT_ID, {}), (plain,), what="BPF_PROG_GET_NEXT_ID")
    pin = bpf_call(Cmd.OBJ_PIN, {0: text(_PIN), 8: Result(plain)})
    script.deed("object_pinning_bpffs", pin, (plain,), what=f"BPF_OBJ_PIN below {_PIN.rpartition('/')[0]}")
    script.add(path_call(_UNLINK, _PIN))
    for name in ("program_btf_func_info", "program_ext_infos", "program_btf_line_info"):
        _with_infos(script, name, plain)


def _word(called: Called, at: int) -> int:
    """A number of 32 bits of what came back."""
    found: int = struct.unpack_from("<I", called.out, at)[0]
    return found


def _with_infos(script: Script, name: str, plain: int) -> None:
    """A program with BTF's information about its function, or its lines too."""
    blob = Blob()
    function = blob.program("__sk_buff")
    file, line = blob.string("probe.c"), blob.string("return 0;")
    btf = script.add(btf_call(blob.blob()))
    load = Load(program_types()["socket_filter"], _RETURN_0, btf=btf, functions=((0, function),), keep=True)
    call = load_call(load)
    if name == "program_btf_line_info":
        # line_info_rec_size, line_info, line_info_cnt.
        attr = bytearray(call.data[0])
        struct.pack_into("<IQI", attr, _LINES_AT, 16, 0, 1)
        data = (bytes(attr), *call.data[1:], struct.pack("<4I", 0, file, line, 1 << 10 | 1))
        call = replace(
            call,
            data=data,
            patches=(*call.patches, Patch(0, _LINES_AT + 4, PatchKind.ADDRESS, len(call.data))),
        )
    script.deed(name, call, (plain, btf), no=("EINVAL", "E2BIG"), what="a program with BTF information")


def run_programs(script: Script) -> None:
    """Append test runs of programs."""
    packet: dict[int, Field] = {8: number(64), 16: Memory(bytes(64)), 32: number(1)}
    filter_, xdp = _load(script), _load(script, assemble("r0 = 1\nexit").code, "xdp")
    raw = _load(script, type_="raw_tracepoint")
    ran = script.deed(
        "prog_test_run",
        bpf_call(Cmd.PROG_TEST_RUN, {0: Result(filter_), **packet}),
        (filter_,),
        what="BPF_PROG_TEST_RUN of a socket_filter",
    )
    context: dict[int, Field] = {40: number(64), 48: Memory(bytes(64))}
    traced = script.deed(
        "test_run_raw_tracepoint",
        bpf_call(Cmd.PROG_TEST_RUN, {0: Result(raw), **context}),
        (raw,),
        no=("ENOTSUPP", "ENOTSUP"),
        what="BPF_PROG_TEST_RUN of a raw_tracepoint",
    )
    script.deed(
        "BPF_F_TEST_RUN_ON_CPU",
        bpf_call(Cmd.PROG_TEST_RUN, {0: Result(raw), **context, 64: number(1)}),
        (traced,),
        what="BPF_PROG_TEST_RUN with BPF_F_TEST_RUN_ON_CPU",
    )
    # The processor without the flag is refused by those who know both.
    script.refuses(
        "BPF_F_TEST_RUN_ON_CPU",
        bpf_call(Cmd.PROG_TEST_RUN, {0: Result(raw), **context, 68: number(1)}),
    )
    script.deed(
        "BPF_F_TEST_SKB_CHECKSUM_COMPLETE",
        bpf_call(Cmd.PROG_TEST_RUN, {0: Result(filter_), **packet, 64: number(4)}),
        (ran,),
        what="BPF_PROG_TEST_RUN with BPF_F_TEST_SKB_CHECKSUM_COMPLETE",
    )
    script.refuses(
        "BPF_F_TEST_SKB_CHECKSUM_COMPLETE",
        bpf_call(Cmd.PROG_TEST_RUN, {0: Result(filter_), **packet, 64: number(NO_FLAG)}),
    )
    bare = script.add(bpf_call(Cmd.PROG_TEST_RUN, {0: Result(xdp), **packet}))
    live = {0: Result(xdp), **packet, 64: number(2), 72: number(1)}
    script.deed(
        "BPF_F_TEST_XDP_LIVE_FRAMES",
        bpf_call(Cmd.PROG_TEST_RUN, live),
        (bare,),
        what="BPF_PROG_TEST_RUN with BPF_F_TEST_XDP_LIVE_FRAMES",
    )
    script.refuses(
        "BPF_F_TEST_XDP_LIVE_FRAMES",
        bpf_call(Cmd.PROG_TEST_RUN, {0: Result(xdp), **packet, 64: number(NO_FLAG)}),
    )
    # struct xdp_md of 24 bytes: data 0, data_end as long as the packet.
    described: dict[int, Field] = {40: number(24), 48: Memory(struct.pack("<6I", 0, 64, 0, 0, 0, 0))}
    script.deed(
        "test_run_xdp_ctx",
        bpf_call(Cmd.PROG_TEST_RUN, {0: Result(xdp), **packet, **described}),
        (bare,),
        what="BPF_PROG_TEST_RUN of xdp with a context",
    )
