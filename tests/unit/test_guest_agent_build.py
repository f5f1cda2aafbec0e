"""The agent's build: static, reproducible, cached by content, and honest about what is missing."""

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from harness.errors import InfrastructureError, UserError
from harness.guest import agent_build
from harness.guest.agent_build import agent_digest, build_agent

# What the linker puts in the place of the C library's own, which the agent's sources define.
NOTHING = """
#include <stdio.h>
void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size) { return __real_realloc(memory, size); }
int main(void) { return 0; }
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def agent(cache):
    return build_agent(cache)


@pytest.fixture
def sources(monkeypatch):
    """Replace the agent's sources."""

    def replace(**texts):
        listing = tuple((f"{name}.c", text.encode()) for name, text in texts.items())
        monkeypatch.setattr(agent_build, "_sources", lambda: listing)

    return replace


def test_the_agent_needs_nothing_of_the_host_it_runs_on(agent):
    with agent.path.open("rb") as file:
        elf = ELFFile(file)
        assert elf.header.e_type == "ET_EXEC"  # no relocation at start
        assert not any(
            segment.header.p_type in {"PT_INTERP", "PT_DYNAMIC"} for segment in elf.iter_segments()
        )
    assert agent.path.stat().st_mode & 0o111


def test_the_agent_reports_its_digest(agent):
    assert len(agent.digest) == 64
    assert agent.digest.encode() in agent.path.read_bytes()
    assert agent.path.parent.name == agent.digest


def test_every_bpf_call_of_libbpf_can_be_seen(agent, tmp_path):
    """bpfcalls.c relies on libbpf reaching the kernel through the `syscall` symbol and no other way."""
    library = subprocess.run(
        ["gcc", "-print-file-name=libbpf.a"], capture_output=True, text=True, check=True
    ).stdout.strip()
    symbols = subprocess.run(["nm", "-u", library], capture_output=True, text=True, check=True).stdout.split()
    assert "syscall" in symbols
    assert not {"bpf", "__bpf", "io_uring_enter"} & set(symbols)


def test_a_second_build_comes_from_the_cache(agent, cache, monkeypatch):
    monkeypatch.setattr(agent_build, "_compile", lambda *_: pytest.fail("compiled again"))
    assert build_agent(cache) == agent


def test_the_same_sources_make_the_same_bytes(agent, tmp_path):
    assert build_agent(tmp_path).path.read_bytes() == agent.path.read_bytes()


def test_a_changed_source_makes_another_agent(agent, sources):
    before = agent.digest
    sources(main="int main(void) { return 0; }\n")
    assert agent_digest() != before


def test_a_changed_compiler_makes_another_agent(agent, monkeypatch):
    monkeypatch.setattr(agent_build, "_version", lambda _: "gcc (Other) 99.1")
    assert agent_digest() != agent.digest


def test_builders_at_once_agree(tmp_path, sources):
    sources(main=NOTHING)
    with ThreadPoolExecutor(4) as pool:
        built = list(pool.map(lambda _: build_agent(tmp_path), range(4)))
    assert len(set(built)) == 1
    assert sorted(path.name for path in built[0].path.parent.iterdir()) == ["init", "lock"]


def test_a_missing_compiler_names_the_command_that_installs_it(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(UserError, match="gcc is missing") as raised:
        build_agent(tmp_path)
    assert "doctor --install" in str(raised.value)


def test_a_missing_library_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(agent_build, "_LIBRARIES", ("bpf", "nosuchlibrary"))
    with pytest.raises(UserError, match=r"libnosuchlibrary\.a is missing") as raised:
        build_agent(tmp_path)
    assert "apt-get install" in str(raised.value)


def test_missing_headers_are_told_from_broken_sources(monkeypatch, sources, tmp_path):
    sources(main="#include <nosuch/header.h>\nint main(void) { return 0; }\n")
    monkeypatch.setattr(agent_build, "_PROBE", "#include <nosuch/header.h>\n")
    with pytest.raises(UserError, match="nosuch/header"):
        build_agent(tmp_path)


def test_a_compile_error_is_passed_on_in_the_compilers_words(sources, tmp_path):
    sources(main="int main(void) { return undeclared; }\n")
    with pytest.raises(InfrastructureError, match="undeclared"):
        build_agent(tmp_path)
    assert not list(tmp_path.rglob("init"))


def test_warnings_are_errors(sources, tmp_path):
    sources(main="int main(void) { int unused; return 0; }\n")
    with pytest.raises(InfrastructureError, match="unused"):
        build_agent(tmp_path)


def test_a_cache_that_cannot_be_written_is_the_users_to_mend(sources, tmp_path):
    sources(main="int main(void) { return 0; }\n")
    blocked = tmp_path / "file"
    blocked.write_text("no directory")
    with pytest.raises(UserError, match="cannot be stored") as raised:
        build_agent(blocked)
    assert "BPFMATRIX_CACHE" in str(raised.value)


def test_the_sources_are_part_of_the_package():
    names = [name for name, _ in agent_build._sources()]
    assert {"main.c", "wire.c", "bpfcalls.c", "load_libbpf.c", "load_raw.c"} <= set(names)
    folder = Path(agent_build.__file__).parent / "agent"
    assert names == sorted(path.name for path in folder.iterdir())
