"""The page of features in a real headless Chromium: filters, addresses, panels; no JavaScript; hostile."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from browsing import HOSTILE, Site, contrast, emulate, served
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.ui import WebDriverWait

sys.path.insert(0, str(Path(__file__).parent.parent / "unit"))
from feature_tables_support import obedient
from features_support import finding, kernel

from harness.features.disagreements import Explanation, Reason
from harness.features.documented import documented
from harness.features.measured import MeasuredKernel, raw_features
from harness.features.types import FeatureKind, Finding, MeasuredFeature, Method, Support
from harness.report.features import Tables, build, render

TITLE = "bpfmatrix: eBPF features by kernel"


def changed(base: MeasuredKernel, feature: MeasuredFeature) -> MeasuredKernel:
    """The kernel with another answer about one feature."""
    others = [each for each in base.features() if (each.kind, each.name) != (feature.kind, feature.name)]
    return replace(base, raw=raw_features([*others, feature]))


def honest() -> Tables:
    """Three kernels that do as documented, but for two contradictions; one answer is unknown."""
    old, middle, new = (obedient(version) for version in ("5.10.262", "6.1.192", "7.3.4"))
    old = changed(
        old, MeasuredFeature(FeatureKind.HELPER, "bpf_loop", ((finding("yes"), ("kprobe", "xdp")),))
    )
    arena = MeasuredFeature(FeatureKind.MAP_TYPE, "BPF_MAP_TYPE_ARENA", ((finding("no", "EINVAL"), ()),))
    nothing = Finding(Support.UNKNOWN, Method.NONE, "EBUSY, which no rule knows")
    middle = changed(middle, MeasuredFeature(FeatureKind.COMMAND, "BPF_PROG_BIND_MAP", ((nothing, ()),)))
    known = [
        Explanation(FeatureKind.HELPER, ("bpf_loop",), Support.YES, Reason.BACKPORT, "they took it", "them")
    ]
    return build(documented(), [old, middle, changed(new, arena)], known)


def hostile() -> Tables:
    """Names, evidence, program types, releases and settings that try to be markup."""
    bad = Finding(Support.YES, Method.VERIFIER, HOSTILE)
    features = [
        MeasuredFeature(FeatureKind.HELPER, "bpf_loop", ((bad, (HOSTILE, "xdp")),)),
        MeasuredFeature(FeatureKind.KFUNC, HOSTILE, ((bad, ("xdp",)),)),
    ]
    base = kernel("6.12", "6.12.1", features)
    return build(
        documented(), [replace(base, release=HOSTILE, environment={HOSTILE: HOSTILE}, package=HOSTILE)]
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    pages = {"honest": render(honest(), "html"), "hostile": render(hostile(), "html")}
    with served(tmp_path_factory.mktemp("pages"), pages) as site:
        yield site


scripted = pytest.mark.parametrize("browser", ["with JavaScript"], indirect=True)


def cell(browser: webdriver.Chrome, row: str, column: int) -> WebElement:
    """The link of a kernel's cell, the oldest kernel is 1."""
    return browser.find_element(By.CSS_SELECTOR, f"[id='{row}']>td:nth-child({column + 3}) a")


def shown_names(browser: webdriver.Chrome) -> list[str]:
    names = browser.execute_script(
        "return [...document.querySelectorAll('.grid tbody tr:not(.heading)')]"
        ".filter(row => row.offsetParent).map(row => row.cells[0].textContent)"
    )
    return list(names)


def open_panels(browser: webdriver.Chrome) -> list[str]:
    labels = browser.execute_script(
        "return [...document.querySelectorAll('.panel')]"
        ".filter(each => getComputedStyle(each).display != 'none')"
        ".map(each => each.querySelector('h2').textContent)"
    )
    return list(labels)


def choose(browser: webdriver.Chrome, field: str, value: str) -> None:
    Select(browser.find_element(By.ID, field)).select_by_value(value)


def test_every_feature_has_a_row_and_every_kernel_a_column(browser: webdriver.Chrome, site: Site) -> None:
    browser.get(f"{site[0]}/honest.html")
    heads = [head.text.split("\n")[0] for head in browser.find_elements(By.CSS_SELECTOR, ".grid thead th")]
    assert heads == ["feature", "since", "first", "5.10", "6.1", "7.3"]
    assert len(browser.find_elements(By.CSS_SELECTOR, ".grid tbody tr:not(.heading)")) == 1164
    assert cell(browser, "helper.bpf_ringbuf_output", 2).text.split() == ["✓", "30"]
    assert cell(browser, "map_type.BPF_MAP_TYPE_ARENA", 1).text == "✗"
    assert cell(browser, "map_type.BPF_MAP_TYPE_ARENA", 3).text.split() == ["✗", "≠!"]
    assert cell(browser, "helper.bpf_loop", 1).text.split() == ["✓", "2", "↓"]
    assert cell(browser, "command.BPF_PROG_BIND_MAP", 2).text == "?"
    assert open_panels(browser) == []


