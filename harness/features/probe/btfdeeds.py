"""Features of BTF itself: a kernel is given types it may not know."""

from __future__ import annotations

import struct

from harness.build import btftypes as kinds
from harness.features.probe.batch import Script
from harness.features.probe.btfblob import Blob
from harness.features.probe.loads import btf_call

# What kernels say of a kind they do not know, by its bits or number, and of the linkage of a function.
_NO_KIND = r"^\[\d+\] .*(Invalid btf_info:|Invalid kind:|Invalid func linkage|vlen != 0)"


def load_blobs(script: Script) -> None:
    """Append a BTF by hand for each kind of type."""
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
