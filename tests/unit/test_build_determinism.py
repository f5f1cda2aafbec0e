from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.build.builder import Builder, BuildRequest, Result
from harness.build.toolchain import find_compilers
from harness.catalog.programs import load_programs
from harness.model import BuiltObject, Program
from harness.paths import project_root

CATALOGUE = project_root(Path(__file__).parent) / "programs"


# Prints a hash over every rendered text; run with another seed, since a set's order would show in it.
RENDER_ALL = """
import hashlib, sys
from pathlib import Path
from harness.build.render import Renderer
from harness.catalog.programs import load_programs
folder = Path(sys.argv[1])
renderer = Renderer(folder / "include")
digest = hashlib.sha256()
for program in load_programs([folder]):
    for variant in program.variants:
        digest.update(renderer.render(program.path, variant.values).encode())
print(digest.hexdigest())
"""


def build_all(programs: tuple[Program, ...], builder: Builder) -> dict[str, Result]:
    """Every variant's result, by the names of its template and itself; nothing is compiled for the host."""
    compiler = find_compilers([])[0]
    programs = tuple(replace(program, host=None) for program in programs)
    requests = [
        BuildRequest(program, variant, compiler) for program in programs for variant in program.variants
    ]
    names = [f"{r.program.path.name}[{r.variant.name if r.variant else ''}]" for r in requests]
    return dict(zip(names, builder.build_all(requests, workers=os.cpu_count() or 2), strict=True))


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Result], dict[str, Result]]:
    """The whole catalogue twice: as this user's cache has or gets it, and from a copy elsewhere, anew."""
    here = build_all(load_programs([CATALOGUE]), Builder(shared=CATALOGUE / "include"))
    root = tmp_path_factory.mktemp("checkout") / "quite another place"
    shutil.copytree(CATALOGUE, root / "programs")
    elsewhere = Builder(root / "cache", shared=root / "programs" / "include")
    return here, build_all(load_programs([root / "programs"]), elsewhere)


def test_the_catalogue_compiles_to_the_same_bytes_wherever_it_lies(
    twice: tuple[dict[str, Result], dict[str, Result]],
) -> None:
    first, second = twice
    assert first.keys() == second.keys()
    assert [name for name in first if fingerprint(first[name]) != fingerprint(second[name])] == []


def test_the_sources_and_messages_are_the_same_too(
    twice: tuple[dict[str, Result], dict[str, Result]],
) -> None:
    first, second = twice
    assert [name for name in first if words(first[name]) != words(second[name])] == []


def test_rendering_does_not_depend_on_the_order_of_hashes() -> None:
    seen = {
        subprocess.run(
            [sys.executable, "-c", RENDER_ALL, str(CATALOGUE)],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1


def fingerprint(result: Result) -> str:
    return result.sha256 if isinstance(result, BuiltObject) else f"{result.stage}: {result.message}"


def words(result: Result) -> tuple[str, str]:
    return result.source, result.warnings if isinstance(result, BuiltObject) else result.message
