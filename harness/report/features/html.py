"""The feature tables as one self-contained HTML page: no request to anywhere, complete without JavaScript.

Every feature has one panel with what is documented and what each kernel answered; kernels that answered
alike share a part of it. A cell is a link to its part, so a panel opens by the address alone (`:target`).
The script adds the filters. The Content-Security-Policy in the page allows its own style and script, by hash,
and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from markupsafe import Markup

from harness.features.alternatives import Alternative
from harness.features.names import Feature
from harness.features.types import Support
from harness.report.features.htmlrows import Masks, bodies
from harness.report.features.tables import FLAG_SIGNS, FLAG_WORDS, SYMBOLS, WORDS, Flag, Tables
from harness.report.features.words import counts, package
from harness.report.webpage import asset, ours, policy, template
from harness.verdict.text import one_line

_CSS: Mapping[Support | None, str] = {
    Support.YES: "y",
    Support.NO: "n",
    Support.UNKNOWN: "u",
    None: "o",
}


def render(tables: Tables, instead: Mapping[Feature, Alternative] | None = None) -> str:
    """Return the page; `instead` says what to use where a feature is missing."""
    masks = Masks(tables.program_types)
    views = bodies(tables, masks, instead or {})
    style = asset("base.css") + asset("features.css", __package__)
    theme, script = asset("theme.js"), asset("base.js") + asset("features.js", __package__)
    return template("features.html.j2", __package__).render(
        tables=tables,
        kernels=tables.kernels,
        bodies=views,
        kinds=[section for section in tables.sections if section.rows or section.documented],
        counts=counts(tables),
        settings=sorted({key for kernel in tables.kernels for key in kernel.environment}),
        signs=[(SYMBOLS[support], WORDS[support], css) for support, css in _CSS.items()],
        flags=[(FLAG_SIGNS[flag], FLAG_WORDS[flag], flag.value) for flag in Flag],
        loose=[(view, part) for body in views for view in body.rows for part in view.parts if part.loose],
        package=package,
        data=Markup(_data(tables, masks)),  # noqa: S704 -- JSON without a single `<`
        style=ours(style),
        theme=ours(theme),
        script=ours(script),
        policy=policy(style, theme, script),
        breakable=breakable,
    )


def breakable(name: str) -> Markup:
    """A name that a narrow column may break after an underscore."""
    return Markup("_<wbr>").join(one_line(name).split("_"))


def _data(tables: Tables, masks: Masks) -> str:
    """What the script filters by: the answers by program type, each distinct combination once."""
    data = {
        "kernels": [kernel.kernel for kernel in tables.kernels],
        "types": list(tables.program_types),
        "masks": masks.all,
    }
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
