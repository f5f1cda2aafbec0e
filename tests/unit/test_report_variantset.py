"""Sets of variants named by their axes: what is written selects exactly what was meant."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from harness.report.variantset import phrases

FORMS, SIZES, FLAGS = ("static", "global", "inline"), (8, 16, 1024), (True, False)
EVERY = [{"form": form, "size": size, "flag": flag} for form, size, flag in product(FORMS, SIZES, FLAGS)]


def selected(phrase: str, every: list[dict[str, object]]) -> list[dict[str, object]]:
    """The variants a written condition selects."""
    wanted = {name: values.split(",") for name, values in (part.split("=") for part in phrase.split())}
    return [
        axes
        for axes in every
        if all(str(axes[name]).lower() in [value.lower() for value in wanted[name]] for name in wanted)
    ]


def test_one_condition_where_one_is_enough() -> None:
    chosen = [axes for axes in EVERY if axes["form"] == "static" and axes["size"] in (8, 1024)]
    assert phrases(chosen, EVERY) == ("form=static size=8,1024",)
    assert phrases([axes for axes in EVERY if axes["flag"]], EVERY) == ("flag=true",)
    assert phrases(EVERY, EVERY) == ("all",)


def test_what_a_condition_has_the_next_does_not_repeat() -> None:
    chosen = [axes for axes in EVERY if axes["form"] == "inline" or axes["size"] == 8]
    assert phrases(chosen, EVERY) == ("size=8", "form=inline")
    chosen += [axes for axes in EVERY if axes["form"] == "global" and axes["size"] == 16]
    assert phrases(chosen, EVERY) == ("size=8", "form=global size=16", "form=inline")


def test_what_does_not_exist_is_no_hindrance() -> None:
    every = [axes for axes in EVERY if axes["form"] != "inline" or axes["size"] == 8]
    chosen = [axes for axes in every if axes["form"] == "inline" or axes["size"] != 16]
    assert phrases(chosen, every) == ("size=8,1024",)


def test_numbers_and_truth_are_not_one() -> None:
    every: list[dict[str, str | int | bool]] = [{"a": 1}, {"a": True}, {"a": 0}]
    assert phrases(every[:1], every) == ("a=1",)
    assert phrases(every[1:2], every) == ("a=true",)


def test_nothing_to_tell_variants_apart_by() -> None:
    assert phrases([{}], [{}]) == ()
    assert phrases([], EVERY) == ()
    assert phrases([{"other": 1}], [{"other": 1}, {"form": "static"}]) == ()


@given(st.sets(st.integers(0, len(EVERY) - 1), min_size=1))
def test_what_is_written_selects_what_was_meant(numbers: set[int]) -> None:
    chosen = [EVERY[at] for at in sorted(numbers)]
    found = phrases(chosen, EVERY)
    if found and found != ("all",):
        union = [axes for axes in EVERY if any(axes in selected(phrase, EVERY) for phrase in found)]
        assert union == chosen
