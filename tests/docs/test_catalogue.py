"""The catalogue's table names every pitfall and every entry, and nothing else."""

from __future__ import annotations

import re

import pytest

from harness.catalog.programs import load_programs
from harness.paths import project_root

# Every item of the two notes (N has no item 7), and what was added to them.
PITFALLS = (
    *(f"N{number:02}" for number in range(1, 21) if number not in (3, 7)),
    *("N03a", "N03b"),
    *(f"S{number:02}" for number in range(10)),
    *(f"A{number:02}" for number in range(1, 12)),
)
WITHOUT_ENTRIES = ("N04", "S00")  # the table says why
_ROW = re.compile(r"^\| ([NSA]\d\d[a-z]?) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def rows() -> dict[str, str]:
    """The last column of the table by pitfall."""
    found = _ROW.findall((project_root() / "docs" / "catalogue.md").read_text(encoding="utf-8"))
    assert len({name for name, _, _ in found}) == len(found), "a pitfall has two rows"
    return {name: entries for name, _, entries in found}


@pytest.fixture(scope="module")
def entries() -> dict[str, set[str]]:
    """The catalogue's entries by pitfall, named as in the table."""
    by_pitfall: dict[str, set[str]] = {}
    for program in load_programs([project_root() / "programs"]):
        by_pitfall.setdefault(program.pitfall or "", set()).add(program.name.removeprefix("programs/"))
    return by_pitfall


def test_the_table_has_every_pitfall() -> None:
    assert sorted(rows()) == sorted(PITFALLS)


def test_the_table_has_every_entry_under_its_pitfall(entries: dict[str, set[str]]) -> None:
    named = {name: set(re.findall(r"`([\w/]+)`", cell)) for name, cell in rows().items()}
    assert {name: found for name, found in named.items() if found} == entries


def test_a_pitfall_without_entries_says_why() -> None:
    assert [name for name, cell in rows().items() if "`" not in cell] == list(WITHOUT_ENTRIES)
    assert all(rows()[name].startswith("none: ") for name in WITHOUT_ENTRIES)