def test_the_version_links_the_commit(browser: webdriver.Chrome, site: Site) -> None:
    browser.get(f"{site[0]}/honest.html")
    link = browser.find_element(By.CSS_SELECTOR, "[id='helper.bpf_loop'] .since a")
    assert link.text == "5.17"
    assert "e6f2dd0f80674e9d5960337b3e9c2a242441b326" in (link.get_attribute("href") or "")


def test_a_cell_opens_its_evidence_and_closes_again(browser: webdriver.Chrome, site: Site) -> None:
    browser.get(f"{site[0]}/honest.html")
    cell(browser, "helper.bpf_loop", 2).click()
    assert open_panels(browser) == ["bpf_loop"]
    part = browser.find_element(By.CSS_SELECTOR, ".part:target")
    assert part.text.startswith("6.1\n✓\nall but ")
    assert "verifier R1 type=ctx expected=map_ptr in bpf_loop" in part.text
    assert "program of this type cannot use bpf_loop#181" in part.text
    sheet = browser.find_element(By.CSS_SELECTOR, ".sheet:has(:target)")
    assert "backport, they took it" in sheet.text
    sheet.find_element(By.CSS_SELECTOR, ".close").click()
    assert open_panels(browser) == []


def test_the_address_alone_opens_a_cell(browser: webdriver.Chrome, site: Site) -> None:
    browser.get("about:blank")
    browser.get(f"{site[0]}/honest.html#map_type.BPF_MAP_TYPE_ARENA@7.3")
    assert open_panels(browser) == ["BPF_MAP_TYPE_ARENA"]
    assert "not explained so far" in browser.find_element(By.CSS_SELECTOR, ".part:target").text


def test_the_search_is_there_only_with_javascript(
    browser: webdriver.Chrome, site: Site, request: pytest.FixtureRequest
) -> None:
    browser.get(f"{site[0]}/honest.html")
    scripts_run = "without" not in request.node.callspec.params["browser"]
    assert browser.find_element(By.ID, "bar").is_displayed() is scripts_run
    assert browser.find_element(By.CSS_SELECTOR, ".kinds").is_displayed()


def test_hostile_texts_do_nothing_and_are_shown(browser: webdriver.Chrome, site: Site) -> None:
    site[1].clear()
    browser.get(f"{site[0]}/hostile.html")
    assert browser.title == TITLE
    for selector, number in (("script", 3), ("style", 1), ("img", 0), ("link", 0), ("main", 1)):
        assert len(browser.find_elements(By.CSS_SELECTOR, selector)) == number, selector
    browser.find_element(By.CSS_SELECTOR, "[id='helper.bpf_loop'] td.y a").click()
    part = browser.find_element(By.CSS_SELECTOR, ".part:target")
    assert "<script>document.title='owned'</script>" in part.text
    assert "\x1b" not in part.text
    assert "\u202e" not in browser.page_source
    assert browser.title == TITLE
    assert [path for path in site[1] if path not in ("/hostile.html", "/favicon.ico")] == []


def test_nothing_is_fetched_and_the_policy_is_kept(browser: webdriver.Chrome, site: Site) -> None:
    site[1].clear()
    browser.get_log("browser")  # type: ignore[no-untyped-call]  # selenium's
    browser.get(f"{site[0]}/honest.html?q=loop&kernel=6.1&type=xdp")
    asked = {path.partition("?")[0] for path in site[1]}
    assert asked <= {"/honest.html", "/favicon.ico"}
    messages = [entry["message"] for entry in browser.get_log("browser")]  # type: ignore[no-untyped-call]
    assert [text for text in messages if "favicon" not in text] == []


def test_header_and_first_column_stay_in_view(browser: webdriver.Chrome, site: Site) -> None:
    browser.set_window_size(500, 700)
    browser.get(f"{site[0]}/honest.html")
    frame = browser.find_element(By.CSS_SELECTOR, ".frame")
    browser.execute_script("arguments[0].scrollTo(60, 900)", frame)
    top, left = frame.rect["y"], frame.rect["x"]
    head = browser.find_elements(By.CSS_SELECTOR, ".grid thead th")[4]
    first = browser.find_element(By.CSS_SELECTOR, "[id='helper.bpf_loop'] th")
    assert browser.execute_script("return arguments[0].scrollTop", frame) == 900
    assert abs(head.rect["y"] - top) <= 2
    assert abs(first.rect["x"] - left) <= 2
    browser.set_window_size(1400, 900)


@scripted
def test_words_in_the_box_find_names_aliases_and_notes(browser: webdriver.Chrome, site: Site) -> None:
    browser.get(f"{site[0]}/honest.html")
    browser.find_element(By.TAG_NAME, "body").send_keys("/")
    browser.switch_to.active_element.send_keys("ringbuf Output")
    assert shown_names(browser) == ["bpf_ringbuf_output"]
    assert browser.current_url.endswith("?q=ringbuf+Output")
    assert browser.find_element(By.ID, "shown").text == "1 of 1164"
    browser.find_element(By.ID, "q").send_keys(" nonsense")
    assert shown_names(browser) == []
    assert browser.find_element(By.ID, "none").is_displayed()
    browser.find_element(By.ID, "reset").click()
    assert len(shown_names(browser)) == 1164
    assert "?" not in browser.current_url


