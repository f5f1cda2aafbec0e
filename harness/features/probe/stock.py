"""Maps and BTF that the programs of `programs.yaml` are loaded with: the calls before them in a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.build import btftypes as kinds
from harness.features.probe.btfblob import STATIC, Blob
from harness.features.probe.loads import Load, Map, btf_call, map_call
from harness.guest.calls import Call

HASH, ARRAY, PROG_ARRAY = 1, 2, 3
_DATA_BYTES = 16


@dataclass(frozen=True, slots=True)
class Functions:
    """A BTF of functions by name, and the call that loads it."""

    call: int
    numbers: dict[str, int]


class Stock:
    """The calls, to stand behind `first` others; where each map and function of them is."""

    def __init__(self, first: int) -> None:
        self.calls: list[Call] = []
        self.maps: dict[str, int] = {}
        self._first = first
        self._map("hash", Map(HASH, 4, 8, 1))
        self._map("programs", Map(PROG_ARRAY, 4, 4, 1))
        self._map("data", Map(ARRAY, 4, _DATA_BYTES, 1))
        self._map("locked", self._locked())
        self._map("timed", self._timed())
        plain, tagged = _functions(tagged=False), _functions(tagged=True)
        self._plain = Functions(self._add(btf_call(plain[0].blob())), plain[1])
        # Kernels before 5.16 refuse a BTF with tags, so these functions have one of their own.
        self._tagged = Functions(self._add(btf_call(tagged[0].blob())), tagged[1])

    def functions(self, names: Sequence[str]) -> Functions:
        """The BTF that has all these functions; KeyError for one nobody has."""
        for functions in (self._plain, self._tagged):
            if all(name in functions.numbers for name in names):
                return functions
        raise KeyError(f"no BTF with all of {', '.join(names)}")

    def _map(self, name: str, wanted: Map) -> None:
        self.maps[name] = self._add(map_call(wanted))

    def _add(self, call: Call) -> int:
        self.calls.append(call)
        return self._first + len(self.calls) - 1

    def _locked(self) -> Map:
        """A hash map of `struct { struct bpf_spin_lock lock; int value; }`."""
        blob = Blob()
        number = blob.integer("int", 4, signed=True)
        key = blob.integer("unsigned int", 4)
        lock = blob.structure("bpf_spin_lock", 4, [("val", key, 0)])
        value = blob.structure("locked", 8, [("lock", lock, 0), ("value", number, 4)])
        return Map(HASH, 4, 8, 1, btf=self._add(btf_call(blob.blob())), key_type=number, value_type=value)

    def _timed(self) -> Map:
        """An array of one `struct { struct bpf_timer timer; }`."""
        blob = Blob()
        number = blob.integer("int", 4, signed=True)
        word = blob.integer("unsigned long long", 8)
        timer = blob.structure("bpf_timer", 16, [("first", word, 0), ("second", word, 8)])
        value = blob.structure("timed", 16, [("timer", timer, 0)])
        return Map(ARRAY, 4, 16, 1, btf=self._add(btf_call(blob.blob())), key_type=number, value_type=value)


def _functions(*, tagged: bool) -> tuple[Blob, dict[str, int]]:
    """Functions called `probe`, `twice` and `fires` of the kinds that programs.yaml names."""
    blob = Blob()
    number = blob.integer("int", 4, signed=True)
    context = blob.pointer(blob.structure("__sk_buff", 0))
    takes_context = blob.prototype(number, [("ctx", context)])
    found = {"probe": blob.function("probe", takes_context)}
    pointer = blob.prototype(number, [("number", blob.pointer(number))])
    if tagged:
        found["global_nonnull"] = blob.function("twice", pointer)
        blob.tag(kinds.DECL_TAG, "arg:nonnull", found["global_nonnull"], 0)
        return blob, found
    nothing = blob.pointer(0)
    three = blob.prototype(number, [("map", nothing), ("key", nothing), ("value", nothing)])
    found["callback"] = blob.function("fires", three, STATIC)
    found["inner_context"] = blob.function("twice", takes_context, STATIC)
    found["global_number"] = blob.function("twice", blob.prototype(number, [("number", number)]))
    found["global_pointer"] = blob.function("twice", pointer)
    return blob, found


def with_functions(load: Load, at: dict[str, int], wanted: dict[str, str], stock: Stock) -> Load:
    """The load with BTF for its functions: label -> name in the stock; `at` are the labels' instructions."""
    found = stock.functions(list(wanted.values()))
    places = sorted((at.get(label, 0), found.numbers[name]) for label, name in wanted.items())
    return replace(load, btf=found.call, functions=tuple(places))
