"""What every page is made of: one file, no request, its own style and scripts allowed by their hashes.

The assets are in `harness/report/page`; `base.css`, `theme.js` and `base.js` are those the pages share.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from harness.verdict.text import one_line, visible


@cache
def asset(name: str, package: str = "harness.report") -> str:
    """Return the text of a file in the folder `page` of a package."""
    return resources.files(package).joinpath("page", name).read_text(encoding="utf-8")


def policy(style: str, *scripts: str) -> str:
    """Return the Content-Security-Policy that allows exactly these texts as style and scripts."""
    allowed = " ".join(f"'{_hash(script)}'" for script in scripts) or "'none'"
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src {allowed}; "
        "base-uri 'none'; form-action 'none'"
    )


def ours(text: str) -> Markup:
    """Mark the text of an asset, which is no input, as what must not be escaped."""
    return Markup(text)  # noqa: S704 -- our own file


@cache
def template(name: str, package: str = "harness.report") -> Template:
    """Return a template of the folder `page` of a package."""
    return environment().from_string(asset(name, package))


@cache
def environment() -> Environment:
    """Return templates that escape everything; `line` and `clean` make text from outside harmless."""
    made = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters["clean"] = visible
    made.filters["line"] = one_line
    return made


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
