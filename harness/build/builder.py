"""Programs and variants to objects: the build room's entrance.

A text that does not render or compile is a `BuildFailure`, an answer like any other. Only what the
person must put right (a foreign object nobody can load, a missing tool, a cache without permission)
is an error.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from harness.build.claims import lacking
from harness.build.clang import Includes, compile_source, flags
from harness.build.host import HostCompiler, HostJob, answer_of, find_host_compiler, install_hint
from harness.build.hostcache import keep, key_of, recall
from harness.build.objectcache import Entry, ObjectCache
from harness.build.objects import inspect, read_object
from harness.build.render import Renderer, RenderError
from harness.build.stepnames import check_steps
from harness.build.vmlinux import header_folder, needs_vmlinux
from harness.catalog.hostpart import COMPILER_AXIS
from harness.catalog.schemacheck import suggest
from harness.catalog.templates import shared_includes
from harness.errors import UserError
from harness.model import BuildFailure, BuiltObject, Compiler, HostPart, Program, ProgramKind, Stage, Variant
from harness.paths import cache_dir

# What clang up to 19 compiles for when nobody says (`generic`), so what the notes' authors compiled.
# From clang 20 the default is v3, whose atomic add is an instruction that kernels before 5.12 refuse.
DEFAULT_MCPU = "v1"
_MAX_SOURCE = 4 << 20

Result = BuiltObject | BuildFailure


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """One thing to build; `variant` is None for a program without manifest."""

    program: Program
    variant: Variant | None
    compiler: Compiler | None


@dataclass(frozen=True, slots=True)
class _Text:
    """A C text on its way to clang; `raw` is what is compiled, `text` what is shown."""

    name: str
    raw: bytes
    text: str
    own: Path | None


class Builder:
    """Builds objects into the cache. One instance serves many threads and the whole of a run."""

    def __init__(
        self,
        cache: Path | None = None,
        *,
        shared: Path | None = None,
        vmlinux_btf: Path | None = None,
        mcpu: str = DEFAULT_MCPU,
    ) -> None:
        """`cache` and `shared` default to this user's cache and the project's programs/include.

        `vmlinux_btf`: a raw BTF blob; sources that include vmlinux.h get the one made from it.
        """
        self._root = cache or cache_dir()
        self._shared = (shared or shared_includes()).resolve()
        self._vmlinux_btf = vmlinux_btf
        self._vmlinux: Path | None = None
        self._mcpu = mcpu
        self._renderer = Renderer(self._shared)
        self._objects = ObjectCache(self._root)
        self._host_compilers: dict[str, HostCompiler | None] = {}

    def build(self, program: Program, variant: Variant | None, compiler: Compiler | None) -> Result:
        """Render, compile and read one variant; `compiler` is ignored for objects, else required.

        Raises UserError: an object no loader could use, a source that cannot be read, a missing tool,
        a manifest whose `program` is not in the object or that leaves the choice among several open, or
        whose scenario names what the object lacks.
        """
        if program.kind is ProgramKind.OBJECT:
            info = read_object(program.path)
            ready = BuiltObject(info.path, info.sha256, "", None, info.programs)
            return self._checked(program, variant, ready)
        if compiler is None:
            raise ValueError(f"{program.name} needs a compiler")
        try:
            text = self._text(program, variant)
        except RenderError as error:
            return BuildFailure(Stage.RENDER, str(error), compiler=compiler)
        result = self._compiled(text, compiler)
        if isinstance(result, BuiltObject):
            result = self._as_claimed(program, variant, result)
        if isinstance(result, BuiltObject) and variant is not None and program.host is not None:
            return self._on_host(program.host, variant, result)
        return result

    def build_all(
        self,
        requests: Sequence[BuildRequest],
        progress: Callable[[int, int], None] | None = None,
        workers: int = 2,
    ) -> list[Result]:
        """Build many in parallel; results in the order of `requests`.

        `progress(done, total)` is called in the calling thread. The first error in the order
        of `requests` ends it, as `build`'s.
        """
        with ThreadPoolExecutor(workers, thread_name_prefix="build") as pool:
            futures = [pool.submit(self.build, r.program, r.variant, r.compiler) for r in requests]
            try:
                for done, future in enumerate(futures, start=1):  # in order: the same error every time
                    future.result()
                    if progress is not None:
                        progress(done, len(futures))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return [future.result() for future in futures]

    def _text(self, program: Program, variant: Variant | None) -> _Text:
        if program.kind is ProgramKind.TEMPLATE:
            text = self._renderer.render(program.path, variant.values if variant else {})
            return _Text(program.path.name.removesuffix(".j2"), text.encode(), text, None)
        try:
            with program.path.open("rb") as file:
                raw = file.read(_MAX_SOURCE + 1)
        except OSError as error:
            raise UserError(f"cannot be read: {error.strerror}", where=str(program.path)) from error
        if len(raw) > _MAX_SOURCE:
            raise UserError(f"larger than {_MAX_SOURCE >> 20} MiB; no C source is", where=str(program.path))
        own = program.path.resolve().parent
        return _Text(program.path.name, raw, raw.decode(errors="replace"), own)

    def _compiled(self, text: _Text, compiler: Compiler) -> Result:
        wants_vmlinux = needs_vmlinux(text.text, text.own)
        made = self._made_header() if wants_vmlinux else None
        includes = Includes(text.own, self._shared, made)
        options = flags(includes, self._mcpu)
        key = _key(text, compiler, options)
        entry = self._objects.get(key)
        if entry is None:
            refusals = self._root / "objects"
            refusal = key_of((key,), sorted(self._shared.glob("*.h"))) if text.own is None else None
            _, words = recall(refusals, refusal)
            if words is not None:
                return BuildFailure(Stage.COMPILE, words, text.text, compiler)
            compiled = compile_source(compiler, text.raw, text.name, options, includes)
            if compiled.object is None:
                hint = "" if made or not wants_vmlinux else "\n" + _NO_BTF
                if not wants_vmlinux:
                    keep(refusals, refusal, compiled.log)
                return BuildFailure(Stage.COMPILE, compiled.log + hint, text.text, compiler)
            try:
                programs = inspect(compiled.object, text.name)
            except UserError as error:
                return BuildFailure(Stage.OPEN, str(error), text.text, compiler)
            entry = self._objects.put(key, compiled.object, programs, compiled.log, compiled.dependencies)
        return _built(entry, text, compiler)

    def _as_claimed(self, program: Program, variant: Variant | None, built: BuiltObject) -> Result:
        """The object, unless it is not what its manifest says: then nothing a kernel answers would count."""
        built = self._checked(program, variant, built)
        if variant is None or not variant.claims or built.compiler is None:
            return built
        words = lacking(variant.claims, built, self._root / "objects")
        if not words:
            return built
        return BuildFailure(Stage.COMPILE, words, built.source, built.compiler, no_answer=True)

    def _checked(self, program: Program, variant: Variant | None, built: BuiltObject) -> BuiltObject:
        """The subject of a manifest's variant must be clear: named and there, or the only one."""
        if not program.has_manifest or variant is None:
            return built
        wanted = variant.bpf_program
        if wanted is not None and wanted not in built.programs:
            raise UserError(
                f"`program: {wanted}` is not in the object of {variant.name}; "
                f"{suggest(wanted, built.programs)}",
                where=program.origin,
            )
        if wanted is None and len(built.programs) > 1:
            raise UserError(
                f"the object of {variant.name} has several BPF programs: {', '.join(built.programs)}",
                where=program.origin,
                hint="say which is the subject: `program: <name>`",
            )
        check_steps(program, variant, built, self._root / "objects")
        return built

    def _on_host(self, host: HostPart, variant: Variant, built: BuiltObject) -> Result:
        """The object again when the code beside it compiles on this machine, else the compiler's refusal."""
        try:
            text = self._renderer.render(host.source, variant.values)
        except RenderError as error:
            return BuildFailure(Stage.RENDER, str(error), built.source, built.compiler)
        name = host.source.name.removesuffix(".j2")
        source = f"// {name}\n{text}\n// The BPF program\n{built.source}"
        wanted = str(variant.values[COMPILER_AXIS])
        if wanted not in self._host_compilers:
            self._host_compilers[wanted] = find_host_compiler(wanted)
        compiler = self._host_compilers[wanted]
        header = self._made_header() if needs_vmlinux(text, None) else None
        if compiler is None or (header is None and needs_vmlinux(text, None)):
            why = _NO_BTF if compiler else f"{wanted} is not installed: {install_hint(wanted)}"
            return BuildFailure(Stage.HOST_COMPILE, why, source, built.compiler, no_answer=True)
        job = HostJob(text, name, built.path if host.skeleton else None, header)
        words = answer_of(job, compiler, self._root / "objects")
        if words is None:
            return replace(built, source=source)
        return BuildFailure(Stage.HOST_COMPILE, words, source, built.compiler)

    def _made_header(self) -> Path | None:
        """The folder of vmlinux.h, made the first time a text needs it; None without a BTF."""
        if self._vmlinux is None and self._vmlinux_btf is not None:
            self._vmlinux = header_folder(self._vmlinux_btf, self._root)
        return self._vmlinux


_NO_BTF = (
    "vmlinux.h is made from a kernel's BTF, and no kernel with BTF is at hand: "
    "`bpfmatrix kernels fetch`, or put a vmlinux.h beside the source"
)


def _built(entry: Entry, text: _Text, compiler: Compiler) -> BuiltObject:
    return BuiltObject(entry.path, entry.sha256, text.text, compiler, entry.programs, entry.log)


def _key(text: _Text, compiler: Compiler, options: tuple[str, ...]) -> str:
    """Everything but the headers' contents, which the cache compares itself."""
    stat = compiler.path.stat()
    parts = (
        text.name,
        str(compiler.path),
        compiler.version,
        str(stat.st_mtime_ns),
        str(stat.st_size),
        *options,
    )
    digest = hashlib.sha256("\0".join(parts).encode(errors="surrogateescape"))
    digest.update(b"\0" + text.raw)
    return digest.hexdigest()
