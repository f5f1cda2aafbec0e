"""Keeps of a kernel's packages only what a guest needs: image, configuration, BTF, a few modules."""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Protocol

from harness.errors import UserError
from harness.kernels.bzimage import BzImage, read_bzimage
from harness.kernels.modules import (
    NEEDED,
    MissingModule,
    ModuleInfo,
    built_in,
    built_in_by_config,
    load_order,
    module_name,
    read_modinfo,
)
from harness.kernels.payload import decompress_module, extract_btf, extract_config, extract_vmlinux

_IMAGE = re.compile(r"(boot/vmlinuz-[^/]+|(usr/)?lib/modules/[^/]+/vmlinuz)")
_CONFIG = re.compile(r"(boot/config-[^/]+|(usr/)?lib/modules/[^/]+/config)")
_BUILT_IN = re.compile(r"((usr/)?lib/modules/[^/]+/)?modules\.builtin")

Wanted = Callable[[str], bool]


class Files(Protocol):
    """A package or a folder: a stream of (path inside, open file) for the paths that are wanted."""

    def read(self, wanted: Wanted) -> Iterator[tuple[str, IO[bytes]]]:
        """Yield regular files only; each is valid until the next is asked for."""


@dataclass(frozen=True, slots=True)
class DebFiles:
    """A Debian package, streamed through `dpkg-deb --fsys-tarfile`; nothing else is unpacked."""

    deb: Path

    def read(self, wanted: Wanted) -> Iterator[tuple[str, IO[bytes]]]:
        """Raises UserError when dpkg-deb is missing or cannot read the package."""
        try:
            process = subprocess.Popen(
                ["dpkg-deb", "--fsys-tarfile", str(self.deb)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except FileNotFoundError as error:
            raise UserError("dpkg-deb is missing", hint="apt-get install dpkg") from error
        with process:
            try:
                yield from _tar_members(process.stdout, wanted)
            except tarfile.TarError as error:
                process.kill()
                raise UserError(f"the package cannot be unpacked: {error}", where=str(self.deb)) from error
            except BaseException:
                process.kill()
                raise
            message = process.stderr.read().decode("utf-8", "replace") if process.stderr else ""
        if process.returncode:
            raise UserError(f"the package cannot be unpacked: {message.strip()}", where=str(self.deb))


@dataclass(frozen=True, slots=True)
class TreeFiles:
    """A folder laid out like `/` or like `lib/modules/RELEASE`."""

    root: Path

    def read(self, wanted: Wanted) -> Iterator[tuple[str, IO[bytes]]]:
        """Walk the folder; symbolic links are not followed."""
        for path in sorted(self.root.rglob("*")):
            name = path.relative_to(self.root).as_posix()
            if wanted(name) and path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    yield name, file


@dataclass(slots=True)
class Stage:
    """A folder being filled with one kernel. `absorb` packages until `complete`, then `finish`."""

    folder: Path
    image: Path | None = None
    config: Path | None = None
    builtin: frozenset[str] = frozenset()
    modules: dict[str, ModuleInfo] = field(default_factory=dict)

    def absorb(self, files: Files) -> None:
        """Take what is needed out of `files`; a second pass only for dependencies of odd names."""
        for name, file in files.read(_interesting):
            self._take(name, file)
        while missing := self._missing():
            before = len(self.modules)
            for name, file in files.read(partial(_is_one_of, missing)):
                self._take_module(name, file)
            if len(self.modules) == before:
                return  # another package has them, or `finish` complains

    def take_image(self, path: Path) -> None:
        """Copy a local image in."""
        self.image = self.folder / "vmlinuz"
        shutil.copyfile(path, self.image)

    def take_config(self, path: Path) -> None:
        """Copy a local image's configuration in."""
        self.config = self.folder / "config"
        shutil.copyfile(path, self.config)

    @property
    def complete(self) -> bool:
        """Whether nothing more is needed: image, configuration, and every module or none at all."""
        return self.image is not None and self.config is not None and not self._missing()

    def finish(self) -> Contents:
        """Check the image, take out BTF and configuration, put the modules in load order.

        Raises UserError for a damaged image, modules of another kernel, or modules that are missing.
        """
        if self.image is None:
            raise UserError("the packages hold no kernel image", where=str(self.folder))
        header = read_bzimage(self.image)
        btf = self._inspect(header)
        return Contents(header, self.image, self.config, btf, self._place_modules(header.release))

    def _inspect(self, header: BzImage) -> Path | None:
        vmlinux, btf = self.folder / "vmlinux.tmp", self.folder / "btf"
        try:
            if not extract_vmlinux(header, vmlinux):
                return None
            if self.config is None and (text := extract_config(vmlinux)) is not None:
                self.config = self.folder / "config"
                self.config.write_text(text, encoding="utf-8")
            return btf if extract_btf(vmlinux, btf) else None
        finally:
            vmlinux.unlink(missing_ok=True)

    def _place_modules(self, release: str) -> tuple[Path, ...]:
        scratch = self.folder / "modules.tmp"
        if self.config is None and not self.builtin and not self.modules:
            return ()  # nothing is known about this image; the guest's boot will tell
        try:
            order = load_order(self._depends(), self._known_builtin())
        except MissingModule as error:
            raise UserError(
                f"module {error.name} is neither built into kernel {release} nor among its modules",
                hint="give the modules of exactly this build: --modules /lib/modules/" + release,
            ) from error
        placed = []
        for number, name in enumerate(order):
            self._check_release(name, release)
            target = self.folder / "modules" / f"{number:02}-{name}.ko"
            target.parent.mkdir(exist_ok=True)
            placed.append((scratch / f"{name}.ko").rename(target))
        shutil.rmtree(scratch, ignore_errors=True)
        return tuple(placed)

    def _check_release(self, name: str, release: str) -> None:
        found = self.modules[name].release
        if found and found != release:
            raise UserError(
                f"the modules are for kernel {found}, the image is {release}",
                hint="give the modules of exactly this build: --modules /lib/modules/" + release,
            )

    def _missing(self) -> frozenset[str]:
        """Needed modules that are neither built in nor here, as far as dependencies are known."""
        known, missing = self._known_builtin(), set()
        depends = self._depends()
        todo = list(NEEDED)
        while todo:
            name = todo.pop()
            if name in known:
                continue
            if name in depends:
                todo.extend(depends[name])
            else:
                missing.add(name)
        return frozenset(missing)

    def _depends(self) -> dict[str, tuple[str, ...]]:
        return {name: info.depends for name, info in self.modules.items()}

    def _known_builtin(self) -> frozenset[str]:
        if self.builtin or self.config is None:
            return self.builtin
        return built_in_by_config(self.config.read_text(encoding="utf-8", errors="replace"))

    def _take(self, name: str, file: IO[bytes]) -> None:
        if _IMAGE.fullmatch(name):
            self.image = self._copy(file, "vmlinuz")
        elif _CONFIG.fullmatch(name):
            self.config = self._copy(file, "config")
        elif _BUILT_IN.fullmatch(name):
            self.builtin |= built_in(file.read().decode("utf-8", "replace"))
        else:
            self._take_module(name, file)

    def _take_module(self, path: str, file: IO[bytes]) -> None:
        name = module_name(path)
        if name is None:
            return
        data = decompress_module(Path(path).name, file.read())
        self.modules[name] = read_modinfo(data, name)
        target = self.folder / "modules.tmp" / f"{name}.ko"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(data)

    def _copy(self, file: IO[bytes], name: str) -> Path:
        target = self.folder / name
        with target.open("wb") as out:
            shutil.copyfileobj(file, out, 1 << 20)
        return target


@dataclass(frozen=True, slots=True)
class Contents:
    """What a finished stage holds; the paths are inside its folder."""

    header: BzImage
    image: Path
    config: Path | None
    btf: Path | None
    modules: tuple[Path, ...]  # in load order

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file kept."""
        return tuple(path for path in (self.image, self.config, self.btf, *self.modules) if path)


def modules_folder(given: Path, release: str) -> Path:
    """Find `lib/modules/RELEASE` in or at `given`; raises UserError that says where it looked."""
    tried = [
        given / "lib/modules" / release,
        given / "usr/lib/modules" / release,
        given / release,
        given,
    ]
    for folder in tried:
        if (folder / "kernel").is_dir() or (folder / "modules.builtin").is_file():
            return folder
    raise UserError(
        f"no modules of kernel {release} here",
        where=str(given),
        hint="give the folder lib/modules/" + release + " of the build, or the tree that holds it",
    )


def _is_one_of(names: frozenset[str], path: str) -> bool:
    return module_name(path) in names


def _interesting(path: str) -> bool:
    name = module_name(path)
    if name is not None:
        return name.startswith("virtio")
    return any(pattern.fullmatch(path) for pattern in (_IMAGE, _CONFIG, _BUILT_IN))


def _tar_members(stream: IO[bytes] | None, wanted: Wanted) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if member.isreg() and wanted(name):
                file = archive.extractfile(member)
                if file is not None:
                    yield name, file
