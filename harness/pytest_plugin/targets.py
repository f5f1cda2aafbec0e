"""Which of pytest's arguments mean programs, and case ids given instead of paths."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.model import Case

_SUFFIXES = (".bpf.c.j2", ".bpf.c", ".o")
_ID = re.compile(r"(?P<program>[^\[\]]+?)(?:\[(?P<variant>[^\[\]]*)\])?(?:@(?P<kernel>[^@\[\]]+))?")


@dataclass(frozen=True, slots=True)
class Pick:
    """A case id of the command line; None = every variant, every kernel of the session."""

    file: Path
    variant: str | None = None
    kernel: str | None = None

    @property
    def variant_name(self) -> str:
        """The variant without the compiler that ids name in runs with several."""
        return (self.variant or "").partition("+")[0]

    @property
    def compiler(self) -> str:
        """The compiler the id names, or ""."""
        return (self.variant or "").partition("+")[2]

    def matches(self, case: Case) -> bool:
        """Whether `case` is one of those the id means."""
        compiler = case.compiler.name if case.compiler else ""
        return (
            case.program.path.resolve() == self.file
            and self.kernel in (None, case.kernel)
            and (self.variant is None or self.variant_name == case.variant.name)
            and self.compiler in ("", compiler)
        )


@dataclass(frozen=True, slots=True)
class Targets:
    """What the arguments mean: `arguments` is what pytest gets instead of them."""

    arguments: tuple[str, ...]
    paths: tuple[Path, ...] = ()  # files and folders with programs, given as such
    picks: tuple[Pick, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.paths or self.picks)

    @property
    def sources(self) -> tuple[Path, ...]:
        """Every file and folder programs are loaded from."""
        return (*self.paths, *dict.fromkeys(pick.file for pick in self.picks))

    def keeps(self, case: Case) -> bool:
        """Whether the arguments ask for `case`."""
        file = case.program.path.resolve()
        if any(file == path or file.is_relative_to(path) for path in self.paths):
            return True
        return any(pick.matches(case) for pick in self.picks)


def read_arguments(arguments: Iterable[str], here: Path, root: Path) -> Targets:
    """Sort out pytest's arguments, relative to `here`; the catalogue is `root`/programs."""
    kept: list[str] = []
    paths: list[Path] = []
    picks: list[Pick] = []
    for argument in arguments:
        path = (here / argument).resolve()
        if path.exists():
            kept.append(argument)
            paths += _programs_of(path, root / "programs")
            continue
        pick = _pick(argument, (here, root))
        if pick is not None:
            picks.append(pick)
        kept.append(argument if pick is None else str(pick.file))
    return Targets(tuple(dict.fromkeys(kept)), tuple(dict.fromkeys(paths)), tuple(picks))


def _programs_of(path: Path, catalogue: Path) -> list[Path]:
    """Return what of `path` holds programs: itself, or the catalogue in it; files elsewhere must be named."""
    if path.is_file():
        return [path] if path.name.endswith(_SUFFIXES) else []
    catalogue = catalogue.resolve()
    if path.is_relative_to(catalogue):
        return [path]
    return [catalogue] if catalogue.is_relative_to(path) and has_programs(catalogue) else []


def has_programs(folder: Path) -> bool:
    """Whether a program lies anywhere below `folder`."""
    return any(file.name.endswith(_SUFFIXES) for file in folder.rglob("*"))


def _pick(argument: str, folders: Sequence[Path]) -> Pick | None:
    match = _ID.fullmatch(argument)
    if match is None:
        return None
    for folder in folders:
        for suffix in (*_SUFFIXES, ""):
            file = (folder / (match["program"] + suffix)).resolve()
            if file.is_file() and file.name.endswith(_SUFFIXES):
                return Pick(file, match["variant"], match["kernel"])
    return None
