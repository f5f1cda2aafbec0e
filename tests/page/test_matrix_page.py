"""The HTML page in a real headless Chromium: with and without JavaScript, honest and hostile logs.

Chromium and its driver are Debian's (`apt install chromium chromium-driver`); without them these tests fail.
"""

from __future__ import annotations

import dataclasses
import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from harness.model import Run
from harness.record.runfile import read
from harness.report import render
from harness.scenario import Behaviour, CheckResult, Step, StepOp, StepResult

RUN = read(Path(__file__).parent.parent / "unit" / "test_data" / "sample-run.json")
HOSTILE = (
    "</pre></section><script>document.title='owned'</script>"
    "<img src=/stolen onerror=\"document.title='owned'\">"
    "<style>body{display:none}</style>\x1b]0;owned\x07\x1b[31m\x00\r\x9b2J\u202e<link rel=stylesheet href=/x>"
)
FLAGS = (
    "--headless",
    "--no-sandbox",  # tests may run as root in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,900",
)


class Recorder(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and remembers every path asked for."""

    asked: list[str]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
        self.asked.append(self.path)


def behaving() -> Run:
    """One program that behaves on 5.10 and misbehaves on 6.1, in hostile words."""
    base = next(case for case in RUN.cases if case.observation and case.verdict.kind.value == "accept")
    assert base.observation is not None
    scenario = (Step(StepOp.ATTACH, HOSTILE), Step(StepOp.READ, "hits", "hits"), Step(StepOp.READ, "rest"))
    cases = []
    for kernel, behaviour in (("5.10", Behaviour.BEHAVES), ("6.1", Behaviour.MISBEHAVES)):
        steps = (StepResult(0, message=kernel + HOSTILE), StepResult(1, errno="ENOENT", message=HOSTILE))
        seen = dataclasses.replace(base.observation, steps=steps)
        check = CheckResult("hits", "3", HOSTILE, behaviour is Behaviour.BEHAVES, HOSTILE)
        cases.append(
            dataclasses.replace(
                base,
                kernel=kernel,
                variant="counted",
                scenario=scenario,
                observation=seen,
                behaviour=behaviour,
                checks=(check,),
            )
        )
    return dataclasses.replace(RUN, cases=tuple(cases))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    """Address of a server on loopback holding the pages, and the list of paths asked of it."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "honest.html").write_text(render(RUN, "html"), encoding="utf-8")
    hostile = tuple(
        dataclasses.replace(
            case,
            reason=HOSTILE,
            verdict=dataclasses.replace(case.verdict, message=HOSTILE),
            source=HOSTILE,
            observation=case.observation
            and dataclasses.replace(
                case.observation,
                verifier_log=HOSTILE + "\n" + case.observation.verifier_log + HOSTILE,
                loader_log=HOSTILE,
                console_tail=HOSTILE,
                kernel_messages=(HOSTILE,),
            ),
        )
        for case in RUN.cases
    )
    page = render(dataclasses.replace(RUN, cases=hostile, host=HOSTILE, command=HOSTILE), "html")
    (folder / "hostile.html").write_text(page, encoding="utf-8")
    (folder / "behaving.html").write_text(render(behaving(), "html"), encoding="utf-8")
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


@pytest.fixture(scope="module", params=["with JavaScript", "without JavaScript"])
def browser(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[webdriver.Chrome]:
    options = Options()
    options.binary_location = "/usr/bin/chromium"
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    if request.param == "without JavaScript":
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    driver.get("data:text/html,<title>off</title><script>document.title='on'</script>")
    assert driver.title == ("off" if request.param == "without JavaScript" else "on")
    yield driver
    driver.quit()


def link(browser: webdriver.Chrome, variant: str, column: int):  # type: ignore[no-untyped-def]  # selenium's element
    path = f"//tr[th[@scope='row']/code[text()='{variant}']]/td[{column}]/a"
    return browser.find_element(By.XPATH, path)


def visible_panels(browser: webdriver.Chrome) -> list[str]:
    panels = browser.find_elements(By.CSS_SELECTOR, ".panel")
    return [panel.get_attribute("id") or "" for panel in panels if panel.is_displayed()]


def test_the_grid_shows_every_row_and_column(browser: webdriver.Chrome, site: tuple[str, list[str]]) -> None:
    browser.get(f"{site[0]}/honest.html")
    heads = [head.text for head in browser.find_elements(By.CSS_SELECTOR, ".grid thead th")]
    assert [head.split("\n")[0] for head in heads] == [
        "variant",
        "5.4.290",
        "5.10.262",
        "6.1.187",
        "6.12.117",
        "7.3.4",
    ]
    assert len(browser.find_elements(By.CSS_SELECTOR, ".grid tbody td")) == 340
    assert link(browser, "leak", 5).text.split() == ["✗", "EINVAL", "load"]
    assert visible_panels(browser) == []


def test_a_cell_opens_log_cause_and_source_and_closes_again(
    browser: webdriver.Chrome, site: tuple[str, list[str]]
) -> None:
    browser.get(f"{site[0]}/honest.html")
    link(browser, "leak", 5).click()
    assert len(visible_panels(browser)) == 1
    sheet = next(s for s in browser.find_elements(By.CSS_SELECTOR, ".sheet") if s.is_displayed())
    assert "Unreleased reference id=2 alloc_insn=4" in sheet.text
    assert "Release or transfer ownership of the acquired resource on every path" in sheet.text
    assert "A reserved record or reference is not released on every path" in sheet.text
    assert "bpf_ringbuf_reserve(&rb,8,0)" in sheet.find_element(By.CSS_SELECTOR, ".source pre").text
    marks = [mark.text for mark in sheet.find_elements(By.CSS_SELECTOR, "mark") if mark.is_displayed()]
    assert "16: (95) exit" in marks
    shown = [tab for tab in sheet.find_elements(By.CSS_SELECTOR, ".tab .first") if tab.is_displayed()]
    assert len(shown) == 1
    sheet.find_element(By.LINK_TEXT, "5.10.262 ✗").click()
    shown = [tab for tab in sheet.find_elements(By.CSS_SELECTOR, ".tab .first") if tab.is_displayed()]
    assert [tab.text.split(":")[0] for tab in shown] == ["5.10.262 (5.10.0-46-amd64)"]
    sheet.find_element(By.CSS_SELECTOR, ".close").click()
    assert visible_panels(browser) == []


def test_the_address_alone_opens_a_cell(browser: webdriver.Chrome, site: tuple[str, list[str]]) -> None:
    browser.get(f"{site[0]}/honest.html")
    anchor = (link(browser, "leak", 5).get_attribute("href") or "").split("#")[1]
    browser.get("about:blank")
    browser.get(f"{site[0]}/honest.html#{anchor}")
    assert visible_panels(browser) == ["p" + anchor.split("k")[0]]


def test_hostile_logs_do_nothing_and_are_shown(
    browser: webdriver.Chrome, site: tuple[str, list[str]]
) -> None:
    site[1].clear()
    browser.get(f"{site[0]}/hostile.html")
    assert browser.title.startswith("bpfmatrix ")
    for selector, number in (("script", 1), ("style", 1), ("img", 0), ("link", 0), ("main", 1)):
        assert len(browser.find_elements(By.CSS_SELECTOR, selector)) == number, selector
    assert browser.find_element(By.CSS_SELECTOR, ".grid").is_displayed()
    link(browser, "leak", 5).click()
    sheet = next(s for s in browser.find_elements(By.CSS_SELECTOR, ".sheet") if s.is_displayed())
    assert "<script>document.title='owned'</script>" in sheet.text
    assert "␛]0;owned␇␛[31m␀" in sheet.text
    assert "<U+202E>" in sheet.text
    assert browser.title.startswith("bpfmatrix ")
    assert [path for path in site[1] if path not in ("/hostile.html", "/favicon.ico")] == []


def test_nothing_is_fetched_and_the_policy_is_kept(
    browser: webdriver.Chrome, site: tuple[str, list[str]]
) -> None:
    site[1].clear()
    browser.get(f"{site[0]}/honest.html")
    assert [path for path in site[1] if path not in ("/honest.html", "/favicon.ico")] == []
    messages = [entry["message"] for entry in browser.get_log("browser")]  # type: ignore[no-untyped-call]  # selenium's
    assert [text for text in messages if "Content Security Policy" in text and "favicon" not in text] == []


def test_header_and_first_column_stay_in_view(browser: webdriver.Chrome, site: tuple[str, list[str]]) -> None:
    browser.set_window_size(500, 700)
    browser.get(f"{site[0]}/honest.html")
    frame = browser.find_element(By.CSS_SELECTOR, ".frame")
    browser.execute_script("arguments[0].scrollTo(200, 900)", frame)
    top, left = frame.rect["y"], frame.rect["x"]
    head = browser.find_elements(By.CSS_SELECTOR, ".grid thead th")[4]
    first = browser.find_element(By.XPATH, "//th[@scope='row'][code[text()='static_ptr_leak']]")
    assert abs(head.rect["y"] - top) <= 2
    assert abs(first.rect["x"] - left) <= 2
    browser.set_window_size(1400, 900)


@pytest.mark.parametrize("browser", ["with JavaScript"], indirect=True)
def test_keyboard(browser: webdriver.Chrome, site: tuple[str, list[str]]) -> None:
    browser.get(f"{site[0]}/honest.html")
    link(browser, "leak", 3).send_keys(Keys.ENTER)
    wait = WebDriverWait(browser, 5)
    body = browser.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.ARROW_RIGHT)
    wait.until(lambda driver: driver.current_url.endswith("k3"))
    body.send_keys(Keys.ARROW_LEFT)
    wait.until(lambda driver: driver.current_url.endswith("k2"))
    body.send_keys(Keys.ESCAPE)
    wait.until(lambda driver: visible_panels(driver) == [])


def test_a_cell_of_behaviour_opens_its_checks_and_steps(
    browser: webdriver.Chrome, site: tuple[str, list[str]]
) -> None:
    browser.get(f"{site[0]}/behaving.html")
    cell = link(browser, "counted", 3)
    assert cell.text.split() == ["✓✗", "misbehaves"]
    cell.click()
    assert len(visible_panels(browser)) == 1
    tab = browser.find_element(By.CSS_SELECTOR, ".tab:target")
    (broken,) = tab.find_elements(By.CSS_SELECTOR, ".checks .broken")
    assert broken.text.startswith("✗ hits expected 3, got </pre>")
    steps = tab.find_elements(By.CSS_SELECTOR, ".steps li")
    assert [step.get_attribute("class") for step in steps] == ["", "failed", "not-reached"]
    assert browser.title != "owned"


@pytest.mark.parametrize("browser", ["with JavaScript"], indirect=True)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_contrast_in_both_themes(
    browser: webdriver.Chrome, site: tuple[str, list[str]], theme: str
) -> None:
    """WCAG AA asks for 4.5:1 between a cell's text and its ground."""
    feature = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
    for page, css in (
        *(("honest", css) for css in ("accept", "reject", "not_run")),
        *(("behaving", css) for css in ("behaves", "misbehaves")),
    ):
        browser.get(f"{site[0]}/{page}.html")
        cell = browser.find_element(By.CSS_SELECTOR, f".grid td.{css}")
        ground, ink = (cell.value_of_css_property(name) for name in ("background-color", "color"))
        assert contrast(ground, ink) >= 4.5, (theme, css)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two `rgba(r, g, b, a)` colours after WCAG 2."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(color: str) -> float:
    parts = [float(part) / 255 for part in color[color.index("(") + 1 : -1].split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
