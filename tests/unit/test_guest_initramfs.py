"""The initramfs: what the kernel finds before the agent mounted anything."""

import shutil

import pytest

from harness.errors import UserError
from harness.guest.initramfs import build_initramfs


def entries(archive):
    """Map name to (mode, rdev, bytes) for a newc archive, read by hand from its documented layout."""
    found, at = {}, 0
    while True:
        assert archive[at : at + 6] == b"070701"
        header = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        mode, size, name_size = header[1], header[6], header[11]
        name = archive[at + 110 : at + 110 + name_size - 1].decode()
        data = at + (110 + name_size + 3) // 4 * 4
        if name == "TRAILER!!!":
            return found
        assert name not in found
        found[name] = (mode, (header[9], header[10]), archive[data : data + size])
        assert header[2:4] == [0, 0], "owned by root"
        assert header[5] == 0, "no time"
        at = data + (size + 3) // 4 * 4


@pytest.fixture
def files(tmp_path):
    """Make files with known bytes."""

    def make(*names):
        for name in names:
            (tmp_path / name).write_bytes(f"bytes of {name}".encode())
        return [tmp_path / name for name in names]

    return make


def test_agent_nodes_and_modules_in_load_order(files):
    agent, ring, virtio = files("agent", "virtio_ring.ko", "virtio.ko")
    found = entries(build_initramfs(agent, [virtio, ring]))
    assert found["init"] == (0o100755, (0, 0), b"bytes of agent")
    assert found["dev/console"][:2] == (0o020600, (5, 1))
    assert found["dev/null"][:2] == (0o020600, (1, 3))
    modules = [name for name in found if name.startswith("modules/")]
    assert modules == ["modules/00-virtio.ko", "modules/01-virtio_ring.ko"]  # load order, and it sorts
    assert modules == sorted(modules)
    assert found["modules/01-virtio_ring.ko"][2] == b"bytes of virtio_ring.ko"


def test_a_folder_stands_before_what_is_in_it(files):
    agent, busybox = files("agent", "busybox")
    names = list(entries(build_initramfs(agent, [], {"/usr/bin/deep/busybox": busybox})))
    for name in names:
        parent = name.rpartition("/")[0]
        assert not parent or names.index(parent) < names.index(name)
    assert {"dev", "proc", "sys", "run", "usr", "usr/bin", "usr/bin/deep"} <= set(names)


def test_extra_files_are_executable(files):
    agent, busybox = files("agent", "busybox")
    assert entries(build_initramfs(agent, [], {"/bin/busybox": busybox}))["bin/busybox"] == (
        0o100755,
        (0, 0),
        b"bytes of busybox",
    )


def test_the_same_content_makes_the_same_bytes(files, tmp_path):
    agent, module, one, two = files("agent", "a.ko", "one", "two")
    first = build_initramfs(agent, [module], {"/b": two, "/a": one})
    other = tmp_path / "elsewhere"
    other.mkdir()
    copies = [shutil.copy(path, other) for path in (agent, module)]
    assert build_initramfs(other / "agent", [other / "a.ko"], {"/a": one, "/b": two}) == first
    assert len(copies) == 2


def test_a_compressed_module_is_refused_with_the_way_out(files):
    agent, module = files("agent", "virtio.ko.xz")
    with pytest.raises(UserError, match=r"virtio\.ko\.xz is not an uncompressed") as raised:
        build_initramfs(agent, [module])
    assert "xz -d" in str(raised.value)


@pytest.mark.parametrize("target", ["bin/busybox", "/bin/../init", "/", ""])
def test_an_extra_path_must_be_absolute_and_plain(files, target):
    agent, busybox = files("agent", "busybox")
    with pytest.raises(UserError, match="no absolute path"):
        build_initramfs(agent, [], {target: busybox})


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot be read") as raised:
        build_initramfs(tmp_path / "nothing")
    assert str(tmp_path / "nothing") in str(raised.value)
