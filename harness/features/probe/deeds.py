"""Features that making something shows: maps, BTF, what is asked of programs, test runs."""

from __future__ import annotations

import struct
from dataclasses import replace

from harness.build import btftypes as kinds
from harness.features.probe.attachments import attach_all
from harness.features.probe.attempts import program_types
from harness.features.probe.batch import Script
from harness.features.probe.btfblob import Blob
from harness.features.probe.commands import (
    Cmd,
    Field,
    Memory,
    Result,
    bpf_call,
    number,
    path_call,
    text,
    wide,
)
from harness.features.probe.files import read_files
from harness.features.probe.instructions import assemble
from harness.features.probe.loads import Load, Map, btf_call, info_call, load_call, map_call
from harness.features.probe.subject import Subject
from harness.features.types import Finding
from harness.guest.calls import Call, Called, Patch, PatchKind

_LIMIT_S = 60.0
_HASH, _PERCPU_ARRAY, _LRU_HASH, _HASH_OF_MAPS, _DEVMAP, _SOCKMAP, _CPUMAP = 1, 6, 9, 13, 14, 15, 16
_CGROUP_STORAGE, _RINGBUF, _TASK_STORAGE, _USER_RINGBUF, _ARENA = 19, 27, 29, 31, 33
_NO_PREALLOC, _MMAPABLE = 1, 1 << 10
_LOCKED, _NOEXIST = 4, 1  # BPF_F_LOCK, BPF_NOEXIST
_UNLINK = 87  # of x86_64's system calls
_RETURN_0 = assemble("r0 = 0\nexit").code
# What kernels say of a kind they do not know, by its bits or number, and of the linkage of a function.
_NO_KIND = r"^\[\d+\] .*(Invalid btf_info:|Invalid kind:|Invalid func linkage|vlen != 0)"
_NO_FLAG = 1 << 30
_PIN = "/sys/fs/bpf/probe"


def deed_findings(subject: Subject) -> dict[str, Finding]:
    """What all deeds together say: one batch, and one more for what is attached."""
    found: dict[str, Finding] = {}
    own = Script()
    for part in (_maps, _elements, _blobs, _programs, _test_runs):
        part(own)
    attaching = Script()
    attach_all(attaching, subject, read_files)
    for script in (own, attaching):
        found |= script.findings(subject.guest.calls(script.calls, _LIMIT_S).called)
    return found


def _maps(script: Script) -> None:
    plain = script.deed("maps", map_call(Map(_HASH, 4, 4, 1)), what="BPF_MAP_CREATE, hash")
    for name, wanted in {
        "lru_maps": Map(_LRU_HASH, 4, 4, 1),
        "ring_buffer": Map(_RINGBUF, 0, 0, 4096),
        "user_ring_buffer": Map(_USER_RINGBUF, 0, 0, 4096),
        "arena": Map(_ARENA, 0, 0, 1, _MMAPABLE, extra=1 << 44),
        "map_prealloc_default": Map(_HASH, 4, 4, 1, _NO_PREALLOC),
    }.items():
        script.deed(name, map_call(wanted), (plain,), what="BPF_MAP_CREATE")
    for name, kind, small, size in (
        ("cgroup_storage_shared_key", _CGROUP_STORAGE, (16, 4, 0), (8, 4, 0)),
        ("sockmap_value_size_8", _SOCKMAP, (4, 4, 1), (4, 8, 1)),
        ("devmap_xdp_program", _DEVMAP, (4, 4, 1), (4, 8, 1)),
        ("cpumap_xdp_program", _CPUMAP, (4, 4, 1), (4, 8, 1)),
    ):
        control = script.add(map_call(Map(kind, *small)))
        what = f"BPF_MAP_CREATE, keys of {size[0]} and values of {size[1]} bytes"
        script.deed(name, map_call(Map(kind, *size)), (control,), no=("EINVAL", "E2BIG"), what=what)
    blob = Blob()
    word = blob.integer("int", 4, signed=True)
    btf = script.add(btf_call(blob.blob()))
    storage = Map(_TASK_STORAGE, 4, 4, 0, _NO_PREALLOC, btf=btf, key_type=word, value_type=word)
    script.deed("local_task_storage", map_call(storage), (plain, btf), what="BPF_MAP_CREATE, task_storage")
    named = script.deed(
        "map_name", _named_map("probe"), (plain,), no=("EINVAL", "E2BIG"), what="a map with a name"
    )
    script.deed("object_names", named, (plain,), no=("EINVAL", "E2BIG"), what="a map with a name")
    script.deed("object_names_allow_dot", _named_map("pro.be"), (named,), what="a map named pro.be")


