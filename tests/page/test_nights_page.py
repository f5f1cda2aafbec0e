"""The page over the nights in a real headless Chromium: readable, self-contained, hostile words are words."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browsing import HOSTILE, Site, contrast, emulate, served
from selenium import webdriver
from selenium.webdriver.common.by import By

from harness.nightly.publish import FILES, render_index
from harness.nightly.types import KernelNight, NightRecord, Selection

KERNELS = (
    KernelNight("5.10", "5.10.262", "5.10.0-46-amd64"),
    KernelNight("6.12", "6.12.118", "6.12.118+deb13-amd64", moved="6.12.117 → 6.12.118"),
    KernelNight("7.3", "", problem="the guest could not be started"),
)


def night(name: str, status: int, regressions: int = 0, changes: int = 0, **other: object) -> NightRecord:
    """A night of which only this is of interest."""
    record = {"selection": Selection(), "kernels": KERNELS, "notes": (), "flaky": 0, **other}
    times = (f"{name[:10]}T01:00:00Z", f"{name[:10]}T01:09:00Z")
    return NightRecord(
        name, 1, *times, "run", status, cases=4592, regressions=regressions, changes=changes, **record
    )


def many() -> str:
    """The page over a month, the worst night in it."""
    nights = [night(f"2026-11-{day:02}", day % 2, day % 2 * day, day) for day in range(1, 30)]
    return render_index([night("2026-11-30", 3), *reversed(nights)])


def hostile() -> str:
    """Every word that comes from outside tries to be markup."""
    kernel = KernelNight(HOSTILE, HOSTILE, HOSTILE, moved=HOSTILE)
    lost = KernelNight(HOSTILE, "", problem=HOSTILE)
    chosen = Selection(HOSTILE, (HOSTILE,))
    bad = night("2026-11-30", 1, 1, 2, selection=chosen, kernels=(kernel, lost), notes=(HOSTILE,))
    return render_index([bad])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with served(tmp_path_factory.mktemp("nights"), {"many": many(), "hostile": hostile()}) as site:
        yield site


def test_the_latest_night_is_first_and_says_how_it_went(browser: webdriver.Chrome, site: Site) -> None:
    browser.get(f"{site[0]}/many.html")
    articles = browser.find_elements(By.TAG_NAME, "article")
    assert [each.get_attribute("id") for each in articles[:2]] == ["2026-11-30", "2026-11-29"]
    assert len(articles) == 30
    assert "⚠" in articles[0].text
    assert "29 worse" in articles[1].text
    assert "6.12.117 → 6.12.118" in articles[1].text
    assert "7.3: not run" in articles[1].text
    links = [each.get_attribute("href") for each in articles[1].find_elements(By.CSS_SELECTOR, ".files a")]
    assert links == [f"{site[0]}/2026-11-29/{file}" for file in FILES]


def test_a_column_of_the_strip_leads_to_its_night(browser: webdriver.Chrome, site: Site) -> None:
    browser.get(f"{site[0]}/many.html")
    columns = browser.find_elements(By.CSS_SELECTOR, "svg a")
    assert len(columns) == 30
    heights = browser.execute_script(
        "return [...document.querySelectorAll('svg a')].map(each => "
        "[...each.querySelectorAll('rect.worse')].reduce((sum, part) => sum + part.height.baseVal.value, 0))"
    )
    assert heights.index(max(heights)) == 28, "the worst night was the 29th of 30"
    columns[28].click()
    assert browser.current_url == f"{site[0]}/2026-11-29/matrix.html"


def test_nothing_hostile_becomes_markup_and_nothing_else_is_asked_for(
    browser: webdriver.Chrome, site: Site
) -> None:
    site[1].clear()
    browser.get(f"{site[0]}/hostile.html")
    assert browser.title == "bpfmatrix: nights"
    assert [path for path in site[1] if path not in ("/hostile.html", "/favicon.ico")] == []
    assert browser.find_elements(By.CSS_SELECTOR, "img, link, script, pre, q") == []
    shown = browser.find_element(By.TAG_NAME, "article").text
    assert shown.count("<script>") == 5
    assert not {"\x1b", "\x9b", "\u202e"} & set(shown), "signs that turn text around are shown, not obeyed"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_are_readable_in_both_themes(browser: webdriver.Chrome, site: Site, theme: str) -> None:
    emulate(browser, theme=theme)
    browser.get(f"{site[0]}/many.html")
    colours = browser.execute_script(
        "const paint = getComputedStyle(document.body).backgroundColor;"
        "return [...document.querySelectorAll('article :is(.good, .worse, .broken, .when, a, .lost)')]"
        ".map(each => { const own = getComputedStyle(each.closest('article')).backgroundColor;"
        " return [getComputedStyle(each).color, own.endsWith(', 0)') ? paint : own]; })"
    )
    emulate(browser)
    assert len(colours) > 100
    assert min(contrast(ink, ground) for ink, ground in colours) >= 4.5


def test_a_phone_shows_all_of_it_without_scrolling_sideways(browser: webdriver.Chrome, site: Site) -> None:
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    browser.get(f"{site[0]}/many.html")
    width = browser.execute_script("return document.documentElement.scrollWidth")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert width <= 360
