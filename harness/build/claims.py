"""Whether an object is what its manifest claims: patterns on its instructions and its types.

Answers are kept beside the objects, by what they depend on: the object's bytes, the claims, and the
llvm-objdump that read it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from harness.build.btf import btf_text
from harness.build.disassembly import disassemble
from harness.build.objectcache import cache_error, write_atomic
from harness.build.toolchain import find_objdump
from harness.model import BuiltObject, Claim, ClaimKind, Compiler

_VERSION = 3  # of the text patterns are matched on, and of the file kept
_SHOWN = 32 << 10  # characters of listing behind the message
_ON_BTF = frozenset({ClaimKind.BTF, ClaimKind.LACKS_BTF})
_MUST_NOT = frozenset({ClaimKind.LACKS, ClaimKind.LACKS_BTF})


def lacking(claims: Sequence[Claim], built: BuiltObject, folder: Path) -> str:
    """Say which of `claims` do not hold for `built`, with the text they were matched on; "" when all do.

    `folder` keeps the answer. UserError: no llvm-objdump, or `folder` cannot be written.
    """
    texts = _Texts(built)
    kept = folder / f"{_key(claims, texts)}.claims"
    failed = _recall(kept, len(claims))
    if failed is None:
        failed = {number: words for number, claim in enumerate(claims) if (words := texts.failing(claim))}
        try:
            write_atomic(kept, json.dumps(failed).encode())
        except OSError as error:
            raise cache_error(error, folder) from error
    if not failed:
        return ""
    broken = [(claims[number], words) for number, words in failed.items()]
    said = "; ".join(f"{words} ({claim.origin.file.name}:{claim.origin.line})" for claim, words in broken)
    shown = dict.fromkeys(texts.of(claim) for claim, _ in broken)
    return f"the object is not what its manifest claims: {said}\n" + "\n".join(shown)[:_SHOWN]


@dataclass
class _Texts:
    """An object as patterns see it; read when a pattern asks."""

    built: BuiltObject

    @cached_property
    def objdump(self) -> Path:
        """Raises UserError when there is none."""
        assert self.built.compiler is not None  # noqa: S101 - claims come with a manifest, so with a template
        return _objdump_of(self.built.compiler)

    @cached_property
    def functions(self) -> dict[str, str]:
        return disassemble(self.objdump, self.built.path)

    @cached_property
    def types(self) -> str:
        with self.built.path.open("rb") as file:
            return btf_text(file)

    def of(self, claim: Claim) -> str:
        """Return the text `claim` is matched on; "" for a function that is not there."""
        if claim.kind in _ON_BTF:
            return self.types
        if claim.function is not None:
            return self.functions.get(claim.function, "")
        return "\n".join(self.functions.values())

    def failing(self, claim: Claim) -> str:
        """Say in one line why `claim` does not hold; "" when it does."""
        where = f" in {claim.function}()" if claim.function else ""
        if claim.function is not None and claim.function not in self.functions:
            return f"there is no function {claim.function!r}; functions: {', '.join(self.functions)}"
        found = sum(1 for _ in re.finditer(claim.pattern, self.of(claim), re.MULTILINE))
        what = f"{claim.kind.value} {claim.pattern!r}{where}"
        if claim.kind in _MUST_NOT:
            return f"{found} matches of {what}, which must not be there" if found else ""
        if claim.times is not None and found != claim.times:
            return f"{found} matches of {what}, not {claim.times}"
        return "" if found else f"nothing matches {what}"


@cache
def _objdump_of(compiler: Compiler) -> Path:
    """Look once per process: walking the PATH took a third of the time of building from the cache."""
    return find_objdump(compiler)


def _key(claims: Sequence[Claim], texts: _Texts) -> str:
    """Name everything the answer depends on."""
    parts = [str(_VERSION), texts.built.sha256]
    parts += [repr((claim.kind.value, claim.pattern, claim.function, claim.times)) for claim in claims]
    if any(claim.kind not in _ON_BTF for claim in claims):
        stat = texts.objdump.stat()
        parts += [str(texts.objdump), str(stat.st_mtime_ns), str(stat.st_size)]
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()


def _recall(path: Path, count: int) -> dict[int, str] | None:
    """Read a kept answer; None when there is none or it is damaged."""
    try:
        kept = {int(number): str(words) for number, words in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, AttributeError):
        return None
    return kept if all(0 <= number < count for number in kept) else None
