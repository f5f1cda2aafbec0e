"""Template and variant to C source text, in the catalogue's bounded sandbox."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from threading import Lock

from jinja2 import TemplateNotFound, TemplateSyntaxError

from harness.catalog.sandbox import BoundedSandbox, bounded_join, start_budget
from harness.catalog.templates import environment

Axes = Mapping[str, str | int | bool]


class RenderError(Exception):
    """A template that does not render; `str` is `file:line: reason` with the file's bare name."""


class Renderer:
    """Renders templates; keeps one sandbox (with its compiled templates) per folder. Thread-safe."""

    def __init__(self, shared: Path) -> None:
        self._shared = shared
        self._sandboxes: dict[Path, BoundedSandbox] = {}
        self._lock = Lock()

    def render(self, template: Path, axes: Axes) -> str:
        """Return the C text of `template` at `axes`, at most 1 MiB; RenderError when it will not."""
        start_budget()
        try:
            pieces = self._sandbox(template).get_template(template.name).generate(dict(axes))
            return bounded_join("", pieces)
        except Exception as error:  # a template can provoke any exception: TypeError, RecursionError, …
            raise RenderError(_message(error, template)) from error

    def _sandbox(self, template: Path) -> BoundedSandbox:
        with self._lock:
            if template.parent not in self._sandboxes:
                self._sandboxes[template.parent] = environment(template, self._shared)
            return self._sandboxes[template.parent]


def _message(error: Exception, template: Path) -> str:
    reason = str(error) or type(error).__name__
    if isinstance(error, TemplateSyntaxError):
        return f"{Path(error.filename or template).name}:{error.lineno}: {reason}"
    file, line = template.name, 0
    for frame in traceback.extract_tb(error.__traceback__):
        # Jinja rewrites tracebacks so that frames of templates carry the template's file and line.
        if frame.filename.endswith(".j2") or Path(frame.filename).parent == template.parent:
            file, line = Path(frame.filename).name, frame.lineno or 0
    if isinstance(error, TemplateNotFound):
        reason = f"no file {error.name!r} beside the template or in programs/include"
    elif isinstance(error, UnicodeDecodeError):
        reason = "not UTF-8"
    return f"{file}:{line}: {reason}" if line else f"{file}: {reason}"