def _named_map(name: str) -> Call:
    """A hash map with a name, which is 28 bytes into the attributes."""
    call = map_call(Map(_HASH, 4, 4, 1))
    attr = bytearray(call.data[0])
    struct.pack_into("<16s", attr, 28, name.encode())
    return replace(call, data=(bytes(attr), *call.data[1:]))


def _inner_map(kind: int, inner: int) -> Call:
    """A map of maps like the one that call `inner` made."""
    call = map_call(Map(kind, 4, 4, 1))
    return replace(call, patches=(*call.patches, Patch(0, 20, PatchKind.RESULT, inner)))


def _update(of: int, value: bytes, flags: int = 0) -> Call:
    return bpf_call(
        Cmd.MAP_UPDATE_ELEM, {0: Result(of), 8: Memory(bytes(4)), 16: Memory(value), 24: wide(flags)}
    )


def _elements(script: Script) -> None:
    made = script.add(map_call(Map(_HASH, 4, 4, 2)))
    put = script.deed(
        "map_update_elem_flags",
        _update(made, bytes(4), _NOEXIST),
        (made,),
        what="BPF_MAP_UPDATE_ELEM, BPF_NOEXIST",
    )
    key = bpf_call(Cmd.MAP_GET_NEXT_KEY, {0: Result(made), 16: Memory(bytes(4))})
    script.deed(
        "map_get_next_key_null", key, (put,), no=("EFAULT",), what="the first key, asked for without one"
    )
    script.deed(
        "map_lookup_and_delete_elem_hash",
        _take(made, 0),
        (put,),
        no=("ENOTSUPP", "EINVAL", "ENOTSUP"),
        what="BPF_MAP_LOOKUP_AND_DELETE_ELEM of a hash",
    )
    locked = _locked_map(script)
    filled = script.add(_update(locked, bytes(8)))
    plain = script.add(_take(locked, 0))
    again = script.add(_update(locked, bytes(8)))
    script.deed(
        "map_lookup_and_delete_flags",
        _take(locked, _LOCKED),
        (filled, plain, again),
        what="BPF_MAP_LOOKUP_AND_DELETE_ELEM with BPF_F_LOCK",
    )
    inner, other = script.add(map_call(Map(_HASH, 4, 4, 1))), script.add(map_call(Map(_HASH, 4, 4, 2)))
    outer = script.deed("map_in_map", _inner_map(_HASH_OF_MAPS, inner), (inner,), what="a hash of maps")
    same = script.add(_put_map(outer, inner))
    script.deed(
        "map_in_map_varying_max_entries",
        _put_map(outer, other),
        (same,),
        what="an inner map with other max_entries",
    )
    percpu = script.add(map_call(Map(_PERCPU_ARRAY, 4, 8, 1)))
    memory: dict[int, Field] = {
        8: Memory(bytes(4)),
        16: Memory(bytes(64)),
        24: Memory(bytes(4096)),
        32: number(1),
    }
    batch = bpf_call(Cmd.MAP_LOOKUP_BATCH, {**memory, 36: Result(percpu)})
    array = script.add(map_call(Map(2, 4, 8, 1)))
    control = script.add(bpf_call(Cmd.MAP_LOOKUP_BATCH, {**memory, 36: Result(array)}))
    script.deed(
        "map_batch_percpu_array",
        batch,
        (percpu, control),
        no=("ENOTSUPP", "ENOTSUP"),
        what="BPF_MAP_LOOKUP_BATCH of a percpu_array",
    )


def _take(of: int, flags: int) -> Call:
    fields: dict[int, Field] = {0: Result(of), 8: Memory(bytes(4)), 16: Memory(bytes(64)), 24: wide(flags)}
    return bpf_call(Cmd.MAP_LOOKUP_AND_DELETE_ELEM, fields)


def _put_map(outer: int, inner: int) -> Call:
    """Put a map into a map of maps; the value is its descriptor."""
    call = _update(outer, bytes(4))
    return replace(call, patches=(*call.patches, Patch(2, 0, PatchKind.RESULT, inner)))


