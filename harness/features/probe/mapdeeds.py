"""Features that maps and their elements show: each is made or used."""

from __future__ import annotations

from dataclasses import replace

from harness.features.probe.batch import Script
from harness.features.probe.btfblob import Blob
from harness.features.probe.commands import Cmd, Field, Memory, Result, bpf_call, named, number, wide
from harness.features.probe.loads import Map, btf_call, map_call
from harness.guest.calls import Call, Patch, PatchKind

_HASH, _ARRAY, _PERCPU_ARRAY, _LRU_HASH, _HASH_OF_MAPS = 1, 2, 6, 9, 13
_DEVMAP, _SOCKMAP, _CPUMAP = 14, 15, 16
_CGROUP_STORAGE, _RINGBUF, _TASK_STORAGE, _USER_RINGBUF, _ARENA = 19, 27, 29, 31, 33
_NO_PREALLOC, _MMAPABLE = 1, 1 << 10
_LOCKED, _NOEXIST = 4, 1  # BPF_F_LOCK, BPF_NOEXIST
_NAME_AT, _INNER_AT = 28, 20  # map_name and inner_map_fd in union bpf_attr


def make_maps(script: Script) -> None:
    """Append the maps that show a feature by being made."""
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
    """A hash map with a name."""
    return named(map_call(Map(_HASH, 4, 4, 1)), name, _NAME_AT)


def _inner_map(kind: int, inner: int) -> Call:
    """A map of maps like the one that call `inner` made."""
    call = map_call(Map(kind, 4, 4, 1))
    return replace(call, patches=(*call.patches, Patch(0, _INNER_AT, PatchKind.RESULT, inner)))


def _update(of: int, value: bytes, flags: int = 0) -> Call:
    return bpf_call(
        Cmd.MAP_UPDATE_ELEM, {0: Result(of), 8: Memory(bytes(4)), 16: Memory(value), 24: wide(flags)}
    )


def use_elements(script: Script) -> None:
    """Append what is done with elements of maps."""
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
    array = script.add(map_call(Map(_ARRAY, 4, 8, 1)))
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
