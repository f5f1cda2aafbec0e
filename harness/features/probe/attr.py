"""`union bpf_attr` by the names of its fields, for every command of bpf() that is asked about.

Source: include/uapi/linux/bpf.h. A field is four bytes wide unless `:8`, `:16` (bytes) or `*` (a pointer,
eight bytes) says otherwise, and stands at a multiple of its width as the C compiler puts it. All that is
behind a command's fields is zero, which kernels that know less or more of them accept
(bpf_check_uarg_tail_zero).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

SIZE = 144  # of the attribute as it is handed in; what a command does not use is zero
# struct bpf_common_attr, behind the flag BPF_COMMON_ATTRS of the command.
COMMON_SIZE = 24
COMMON_ATTRS = 1 << 16

_ELEMENT = "map_fd key* value* flags:8"
_BATCH = "in_batch* out_batch* keys* values* count map_fd elem_flags:8 flags:8"
_OBJECT = "pathname* bpf_fd file_flags path_fd"
_ATTACH = "target_fd attach_bpf_fd attach_type attach_flags replace_bpf_fd"
_ID = "id next_id open_flags"
_LINK = "prog_fd target_fd attach_type flags"

# Command -> (number, fields). What BPF_LINK_CREATE takes besides depends on what is attached to: `/` and its
# name.
_LAYOUTS = {
    "BPF_MAP_CREATE": (
        0,
        "map_type key_size value_size max_entries map_flags inner_map_fd numa_node map_name:16@ map_ifindex "
        "btf_fd btf_key_type_id btf_value_type_id btf_vmlinux_value_type_id map_extra:8 "
        "value_type_btf_obj_fd map_token_fd",
    ),
    "BPF_MAP_LOOKUP_ELEM": (1, _ELEMENT),
    "BPF_MAP_UPDATE_ELEM": (2, _ELEMENT),
    "BPF_MAP_DELETE_ELEM": (3, _ELEMENT),
    "BPF_MAP_GET_NEXT_KEY": (4, _ELEMENT),
    "BPF_OBJ_PIN": (6, _OBJECT),
    "BPF_OBJ_GET": (7, _OBJECT),
    "BPF_PROG_ATTACH": (8, _ATTACH),
    "BPF_PROG_DETACH": (9, _ATTACH),
    "BPF_PROG_TEST_RUN": (10, "prog_fd retval data_size_in data_size_out data_in* data_out* repeat duration"),
    "BPF_PROG_GET_NEXT_ID": (11, _ID),
    "BPF_MAP_GET_NEXT_ID": (12, _ID),
    "BPF_PROG_GET_FD_BY_ID": (13, _ID),
    "BPF_MAP_GET_FD_BY_ID": (14, _ID),
    "BPF_OBJ_GET_INFO_BY_FD": (15, "bpf_fd info_len info*"),
    "BPF_PROG_QUERY": (16, "target_fd attach_type query_flags attach_flags prog_ids* prog_cnt"),
    "BPF_RAW_TRACEPOINT_OPEN": (17, "name* prog_fd cookie:8"),
    "BPF_BTF_GET_FD_BY_ID": (19, _ID),
    "BPF_TASK_FD_QUERY": (20, "pid fd flags buf_len buf* prog_id fd_type probe_offset:8 probe_addr:8"),
    "BPF_MAP_LOOKUP_AND_DELETE_ELEM": (21, _ELEMENT),
    "BPF_MAP_FREEZE": (22, "map_fd"),
    "BPF_BTF_GET_NEXT_ID": (23, _ID),
    "BPF_MAP_LOOKUP_BATCH": (24, _BATCH),
    "BPF_MAP_LOOKUP_AND_DELETE_BATCH": (25, _BATCH),
    "BPF_MAP_UPDATE_BATCH": (26, _BATCH),
    "BPF_MAP_DELETE_BATCH": (27, _BATCH),
    "BPF_LINK_CREATE": (28, _LINK),
    "BPF_LINK_CREATE/kprobe_multi": (28, f"{_LINK} multi_flags cnt syms* addrs* cookies*"),
    "BPF_LINK_CREATE/uprobe_multi": (
        28,
        f"{_LINK} path* offsets* ref_ctr_offsets* cookies* cnt multi_flags pid",
    ),
    "BPF_LINK_CREATE/netfilter": (28, f"{_LINK} pf hooknum priority netfilter_flags"),
    "BPF_LINK_CREATE/tracing_multi": (28, f"{_LINK} ids* cookies* cnt"),
    "BPF_LINK_UPDATE": (29, "link_fd new_prog_fd flags old_prog_fd"),
    "BPF_LINK_GET_FD_BY_ID": (30, _ID),
    "BPF_LINK_GET_NEXT_ID": (31, _ID),
    "BPF_ENABLE_STATS": (32, "type"),
    "BPF_ITER_CREATE": (33, "link_fd flags"),
    "BPF_LINK_DETACH": (34, "link_fd"),
    "BPF_PROG_BIND_MAP": (35, "prog_fd map_fd flags"),
    "BPF_TOKEN_CREATE": (36, "flags bpffs_fd"),
    "BPF_PROG_STREAM_READ_BY_FD": (37, "stream_buf* stream_buf_len stream_id prog_fd"),
    "BPF_PROG_ASSOC_STRUCT_OPS": (38, "map_fd prog_fd flags"),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field: where it stands, its width in bytes, and whether it holds an address."""

    at: int
    width: int
    pointer: bool = False


def command_number(command: str) -> int:
    """The number of a command in enum bpf_cmd."""
    return _LAYOUTS[command][0]


def commands() -> tuple[str, ...]:
    """All layouts there are, by name."""
    return tuple(_LAYOUTS)


@cache
def layout(command: str) -> dict[str, Field]:
    """The fields of a command by name."""
    found: dict[str, Field] = {}
    at = 0
    for word in _LAYOUTS[command][1].split():
        name, _, width = word.rstrip("*@").partition(":")
        size = 8 if word.endswith("*") else int(width or 4)
        at = at if word.endswith("@") else -(-at // size) * size  # `@`: an array of characters
        found[name] = Field(at, size, word.endswith("*"))
        at += size
    if command.startswith("BPF_LINK_CREATE/"):
        _insist_on_union(found)
    return found


def _insist_on_union(found: dict[str, Field]) -> None:
    """What depends on the target begins behind the four common fields, at a multiple of eight."""
    first = list(found)[4]
    if found[first].at != 16:
        raise ValueError(f"{first} is not where the union of link_create begins")
