"""Names a set of variants by the values of their axes: `linkage=static,global depth=8` instead of a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Value = str | int | bool
Axes = Mapping[str, Value]
_Values = dict[str, list[Value]]

_MOST = 8  # conditions; who needs more is no shorter than a list


def phrases(chosen: Sequence[Axes], every: Sequence[Axes]) -> tuple[str, ...]:
    """Return conditions that together select exactly `chosen` among `every`; `("all",)` where that is all.

    Few and short, not the fewest possible. () where there are no axes to tell variants apart by, or it would
    take too many conditions.
    """
    names = list(every[0]) if every else []
    if not names or not chosen or any(set(axes) != set(names) for axes in every):
        return ()
    wanted = {_key(axes, names) for axes in chosen}
    if all(_key(axes, names) in wanted for axes in every):
        return ("all",)
    found: list[_Values] = []
    left = list(chosen)
    while left and len(found) < _MOST:
        found.append(_widest(left, wanted, every, names))
        left = [axes for axes in left if not _matches(axes, found[-1])]
    if left:
        return ()
    short = [_without_idle_axes(values, every) for values in found]
    return tuple(map(_written, _without_repeats(short, every)))


def _widest(
    left: Sequence[Axes], wanted: set[tuple[object, ...]], every: Sequence[Axes], names: Sequence[str]
) -> _Values:
    """A condition on the first variant left and on as many more as it can take in."""
    orders = [[*names[at:], *names[:at]] for at in range(len(names))]
    grown = [_grown(left[0], order, wanted, every) for order in orders]
    return max(grown, key=lambda values: sum(_matches(axes, values) for axes in left))


def _grown(
    start: Axes, order: Sequence[str], wanted: set[tuple[object, ...]], every: Sequence[Axes]
) -> _Values:
    """Widen the condition axis by axis, as long as it selects nothing that is not wanted.

    Combinations that do not exist are no hindrance.
    """
    values: _Values = {name: [start[name]] for name in start}
    unwanted = [axes for axes in every if _key(axes, list(every[0])) not in wanted]
    for name in order:
        for value in _values(every, name):
            wider = {**values, name: [value]}
            if not any(_same(value, kept) for kept in values[name]) and not any(
                _matches(axes, wider) for axes in unwanted
            ):
                values[name].append(value)
        values[name] = [value for value in _values(every, name) if any(_same(value, k) for k in values[name])]
    return values


def _without_idle_axes(values: _Values, every: Sequence[Axes]) -> _Values:
    """Leave out the axes that select nothing."""
    size = _count([values], every)
    for name in reversed(list(values)):
        fewer = {other: some for other, some in values.items() if other != name}
        if _count([fewer], every) == size:
            values = fewer
    return values


def _without_repeats(found: list[_Values], every: Sequence[Axes]) -> list[_Values]:
    """Leave out conditions, and values in them, that add nothing to what the others select."""
    size = _count(found, every)
    for at in reversed(range(len(found))):
        others = [*found[:at], *found[at + 1 :]]
        if _count(others, every) == size:
            found = others
            continue
        for name, some in found[at].items():
            for value in some:
                rest = [other for other in found[at][name] if not _same(value, other)]
                fewer = [*found[:at], {**found[at], name: rest}, *found[at + 1 :]]
                if _count(fewer, every) == size:
                    found = fewer
    return found


def _written(values: _Values) -> str:
    return " ".join(f"{name}={','.join(map(_word, some))}" for name, some in values.items())


def _count(found: Sequence[_Values], every: Sequence[Axes]) -> int:
    """How many variants any of the conditions selects."""
    return sum(any(_matches(axes, values) for values in found) for axes in every)


def _matches(axes: Axes, values: _Values) -> bool:
    return all(any(_same(axes[name], value) for value in some) for name, some in values.items())


def _same(one: Value, other: Value) -> bool:
    """Whether two values are one; unlike in Python, `1` and `true` are not."""
    return type(one) is type(other) and one == other


def _values(variants: Sequence[Axes], name: str) -> list[Value]:
    """The values of one axis, each once, in the order of the variants; numbers by size."""
    values = list({(type(axes[name]), axes[name]): axes[name] for axes in variants}.values())
    return sorted(values, key=int) if all(type(value) is int for value in values) else values


def _key(axes: Axes, names: Sequence[str]) -> tuple[object, ...]:
    return tuple((type(axes[name]), axes[name]) for name in names)


def _word(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