@scripted
def test_the_filters_are_in_the_address(browser: webdriver.Chrome, site: Site) -> None:
    browser.get(f"{site[0]}/honest.html?q=arena&kind=map_type&kernel=7.3&answer=no")
    assert shown_names(browser) == ["BPF_MAP_TYPE_ARENA"]
    visible = [
        head.text for head in browser.find_elements(By.CSS_SELECTOR, ".grid .version") if head.is_displayed()
    ]
    assert visible == ["7.3"]
    choose(browser, "answer", "yes")
    assert shown_names(browser) == []
    assert "answer=yes" in browser.current_url
    browser.get(f"{site[0]}/honest.html?kind=nothing_there&flag=sources")
    assert len(shown_names(browser)) == 27


@scripted
def test_a_program_type_shows_its_own_answers(browser: webdriver.Chrome, site: Site) -> None:
    browser.get(f"{site[0]}/honest.html?q=bpf_loop")
    choose(browser, "type", "xdp")
    assert shown_names(browser) == ["bpf_loop"]  # the helper: the other has no program types
    assert [cell(browser, "helper.bpf_loop", column).text for column in (1, 2, 3)] == ["✓"] * 3
    choose(browser, "type", "lsm")
    assert [cell(browser, "helper.bpf_loop", column).text for column in (1, 2, 3)] == ["·", "✓", "✓"]
    choose(browser, "type", "lirc_mode2")
    assert cell(browser, "helper.bpf_loop", 2).text == "✗"
    choose(browser, "type", "")
    assert cell(browser, "helper.bpf_loop", 1).text.split() == ["✓", "2", "↓"]


@scripted
@pytest.mark.parametrize(
    ("flag", "names"),
    [
        ("contradiction", ["bpf_loop", "BPF_MAP_TYPE_ARENA"]),
        ("backport", ["bpf_loop"]),
        ("unexplained", ["BPF_MAP_TYPE_ARENA"]),
    ],
)
def test_what_is_marked_can_be_listed(
    browser: webdriver.Chrome, site: Site, flag: str, names: list[str]
) -> None:
    browser.get(f"{site[0]}/honest.html")
    choose(browser, "flag", flag)
    assert shown_names(browser) == names


@scripted
def test_the_address_keeps_filters_when_the_page_is_a_file(browser: webdriver.Chrome, tmp_path: Path) -> None:
    page = tmp_path / "features.html"
    page.write_text(render(honest(), "html"), encoding="utf-8")
    browser.get(f"file://{page}")
    browser.find_element(By.ID, "q").send_keys("bounded")
    assert "bounded_loops" in shown_names(browser)
    assert browser.current_url.endswith("?q=bounded")


@scripted
def test_keyboard(browser: webdriver.Chrome, site: Site) -> None:
    browser.get(f"{site[0]}/honest.html?q=ringbuf&kind=helper")
    wait = WebDriverWait(browser, 5)
    cell(browser, "helper.bpf_ringbuf_output", 1).send_keys(Keys.ARROW_RIGHT)
    browser.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    wait.until(lambda driver: open_panels(driver) == ["bpf_ringbuf_query"])
    assert browser.current_url.endswith("#helper.bpf_ringbuf_query@6.1")
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
    wait.until(lambda driver: open_panels(driver) == [])
    assert browser.switch_to.active_element.get_attribute("href") == (
        f"{site[0]}/honest.html?q=ringbuf&kind=helper#helper.bpf_ringbuf_query@6.1"
    )


@scripted
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_contrast_in_both_themes(browser: webdriver.Chrome, site: Site, theme: str) -> None:
    """WCAG AA asks for 4.5:1 between a cell's text and its ground."""
    emulate(browser, theme=theme)
    browser.get(f"{site[0]}/honest.html")
    for css in (".grid td.y", ".grid td.n", ".grid td.u", ".grid td u", ".grid td.unexplained u"):
        element = browser.find_element(By.CSS_SELECTOR, css)
        ground, ink = (element.value_of_css_property(name) for name in ("background-color", "color"))
        assert contrast(ground, ink) >= 4.5, (theme, css)
    emulate(browser)


@scripted
def test_printed_the_rows_are_there_and_the_filters_are_not(browser: webdriver.Chrome, site: Site) -> None:
    browser.get(f"{site[0]}/honest.html?q=ringbuf")
    emulate(browser, "print")
    assert not browser.find_element(By.ID, "bar").is_displayed()
    frame = browser.find_element(By.CSS_SELECTOR, ".frame")
    assert frame.value_of_css_property("overflow") == "visible"
    assert "bpf_ringbuf_output" in shown_names(browser)
    emulate(browser)
