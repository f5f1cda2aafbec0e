"""What the tests of pages share: a server on loopback, hostile words, contrast, media."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver

Site = tuple[str, list[str]]  # its address, and what was asked of it
HOSTILE = (
    "</pre></q></section></noscript></script><script>document.title='owned'</script>"
    "<img src=/stolen onerror=\"document.title='owned'\"><svg onload=\"document.title='owned'\">"
    "<style>body{display:none}</style>\x1b]0;owned\x07\x1b[31m\x00\r\x9b2J\u202e<link rel=stylesheet href=/x>"
    "<!--"
)


class Recorder(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and remembers every path asked for."""

    asked: list[str]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
        self.asked.append(self.path)


@contextmanager
def served(folder: Path, pages: Mapping[str, str]) -> Iterator[Site]:
    """Serve pages by their names; what is asked besides them is in the list."""
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    asked: list[str] = []
    handler = type("Handler", (Recorder,), {"asked": asked})
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def emulate(browser: webdriver.Chrome, media: str = "", theme: str = "") -> None:
    """Show the page as on that medium, with that preference; "" = as it is."""
    features = [{"name": "prefers-color-scheme", "value": theme}] if theme else []
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two `rgba(r, g, b, a)` colours after WCAG 2."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(color: str) -> float:
    parts = [float(part) / 255 for part in color[color.index("(") + 1 : -1].split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
