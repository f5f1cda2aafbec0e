"""The options of a run: declared once, offered by `bpfmatrix run` and by pytest, and carried out here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.catalog.kernels import KernelSpec, image_spec, load_kernels, select
from harness.errors import UserError
from harness.guest.options import AccelChoice, GuestOptions
from harness.kernels.errors import KernelUnavailable
from harness.kernels.progress import Progress as FetchProgress
from harness.kernels.store import KernelStore
from harness.model import Kernel, KernelVersion
from harness.paths import project_root


@dataclass(frozen=True, slots=True)
class Option:
    """One option as a person sees it; `choices` empty = free text, no metavar = a switch."""

    flag: str
    help: str
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    default: str | None = None
    multiple: bool = False

    @property
    def key(self) -> str:
        """The name of its value in Python: `--kernel-image` → `kernel_image`."""
        return self.flag.lstrip("-").replace("-", "_")


OPTIONS = (
    Option(
        "--kernel",
        "Run on this kernel of kernels.yaml; repeatable; 'all' for every one. Default: those marked default.",
        metavar="NAME",
        multiple=True,
    ),
    Option(
        "--kernel-image",
        "Use this bzImage as kernel NAME for this run; repeatable. Without --kernel, only such kernels run.",
        metavar="NAME=PATH",
        multiple=True,
    ),
    Option(
        "--missing-kernel",
        "What to do about a kernel that cannot be had: stop (error), or show its column as not run (skip).",
        metavar="ACTION",
        choices=("error", "skip"),
        default="error",
    ),
    Option(
        "--clang",
        "Compile with this clang (a name or a path); repeatable. Default: the newest found.",
        metavar="NAME",
        multiple=True,
    ),
    Option(
        "--accel",
        "How guests run: KVM, emulation (tcg), or whatever works here (auto, found out by trying).",
        metavar="HOW",
        choices=tuple(choice.value for choice in AccelChoice),
        default=AccelChoice.AUTO.value,
    ),
    Option("--fresh-guest", "Restore the guest before every case."),
    Option("--out", "Folder the reports are written to.", metavar="FOLDER", default="reports"),
)


@dataclass(frozen=True, slots=True)
class Choice:
    """The values a person gave to `OPTIONS`; fields are their keys."""

    kernel: tuple[str, ...] = ()
    kernel_image: tuple[str, ...] = ()
    missing_kernel: str = "error"
    clang: tuple[str, ...] = ()
    accel: str = "auto"
    fresh_guest: bool = False
    out: Path = Path("reports")

    @property
    def guest(self) -> GuestOptions:
        """The part that concerns guests."""
        return GuestOptions(accel=AccelChoice(self.accel), fresh_guest=self.fresh_guest)


@dataclass(frozen=True, slots=True)
class Obtained:
    """The kernels of a run, oldest first; `missing` are (name, reason) of those that cannot be had."""

    kernels: tuple[Kernel, ...]
    missing: tuple[tuple[str, str], ...] = ()


def wanted_kernels(choice: Choice, root: Path | None = None) -> tuple[KernelSpec, ...]:
    """Return the entries a person asked for, images registered in the cache among them; no network.

    Raises UserError for a kernels.yaml that cannot be read, an unknown name, a --kernel-image that is
    not NAME=PATH or whose file does not exist.
    """
    specs = KernelStore().with_registered(load_kernels((root or project_root()) / "kernels.yaml"))
    images = _images(choice.kernel_image, specs)
    named = [name for name in choice.kernel if name not in images]
    picked = {spec.name: spec for spec in select(specs, named)} if named or not images else {}
    return tuple((picked | images).values())


def obtain(
    specs: Sequence[KernelSpec],
    missing: str = "error",
    report: Callable[[FetchProgress], None] | None = None,
    store: KernelStore | None = None,
) -> Obtained:
    """Get every kernel of `specs`, downloading what is not cached.

    With `missing="skip"` a kernel that cannot be had is named with the reason; else KernelUnavailable.
    """
    store = store or KernelStore()
    kernels: list[Kernel] = []
    lacking: list[tuple[str, str]] = []
    for spec in specs:
        try:
            kernels.append(store.ensure(spec, report=report))
        except KernelUnavailable as problem:
            if missing != "skip":
                raise
            lacking.append((spec.name, f"cannot be had: {problem.tried}: {problem.reason}"))
    return Obtained(tuple(sorted(kernels, key=lambda kernel: kernel.version)), tuple(lacking))


def by_age(specs: Iterable[KernelSpec]) -> tuple[KernelSpec, ...]:
    """Sort entries by the version in their names, oldest first; names without one come last."""

    def age(spec: KernelSpec) -> tuple[bool, KernelVersion]:
        try:
            return False, KernelVersion.parse(spec.name)
        except ValueError:
            return True, KernelVersion(0, 0)

    return tuple(sorted(specs, key=age))


def usable_folder(folder: Path) -> Path:
    """Create `folder` before a run, which must not end with nowhere to write. UserError when impossible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"reports cannot be written here: {error.strerror}",
            where=str(folder),
            hint="--out ANOTHER_FOLDER",
        ) from error
    return folder


def _images(pairs: Iterable[str], specs: Sequence[KernelSpec]) -> dict[str, KernelSpec]:
    known = {spec.name: spec for spec in specs}
    images: dict[str, KernelSpec] = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not (name and equals and path):
            raise UserError(
                f"--kernel-image {pair!r} is not NAME=PATH", hint="--kernel-image 5.4=/path/to/bzImage"
            )
        image = Path(path).expanduser()
        if not image.is_file():
            raise UserError(
                f"--kernel-image {name}: there is no file {image}", hint="give the path of a bzImage"
            )
        images[name] = image_spec(name, image.resolve(), like=known.get(name))
    return images
