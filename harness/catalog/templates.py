"""Jinja templates of BPF programs: where they may read from, and which variables they read."""

from __future__ import annotations

from pathlib import Path

from jinja2 import meta, nodes

from harness.catalog.sandbox import BoundedSandbox
from harness.paths import project_root

TEMPLATE_SUFFIX = ".bpf.c.j2"


def shared_includes() -> Path:
    """Return the folder of shared headers and macros, `programs/include` of this project."""
    return project_root() / "programs" / "include"


def environment(template: Path, shared: Path | None = None) -> BoundedSandbox:
    """Return the sandbox for `template`; it reads from the template's folder and `shared` only."""
    return BoundedSandbox((template.parent, shared or shared_includes()))


def variables_of(template: Path, shared: Path | None = None) -> dict[str, int]:
    """Return every variable the template reads with the line of its first use.

    Looks through includes, parents and `with context` imports (their variables get line 1). Names the
    sandbox provides (`range`, …) are left out. Raises jinja2.TemplateError for a syntax error or a
    missing include, OSError and UnicodeDecodeError for an unreadable file.
    """
    found: dict[str, int] = {}
    _collect(environment(template, shared), template.name, found, seen=set())
    return found


def _collect(env: BoundedSandbox, name: str, found: dict[str, int], seen: set[str]) -> None:
    if env.loader is None:
        return
    source, _, _ = env.loader.get_source(env, name)
    tree = env.parse(source, name)
    free = meta.find_undeclared_variables(tree) - set(env.globals)
    for node in tree.find_all(nodes.Name):
        if node.name in free:
            found.setdefault(node.name, 1 if seen else node.lineno)
    seen.add(name)
    for reference in _references(tree):
        if reference not in seen:
            _collect(env, reference, found, seen)


def _references(tree: nodes.Template) -> list[str]:
    """Names of the files that see this template's variables, where the name is written out."""
    names: list[str] = []
    for node in tree.find_all((nodes.Include, nodes.Extends, nodes.Import, nodes.FromImport)):
        target = getattr(node, "template", None)
        if isinstance(target, nodes.Const) and getattr(node, "with_context", True):
            names.append(str(target.value))
    return names
