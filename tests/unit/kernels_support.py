"""Small true-to-life inputs for the tests of `harness.kernels`: ELF files, bzImages, packages, a server."""

from __future__ import annotations

import gzip
import hashlib
import re
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BTF = b"\x9f\xeb\x01\x00" + bytes(range(60))


def elf(sections: dict[str, bytes]) -> bytes:
    """A 64-bit ELF file with these sections and nothing else."""
    names = ["", *sections, ".shstrtab"]
    strings = b"\0".join(name.encode() for name in names) + b"\0"
    bodies = [b"", *sections.values(), strings]
    offset, headers, data = 64, b"", b""
    for name, body in zip(names, bodies, strict=True):
        kind = 0 if not name else 3 if name == ".shstrtab" else 1
        start = strings.find(name.encode() + b"\0") if name else 0
        headers += struct.pack("<IIQQQQIIQQ", start, kind, 0, 0, offset, len(body), 0, 0, 1, 0)
        data += body
        offset += len(body)
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, offset, 0, 64, 0, 0, 64, len(names), len(names) - 1)
    return head + data + headers


def bzimage(banner: str, payload: bytes) -> bytes:
    """A file with the header of a bzImage (boot protocol 2.15) and `payload` where it says so."""
    setup_sectors = 4
    head = bytearray((setup_sectors + 1) * 512)
    head[0x1F1] = setup_sectors
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x206, 0x20F)
    struct.pack_into("<H", head, 0x20E, 0x400 - 0x200)
    head[0x400 : 0x400 + len(banner) + 1] = banner.encode() + b"\0"
    struct.pack_into("<II", head, 0x248, 16, len(payload))
    return bytes(head) + bytes(16) + payload + bytes(32)


def image(release: str = "5.4.290-0504290-generic", *, config: str = "", btf: bool = True) -> bytes:
    """A whole kernel image: gzip payload with a vmlinux that has BTF and, if given, its configuration."""
    sections = {".text": b"\x90" * 4000} | ({".BTF": BTF} if btf else {})
    if config:
        sections[".rodata"] = b"IKCFG_ST" + gzip.compress(config.encode()) + b"IKCFG_ED"
    return bzimage(f"{release} (someone@example.org) #1 SMP", gzip.compress(elf(sections)) + bytes(4))


def module(depends: str = "", release: str = "5.4.290-0504290-generic") -> bytes:
    """A kernel module as far as its .modinfo section goes."""
    info = f"license=GPL\0depends={depends}\0vermagic={release} SMP mod_unload \0"
    return elf({".modinfo": info.encode()})


def deb(folder: Path, file_name: str, files: dict[str, bytes]) -> Path:
    """A real package made by dpkg-deb; `file_name` is name_version_amd64.deb."""
    name, version, _ = file_name.removesuffix(".deb").split("_")
    tree = folder / f"{file_name}.tree"
    for path, data in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(data)
    (tree / "DEBIAN").mkdir(parents=True)
    control = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\n"
    control += "Maintainer: n <n@example.org>\nDescription: x\n"
    (tree / "DEBIAN/control").write_text(control)
    target = folder / file_name
    subprocess.run(["dpkg-deb", "-Zgzip", "--build", str(tree), str(target)], check=True, capture_output=True)
    return target


class Server(ThreadingHTTPServer):
    """Serves a folder with ranges. `requests` are (path, range); `cut[name]` breaks one off after n bytes."""

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        self.root = root
        self.requests: list[tuple[str, str | None]] = []
        self.cut: dict[str, int] = {}
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(SimpleHTTPRequestHandler):
    server: Server

    def translate_path(self, path: str) -> str:
        return str(self.server.root / path.partition("?")[0].strip("/"))

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get("Range")))
        file = Path(self.translate_path(self.path))
        if not file.is_file():
            super().do_GET()
            return
        data = file.read_bytes()
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(match[1]) if match else 0
        if match and start >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if match else 200)
        if match:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        cut = self.server.cut.pop(file.name, None)
        self.wfile.write(data[start:] if cut is None else data[start : start + cut])


@contextmanager
def serving(root: Path) -> Iterator[Server]:
    """A server for `root` on a free port of the loopback."""
    with Server(root) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


RELEASE = "5.4.290-0504290-generic"
_VERSION = "5.4.290-0504290.202502011234"


def mainline_archive(root: Path, *, subfolder: str = "amd64") -> Path:
    """The part of a mainline archive that holds v5.4.290: generic and lowlatency, CHECKSUMS."""
    folder = root / "v5.4.290" / subfolder
    folder.mkdir(parents=True)
    modules = f"lib/modules/{RELEASE}"
    padding = hashlib.shake_256(b"padding").digest(400_000)  # does not compress
    debs = [
        deb(
            folder,
            f"linux-image-unsigned-{RELEASE}_{_VERSION}_amd64.deb",
            {f"boot/vmlinuz-{RELEASE}": image()},
        ),
        deb(
            folder,
            f"linux-modules-{RELEASE}_{_VERSION}_amd64.deb",
            {
                f"boot/config-{RELEASE}": b"CONFIG_VIRTIO_PCI=m\nCONFIG_VIRTIO_CONSOLE=m\n",
                f"{modules}/modules.builtin": b"kernel/drivers/virtio/virtio.ko\n",
                f"{modules}/kernel/drivers/virtio/virtio_pci.ko": module("virtio_ring,virtio"),
                f"{modules}/kernel/drivers/virtio/virtio_ring.ko": module(),
                f"{modules}/kernel/drivers/char/virtio_console.ko": module("virtio_ring"),
                f"{modules}/kernel/fs/other.ko": padding,
            },
        ),
        deb(
            folder, f"linux-image-unsigned-5.4.290-0504290-lowlatency_{_VERSION}_amd64.deb", {"boot/no": b"x"}
        ),
        deb(folder, f"linux-headers-{RELEASE}_{_VERSION}_amd64.deb", {"usr/src/no": b"x"}),
    ]
    lines = ["# Checksums-Sha1:", *(f"{'0' * 40}  {d.name}" for d in debs), "# Checksums-Sha256:"]
    lines += [f"{hashlib.sha256(d.read_bytes()).hexdigest()}  {d.name}" for d in debs]
    (folder / "CHECKSUMS").write_text("\n".join(lines) + "\n")
    return folder
