#!/usr/bin/env python3
"""Take pictures of a page of the matrix: `scripts/screenshots.py RUN.html OUTDIR`.

Writes light.png, dark.png, rows.png (only what is rejected), phone.png and cell.png (one of these opened)
with the Chromium and the driver of the distribution. The same page gives the same pictures. Exit status 2 for
arguments that cannot be used, 3 when the browser does not start.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

DESK, PHONE = (1400, 900), (360, 740)
FLAGS = (
    "--headless",
    "--no-sandbox",  # it may run as root in a container; the page is ours and fetches nothing
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# The cell with the longest story: it was rejected, and where there is a choice it is worse than before.
_CELL = """
const cells = [...document.querySelectorAll('.row td.reject.worse a, .row td.reject a')];
const worse = cells.find(each => each.closest('.worse'));
return (worse || cells[0] || document.querySelector('.row a')).getAttribute('href');
"""


def main(arguments: list[str]) -> int:
    """Take the pictures named in the first line of this file."""
    if len(arguments) != 2 or not Path(arguments[0]).is_file():
        print(
            "usage: scripts/screenshots.py RUN.html OUTDIR; bpfmatrix report makes the page", file=sys.stderr
        )
        return 2
    out = Path(arguments[1])
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bpfmatrix-pictures-") as profile:
        try:
            browser = _browser(profile)
        except WebDriverException as problem:
            print(f"the browser does not start: {problem.msg}", file=sys.stderr)
            print("next: apt install chromium chromium-driver", file=sys.stderr)
            return 3
        try:
            for picture in _take(browser, Path(arguments[0]).resolve().as_uri(), out):
                print(picture)
        finally:
            browser.quit()
    return 0


def _browser(profile: str) -> webdriver.Chrome:
    options = Options()
    options.binary_location = "/usr/bin/chromium"
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))


def _take(browser: webdriver.Chrome, address: str, out: Path) -> list[Path]:
    taken = []

    def picture(name: str, query: str, size: tuple[int, int], theme: str = "light") -> None:
        _emulate(browser, size, theme)
        browser.get("about:blank")
        browser.get(address + query)
        browser.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0], 300))")
        path = out / f"{name}.png"
        browser.save_screenshot(str(path))
        taken.append(path)

    picture("light", "", DESK)
    cell = browser.execute_script(_CELL)
    picture("dark", "", DESK, "dark")
    picture("rows", "?verdict=reject", DESK)
    picture("phone", "", PHONE)
    picture("cell", cell, DESK)
    return taken


def _emulate(browser: webdriver.Chrome, size: tuple[int, int], theme: str) -> None:
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