def _locked_map(script: Script) -> int:
    """A hash of values with a spin lock."""
    blob = Blob()
    word = blob.integer("int", 4, signed=True)
    lock = blob.structure("bpf_spin_lock", 4, [("val", blob.integer("unsigned int", 4), 0)])
    value = blob.structure("locked", 8, [("lock", lock, 0), ("value", word, 4)])
    btf = script.add(btf_call(blob.blob()))
    return script.add(map_call(Map(_HASH, 4, 8, 1, btf=btf, key_type=word, value_type=value)))


def _blobs(script: Script) -> None:
    blob = Blob()
    blob.integer("int", 4, signed=True)
    plain = script.deed("btf", btf_call(blob.blob()), no=("EINVAL",), what="BPF_BTF_LOAD")
    blobs = {
        "btf_var_datasec": _data_section(),
        "btf_func_linkage": _linkage(),
        "btf_decl_tags": _tags(kinds.DECL_TAG),
        "btf_type_tags": _tags(kinds.TYPE_TAG),
        "btf_enum64": _enum64(),
    }
    for name, one in blobs.items():
        script.deed(name, btf_call(one.blob()), (plain,), what="BPF_BTF_LOAD")
        script.says(name, _NO_KIND)


def _data_section() -> Blob:
    blob = Blob()
    variable = blob.variable("counter", blob.integer("int", 4, signed=True))
    blob.section(".data", 4, [(variable, 0, 4)])
    return blob


def _linkage() -> Blob:
    """A global function; a static one has been there all along."""
    blob = Blob()
    blob.function("twice", blob.prototype(blob.integer("int", 4, signed=True)))
    return blob


def _tags(kind: int) -> Blob:
    blob = Blob()
    word = blob.integer("int", 4, signed=True)
    if kind == kinds.DECL_TAG:
        blob.tag(kind, "tag", blob.structure("tagged", 4, [("value", word, 0)]))
    else:
        blob.pointer(blob.tag(kind, "tag", word))
    return blob


def _enum64() -> Blob:
    blob = Blob()
    value = struct.pack("<III", blob.string("LARGE"), 0, 1)
    blob.add(kinds.ENUM64, "wide", 8, value, 1)
    return blob


def _load(script: Script, code: bytes = _RETURN_0, type_: str = "socket_filter") -> int:
    return script.add(load_call(Load(program_types()[type_], code, keep=True)))


def _named_load(name: str) -> Call:
    """A program with a name, which is 48 bytes into the attributes."""
    call = load_call(Load(program_types()["socket_filter"], _RETURN_0, keep=True))
    attr = bytearray(call.data[0])
    struct.pack_into("<16s", attr, 48, name.encode())
    return replace(call, data=(bytes(attr), *call.data[1:]))


def _programs(script: Script) -> None:
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
        shows=lambda one: any(one.out[8:16]),
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
        shows=lambda one: _word(one, 52) == 1,
        what="nr_map_ids is 1",
    )
    dead = _load(script, assemble("r0 = 0\nif r0 == 0 goto +1\nr0 = 1\nexit").code)
    script.deed(
        "dead_code_nop",
        info_call(dead),
        (dead,),
        shows=lambda one: 0 < _word(one, 20) < 32,
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
        # line_info_rec_size, line_info, line_info_cnt are at 92, 96 and 104.
        attr = bytearray(call.data[0])
        struct.pack_into("<IQI", attr, 92, 16, 0, 1)
        data = (bytes(attr), *call.data[1:], struct.pack("<4I", 0, file, line, 1 << 10 | 1))
        call = replace(
            call, data=data, patches=(*call.patches, Patch(0, 96, PatchKind.ADDRESS, len(call.data)))
        )
    script.deed(name, call, (plain, btf), no=("EINVAL", "E2BIG"), what="a program with BTF information")


def _test_runs(script: Script) -> None:
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
        bpf_call(Cmd.PROG_TEST_RUN, {0: Result(filter_), **packet, 64: number(_NO_FLAG)}),
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
        bpf_call(Cmd.PROG_TEST_RUN, {0: Result(xdp), **packet, 64: number(_NO_FLAG)}),
    )
    # struct xdp_md of 24 bytes: data 0, data_end as long as the packet.
    described: dict[int, Field] = {40: number(24), 48: Memory(struct.pack("<6I", 0, 64, 0, 0, 0, 0))}
    script.deed(
        "test_run_xdp_ctx",
        bpf_call(Cmd.PROG_TEST_RUN, {0: Result(xdp), **packet, **described}),
        (bare,),
        what="BPF_PROG_TEST_RUN of xdp with a context",
    )
