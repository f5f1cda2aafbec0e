"""The sandbox templates are rendered in: no files but two folders, bounded steps, bounded memory.

Templates handed in with `--programs` may be hostile. Jinja's own sandbox keeps them away from Python's
objects but bounds neither time nor memory, so here every loop turn and call costs a step, and every
text, list and number a template can grow is checked before it is built.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined, nodes
from jinja2.compiler import CodeGenerator
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.sandbox import SandboxedEnvironment

MAX_STEPS = 200_000
MAX_TEXT = 1 << 20  # characters of one text, items of one list
_MAX_BITS = 4096  # of one number
_WIDE = re.compile(r"\d{4,}|\*")  # a field width of thousands, or one taken from the arguments

_steps: ContextVar[list[int]] = ContextVar("bpfmatrix_render_steps")

# Deterministic, and their result is no longer than what goes in. The rest is refused as unknown.
_FILTERS = (
    "abs",
    "capitalize",
    "count",
    "d",
    "default",
    "dictsort",
    "first",
    "float",
    "int",
    "items",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "reverse",
    "round",
    "select",
    "selectattr",
    "sort",
    "string",
    "sum",
    "title",
    "trim",
    "unique",
    "upper",
)


def start_budget() -> None:
    """Give the calling context a fresh budget of steps; call it before every rendering."""
    _steps.set([MAX_STEPS])


class BoundedSandbox(SandboxedEnvironment):
    """Renders C: undefined names are errors, nothing is escaped, block tags leave no blank lines.

    Beyond TemplateError a rendering may raise whatever the template provokes (TypeError, MemoryError,
    RecursionError …); what exceeds a bound raises SecurityError.
    """

    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def __init__(self, folders: Iterable[Path]) -> None:
        super().__init__(
            loader=FileSystemLoader([str(folder) for folder in folders]),
            undefined=StrictUndefined,
            autoescape=False,  # the output is C, not HTML
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self.filters = {name: FILTERS[name] for name in _FILTERS}
        self.filters.update(join=_join, replace=_replace, format=_format, indent=_indent)
        del self.globals["lipsum"]  # chance

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Count one step, then call as Jinja's sandbox allows."""
        _spend()
        return super().call(*args, **kwargs)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Refuse what would fill the memory, then compute."""
        _OPERATOR_CHECKS[operator](left, right)
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Refuse str.format, whose field widths nobody bounds."""
        if super().wrap_str_format(value) is not None:
            raise SecurityError("str.format is refused; join with ~ or use the format filter")
        return None

    @staticmethod
    def concat(parts: Iterable[str]) -> str:
        """Join the output of a macro or a block."""
        return bounded_join("", parts)

    @staticmethod
    def bounded(text: str) -> str:
        """Pass a text on that is not too long; generated code calls this for `~`."""
        _refuse_long(len(text))
        return text

    @staticmethod
    def counted(values: Iterable[Any]) -> Iterator[Any]:
        """Pass values on, each for one step; generated code calls this for `for`."""
        for value in values:
            _spend()
            yield value


class _CountingGenerator(CodeGenerator):
    """Makes every `for` count its turns and every `~` check its length."""

    def visit_For(self, node: nodes.For, frame: Any) -> None:  # noqa: N802  Jinja's name
        counter = nodes.EnvironmentAttribute("counted", lineno=node.lineno)
        node.iter = nodes.Call(counter, [node.iter], [], None, None, lineno=node.lineno)
        super().visit_For(node, frame)

    def visit_Concat(self, node: nodes.Concat, frame: Any) -> None:  # noqa: N802  Jinja's name
        self.write("environment.bounded(")
        super().visit_Concat(node, frame)
        self.write(")")


BoundedSandbox.code_generator_class = _CountingGenerator


def _spend() -> None:
    left = _steps.get(None)
    if left is None:  # Jinja folds constants while it compiles; there is no rendering to bound
        return
    left[0] -= 1
    if left[0] < 0:
        raise SecurityError(f"more than {MAX_STEPS} loop turns and calls in one rendering")


def _refuse_long(length: int) -> None:
    if length > MAX_TEXT:
        raise SecurityError(f"a text or list of more than {MAX_TEXT} is refused")


def _check_add(left: Any, right: Any) -> None:
    if isinstance(left, (str, list, tuple)) and isinstance(right, (str, list, tuple)):
        _refuse_long(len(left) + len(right))


def _check_multiply(left: Any, right: Any) -> None:
    for one, other in ((left, right), (right, left)):
        if isinstance(one, (str, list, tuple)) and isinstance(other, int):
            _refuse_long(len(one) * other)
    if (
        isinstance(left, int)
        and isinstance(right, int)
        and left.bit_length() + right.bit_length() > _MAX_BITS
    ):
        raise SecurityError("a number this large is refused")


def _check_power(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() * right > _MAX_BITS:
        raise SecurityError("a number this large is refused")


def _check_modulo(left: Any, right: Any) -> None:
    if isinstance(left, str) and _WIDE.search(left):
        raise SecurityError(f"a field this wide is refused: {left[:40]!r}")


_OPERATOR_CHECKS = {"+": _check_add, "*": _check_multiply, "**": _check_power, "%": _check_modulo}


def bounded_join(separator: str, parts: Iterable[Any]) -> str:
    """Join `parts`; SecurityError as soon as the text grows beyond MAX_TEXT."""
    pieces: list[str] = []
    length = 0
    for part in parts:
        pieces.append(str(part))
        length += len(pieces[-1]) + len(separator)
        _refuse_long(length)
    return separator.join(pieces)


def _join(values: Iterable[Any], separator: str = "") -> str:
    return bounded_join(separator, values)


def _replace(text: Any, old: str, new: str) -> str:
    body = str(text)
    _refuse_long(len(body) + body.count(old) * len(new))
    return body.replace(old, new)


def _format(pattern: str, *args: Any) -> str:
    _check_modulo(pattern, args)
    rendered: str = pattern % args
    return rendered


def _indent(text: Any, width: int = 4, first: bool = False) -> str:
    if width > 64:
        raise SecurityError("an indentation of more than 64 is refused")
    lines = str(text).splitlines(keepends=True)
    pad = " " * width
    return "".join(
        pad + line if line.strip() and (first or index) else line for index, line in enumerate(lines)
    )
