"""The matrix's page in a real headless Chromium: with JavaScript, without it, with hostile logs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import HOSTILE, Site, contrast, emulate, served
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.ui import WebDriverWait

from harness.model import HOST, CaseResult, Run, Verdict, VerdictKind
from harness.record.changes import Change, ChangeKind, Changes
from harness.record.compare import compare_runs
from harness.record.history import Entry, Night
from harness.record.runfile import read
from harness.record.snapshot import snapshot
from harness.report import Beside, page, render
from harness.scenario import Behaviour, CheckResult, Step, StepOp, StepResult

RUN = read(Path(__file__).parent.parent / "unit" / "test_data" / "sample-run.json")
scripted = pytest.mark.parametrize("browser", ["with JavaScript"], indirect=True)


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


def accepted(case: CaseResult) -> CaseResult:
    return dataclasses.replace(case, verdict=Verdict(VerdictKind.ACCEPT))


def later() -> str:
    """The run after nights in which `leak` was accepted on the newest kernel; another change was flaky."""
    leaks = [accepted(c) if (c.variant, c.kernel) == ("leak", "newest") else c for c in RUN.cases]
    before = dataclasses.replace(RUN, id="before", start="2026-01-01T01:00:00Z", cases=tuple(leaks))
    changes = compare_runs(snapshot(before, "2026-01-01"), RUN)
    once = dataclasses.replace(changes.changes[0], case="programs/x/y[z]", kernel="6.1", flaky=True)
    changes = dataclasses.replace(changes, changes=(*changes.changes, once))
    history: dict[str, tuple[Entry, ...]] = {}
    for number, run in enumerate((RUN, before, before)):
        night = Night(number, f"night {number}", f"2026-01-0{number + 1}T01:00:00Z")
        for record in snapshot(run).cases.values():
            name = f"{record.case}@{record.kernel}"
            history[name] = (*history.get(name, ()), Entry(night, record))
    return page(RUN, Beside((changes,), history))


def hostile() -> str:
    """Every text of a run, of a comparison and of a night tries to be markup."""
    cases = tuple(
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
    run = dataclasses.replace(RUN, cases=cases, host=HOSTILE, command=HOSTILE, tools={HOSTILE: HOSTILE})
    first, _, kernel = RUN.cases[0].id.rpartition("@")
    change = Change(ChangeKind.NEW_REJECTION, HOSTILE, kernel, HOSTILE, HOSTILE, regression=True)
    mine = dataclasses.replace(change, case=first)
    changes = Changes(HOSTILE, HOSTILE, (change, mine), notes=(HOSTILE,))
    record = snapshot(RUN).cases[(kernel, first)]
    under = dataclasses.replace(record.under, version=HOSTILE, release=HOSTILE)
    night = Entry(Night(0, HOSTILE, HOSTILE), dataclasses.replace(record, under=under))
    return page(run, Beside((changes,), {RUN.cases[0].id: (night,)}, notes=(HOSTILE,)))


def long() -> str:
    """Forty programs, more than a browser builds before the page has opened."""
    cases = []
    for part in ("a", "b", "c", "d"):
        for case in RUN.cases:
            names = {"program": f"{case.program}_{part}", "id": case.id.replace("[", f"_{part}[")}
            cases.append(dataclasses.replace(case, **names))
    return page(dataclasses.replace(RUN, cases=tuple(cases)), Beside())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    pages = {
        "honest": render(RUN, "html"),
        "later": later(),
        "hostile": hostile(),
        "behaving": render(behaving(), "html"),
        "hosted": render(hosted(), "html"),
        "long": long(),
    }
    with served(tmp_path_factory.mktemp("pages"), pages) as site:
        yield site


def link(browser: webdriver.Chrome, variant: str, column: int) -> WebElement:
    path = f"//tr[th[@scope='row']/code[text()='{variant}']]/td[{column}]/a"
    return browser.find_element(By.XPATH, path)


def shown_rows(browser: webdriver.Chrome) -> list[str]:
    names = browser.execute_script(
        "return [...document.querySelectorAll('.row')].filter(row => row.offsetParent)"
        ".map(row => row.cells[0].textContent)"
    )
    return list(names)


def open_panels(browser: webdriver.Chrome) -> list[str]:
    panels = browser.find_elements(By.CSS_SELECTOR, ".panel")
    return [panel.text.partition("\n")[0].strip("✕ ") for panel in panels if panel.is_displayed()]


def sheet(browser: webdriver.Chrome) -> WebElement:
    """The open panel's; the page learns of a new address a moment after the click."""

    def shown(driver: webdriver.Chrome) -> WebElement | None:
        return next((s for s in driver.find_elements(By.CSS_SELECTOR, ".sheet") if s.is_displayed()), None)

    return WebDriverWait(browser, 10).until(shown)


def closed(browser: webdriver.Chrome) -> bool:
    return bool(WebDriverWait(browser, 10).until(lambda driver: open_panels(driver) == []))


def choose(browser: webdriver.Chrome, field: str, value: str) -> None:
    Select(browser.find_element(By.ID, field)).select_by_value(value)


def messages(browser: webdriver.Chrome) -> list[str]:
    log = browser.get_log("browser")  # type: ignore[no-untyped-call]  # selenium's
    return [entry["message"] for entry in log if "favicon" not in entry["message"]]


def test_the_grid_shows_every_row_and_column(browser: webdriver.Chrome, site: Site) -> None:
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
    assert len(browser.find_elements(By.CSS_SELECTOR, ".row td")) == 340
    assert len(shown_rows(browser)) == 68
    assert link(browser, "leak", 5).text.split() == ["✗", "EINVAL", "load"]
    assert open_panels(browser) == []


def test_a_programs_line_counts_its_variants_by_kernel(browser: webdriver.Chrome, site: Site) -> None:
    browser.get(f"{site[0]}/behaving.html")
    sums = [cell.text for cell in browser.find_elements(By.CSS_SELECTOR, ".heading td")]
    assert sums == ["1–", "1✓✓", "1✓✗", "1–", "1–"]
    second, third = (
        browser.find_element(By.CSS_SELECTOR, f".heading td:nth-child({column})") for column in (3, 4)
    )
    grounds = [cell.value_of_css_property("background-image") for cell in (second, third)]
    assert all("linear-gradient" in ground for ground in grounds)
    assert grounds[0] != grounds[1]


def test_a_cell_opens_log_cause_and_source_and_closes_again(browser: webdriver.Chrome, site: Site) -> None:
    browser.get(f"{site[0]}/honest.html")
    link(browser, "leak", 5).click()
    shown = sheet(browser)
    assert len(open_panels(browser)) == 1
    assert "Unreleased reference id=2 alloc_insn=4" in shown.text
    assert "Release or transfer ownership of the acquired resource on every path" in shown.text
    assert "A reserved record or reference is not released on every path" in shown.text
    assert (
        "bpfmatrix run --kernel newest"
        in shown.find_element(By.CSS_SELECTOR, ".tab:is(:target,.open) .command").text
    )
    assert "bpf_ringbuf_reserve(&rb,8,0)" in shown.find_element(By.CSS_SELECTOR, ".source pre").text
    marks = [mark.text for mark in shown.find_elements(By.CSS_SELECTOR, "mark") if mark.is_displayed()]
    assert "16: (95) exit" in marks
    assert any(mark.startswith(";") for mark in marks)
    tabs = [tab for tab in shown.find_elements(By.CSS_SELECTOR, ".tab .first") if tab.is_displayed()]
    assert len(tabs) == 1
    shown.find_element(By.LINK_TEXT, "5.10.262 ✗").click()
    first = WebDriverWait(browser, 10).until(
        lambda driver: [
            text
            for tab in driver.find_elements(By.CSS_SELECTOR, ".tab .first")
            if tab.is_displayed() and (text := tab.text).startswith("5.10")
        ]
    )
    assert [text.split(":")[0] for text in first] == ["5.10.262 (5.10.0-46-amd64)"]
    sheet(browser).find_element(By.CSS_SELECTOR, ".close").click()
    assert closed(browser)


def test_the_address_alone_opens_a_cell(browser: webdriver.Chrome, site: Site) -> None:
    browser.get(f"{site[0]}/honest.html")
    anchor = (link(browser, "leak", 5).get_attribute("href") or "").split("#")[1]
    browser.get("about:blank")
    browser.get(f"{site[0]}/honest.html#{anchor}")
    assert sheet(browser).is_displayed()
    assert len(open_panels(browser)) == 1
    tab = browser.find_element(By.CSS_SELECTOR, ".tab:is(:target,.open)")
    assert tab.get_attribute("id") == anchor


def last_program(browser: webdriver.Chrome) -> WebElement:
    """The last of forty, once the script has joined it to the first ones, or as it stands without one."""

    def joined(driver: webdriver.Chrome) -> WebElement | None:
        bodies = driver.find_elements(By.CSS_SELECTOR, ".grid tbody")
        return bodies[-1] if len(bodies) == 40 else None

    return WebDriverWait(browser, 10).until(joined)


def test_programs_behind_the_first_ones_are_there_when_the_page_has_opened(
    browser: webdriver.Chrome, site: Site
) -> None:
    browser.get(f"{site[0]}/long.html")
    last_program(browser)
    assert len(browser.find_elements(By.CSS_SELECTOR, ".row td")) == 4 * 340
    grids = browser.execute_script(
        "return [...document.querySelectorAll('.grid')].map(grid => ["
        " grid.getBoundingClientRect().width, grid.tHead.rows[0].cells.length,"
        " grid.querySelector('.cells td').getBoundingClientRect().left])"
    )
    assert len({tuple(grid) for grid in grids}) == 1, (
        "what stands in two tables without a script looks as one"
    )


def test_an_address_behind_the_first_programs_opens_its_cell_and_its_program(
    browser: webdriver.Chrome, site: Site
) -> None:
    browser.get(f"{site[0]}/long.html")
    cell = last_program(browser).find_elements(By.CSS_SELECTOR, ".row a")[-1]
    anchor = (cell.get_attribute("href") or "").split("#")[1]
    program = last_program(browser).get_attribute("id")
    browser.get("about:blank")
    browser.get(f"{site[0]}/long.html#{anchor}")
    assert sheet(browser).is_displayed()
    assert browser.find_element(By.CSS_SELECTOR, ".tab:is(:target,.open)").get_attribute("id") == anchor
    browser.get("about:blank")
    browser.get(f"{site[0]}/long.html#{program}")
    place = last_program(browser).rect["y"] - (browser.execute_script("return window.scrollY") or 0)
    assert 0 <= place < 900


@scripted
def test_a_filter_in_the_address_counts_every_program(browser: webdriver.Chrome, site: Site) -> None:
    browser.get(f"{site[0]}/honest.html?q=leak")
    once = shown_rows(browser)
    browser.get(f"{site[0]}/long.html?q=leak")
    assert sorted(shown_rows(browser)) == sorted(4 * once)
    assert browser.find_element(By.ID, "shown").text == f"{4 * len(once)} of 272 rows"
    browser.get(f"{site[0]}/long.html?kernel=6.1")
    assert browser.find_element(By.ID, "shown").text == "272 rows"


def test_hostile_words_do_nothing_and_are_shown(browser: webdriver.Chrome, site: Site) -> None:
    site[1].clear()
    browser.get(f"{site[0]}/hostile.html")
    assert "</noscript>" in browser.find_element(By.CSS_SELECTOR, ".since").text
    anchor = browser.find_element(By.CSS_SELECTOR, ".since li a").get_attribute("href") or ""
    link(browser, "leak", 5).click()
    assert browser.title.startswith("bpfmatrix ")
    for selector, number in (("script", 2), ("style", 1), ("img", 0), ("link", 0), ("main", 1)):
        assert len(browser.find_elements(By.CSS_SELECTOR, selector)) == number, selector
    assert browser.find_element(By.CSS_SELECTOR, ".grid").is_displayed()
    assert "<script>document.title='owned'</script>" in sheet(browser).text
    assert "␛]0;owned␇␛[31m␀" in sheet(browser).text
    assert "<U+202E>" in sheet(browser).text
    source = browser.page_source
    assert not any(char in source for char in "\x1b\x9b\u202e")
    browser.get("about:blank")
    browser.get(anchor)
    assert "</noscript>" in sheet(browser).find_element(By.CSS_SELECTOR, ".tab:is(:target,.open) .last").text
    assert browser.title.startswith("bpfmatrix ")
    assert {path for path in site[1] if path != "/favicon.ico"} == {"/hostile.html"}


def test_nothing_is_fetched_and_the_policy_is_kept(browser: webdriver.Chrome, site: Site) -> None:
    site[1].clear()
    messages(browser)
    browser.get(f"{site[0]}/later.html?q=leak&kernel=newest&changed=1")
    link(browser, "leak", 5).click()
    assert sheet(browser).is_displayed()
    assert {path.partition("?")[0] for path in site[1]} <= {"/later.html", "/favicon.ico"}
    resources = browser.execute_script(
        "return performance.getEntriesByType('resource').map(each => each.name)"
    )
    assert [name for name in resources if "favicon" not in name] == []
    assert messages(browser) == []


def test_header_and_first_column_stay_in_view(browser: webdriver.Chrome, site: Site) -> None:
    browser.set_window_size(500, 700)
    browser.get(f"{site[0]}/honest.html")
    frame = browser.find_element(By.CSS_SELECTOR, ".frame")
    browser.execute_script("arguments[0].scrollTo(50, 900)", frame)
    assert browser.execute_script("return [arguments[0].scrollLeft, arguments[0].scrollTop]", frame) == [
        50,
        900,
    ]
    head = browser.find_elements(By.CSS_SELECTOR, ".grid thead th")[4]
    rows = browser.find_elements(By.CSS_SELECTOR, ".row th")
    top, left = frame.rect["y"], frame.rect["x"]
    first = next(row for row in rows if row.rect["y"] > top + 60)
    assert head.rect["y"] >= top
    assert head.rect["y"] + head.rect["height"] <= top + 60
    assert abs(first.rect["x"] - left) <= 2
    at = (int(head.rect["x"]) + 5, int(head.rect["y"]) + 8)
    over = browser.execute_script(
        "return document.elementFromPoint(...arguments).closest('thead') !== null", *at
    )
    assert over
    browser.set_window_size(1400, 900)


def test_filters_are_there_only_with_javascript(
    browser: webdriver.Chrome, site: Site, request: pytest.FixtureRequest
) -> None:
    browser.get(f"{site[0]}/honest.html")
    scripts_run = "without" not in request.node.callspec.params["browser"]
    assert browser.find_element(By.ID, "bar").is_displayed() is scripts_run
    assert browser.find_element(By.ID, "theme").is_displayed() is scripts_run


def test_changes_are_on_top_and_open_their_cells(browser: webdriver.Chrome, site: Site) -> None:
    browser.get(f"{site[0]}/later.html")
    since = browser.find_element(By.CSS_SELECTOR, ".since")
    assert since.text.startswith("Since 2026-01-01")
    assert since.rect["y"] < browser.find_element(By.CSS_SELECTOR, ".grid").rect["y"]
    titles = [each.text for each in since.find_elements(By.TAG_NAME, "summary")]
    assert titles == [
        "▼ 1 worse",
        "~ 1 flaky: happened once, and not again in a fresh guest",
        "◆ 1 different, but not worse",
    ]
    cell = link(browser, "leak", 5)
    assert cell.text.split() == ["✗", "EINVAL", "load", "▼"]
    since.find_element(By.LINK_TEXT, "newest").click()
    assert sheet(browser).is_displayed()
    tab = browser.find_element(By.CSS_SELECTOR, ".tab:is(:target,.open)")
    assert "new rejection since 2026-01-01: accept → reject at load with EINVAL" in tab.text
    nights = [each.text for each in tab.find_elements(By.CSS_SELECTOR, ".history li")]
    assert [night.split()[0] for night in nights] == ["✗", "✓", "✗"]
    assert "2026-01-02 – 2026-01-03, 2 nights · 7.3.4" in nights[1]
    assert [night.endswith("changed") for night in nights] == [True, True, False]


@scripted
@pytest.mark.parametrize(
    ("field", "value", "rows"),
    [
        (
            "verdict",
            "reject",
            lambda run: {c.variant for c in run.cases if c.verdict.kind is VerdictKind.REJECT},
        ),
        ("family", "functions", lambda run: {c.variant for c in run.cases if "/functions/" in c.program}),
        ("cause", "bounds", lambda run: {c.variant for c in run.cases if c.verdict.cause == "bounds"}),
    ],
)
def test_a_filter_shows_what_it_says(  # type: ignore[no-untyped-def]  # a lambda's
    browser: webdriver.Chrome, site: Site, field: str, value: str, rows
) -> None:
    browser.get(f"{site[0]}/honest.html")
    options = [option.get_attribute("value") for option in Select(browser.find_element(By.ID, field)).options]
    if value not in options:
        value = str(options[1])
        rows = lambda run: {c.variant for c in run.cases if c.verdict.cause == value}  # noqa: E731
    choose(browser, field, value)
    there = shown_rows(browser)
    assert set(there) == rows(RUN)
    assert 0 < len(there) < 68
    browser.get(browser.current_url)
    assert shown_rows(browser) == there
    assert f"{field}={value}" in browser.current_url


@scripted
def test_a_link_reproduces_the_view(browser: webdriver.Chrome, site: Site) -> None:
    browser.get(f"{site[0]}/honest.html?q=leak&kernel=newest&verdict=reject")
    rows = shown_rows(browser)
    assert "leak" in rows
    visible = [
        each.text for each in browser.find_elements(By.CSS_SELECTOR, ".version") if each.is_displayed()
    ]
    assert visible == ["7.3.4"]
    assert browser.find_element(By.ID, "shown").text == f"{len(rows)} of 68 rows"
    browser.find_element(By.ID, "q").send_keys(" nonsense")
    assert shown_rows(browser) == []
    assert browser.find_element(By.ID, "none").is_displayed()
    assert "q=leak+nonsense" in browser.current_url
    browser.find_element(By.ID, "reset").click()
    assert len(shown_rows(browser)) == 68
    assert "?" not in browser.current_url
    browser.get(f"{site[0]}/honest.html?kernel=5.10")
    assert browser.find_element(By.ID, "shown").text == "68 rows"
    browser.get(f"{site[0]}/honest.html?kernel=no-such&verdict=%3Cb%3E&family=x")
    assert len(shown_rows(browser)) == 68


def hosted() -> Run:
    """A run with a row of the host."""
    host = dataclasses.replace(
        RUN.cases[0],
        id="programs/userspace/x[gxx]@host",
        program="programs/userspace/x",
        variant="gxx",
        kernel=HOST,
    )
    return dataclasses.replace(RUN, cases=(*RUN.cases, host))


@scripted
def test_rows_of_the_host_are_apart_and_filtered_too(browser: webdriver.Chrome, site: Site) -> None:
    browser.get(f"{site[0]}/hosted.html")
    title = browser.find_element(By.CSS_SELECTOR, "h2.part")
    assert len(shown_rows(browser)) == 69
    choose(browser, "kernel", "host")
    assert shown_rows(browser) == ["gxx"]
    assert browser.find_element(By.ID, "shown").text == "1 of 69 rows"
    choose(browser, "kernel", "5.10")
    assert "gxx" not in shown_rows(browser)
    choose(browser, "kernel", "")
    browser.find_element(By.ID, "q").send_keys("leak")
    assert "leak" in shown_rows(browser)
    assert not title.is_displayed()


@scripted
def test_changed_only_shows_what_changed(browser: webdriver.Chrome, site: Site) -> None:
    browser.get(f"{site[0]}/later.html")
    browser.find_element(By.ID, "changed").click()
    assert shown_rows(browser) == ["leak"]
    assert "changed=1" in browser.current_url
    dim = browser.find_elements(By.CSS_SELECTOR, ".row td.dim")
    assert len([cell for cell in dim if cell.is_displayed()]) == 4
    browser.get(f"{site[0]}/honest.html")
    assert not browser.find_element(By.ID, "changed").is_enabled()


@scripted
def test_words_of_logs_are_found_when_asked_for(browser: webdriver.Chrome, site: Site) -> None:
    browser.get(f"{site[0]}/honest.html?q=alloc_insn%3D4")
    assert shown_rows(browser) == []
    browser.find_element(By.ID, "logs").click()
    assert "leak" in shown_rows(browser)
    browser.find_element(By.ID, "q").clear()
    browser.find_element(By.ID, "q").send_keys("reserve(&rb,8,0)")
    assert "leak" in shown_rows(browser)


@scripted
def test_signs_of_logs_are_found_as_they_are_read(browser: webdriver.Chrome, site: Site) -> None:
    """Panels are ASCII: a sign of a log or a quote in a command stands there as a number."""
    browser.get(f"{site[0]}/behaving.html?logs=1&q=%27programs/")
    assert shown_rows(browser) == ["counted"]
    browser.get(f"{site[0]}/hostile.html?logs=1&q=%E2%90%9B%5D0%3Bowned")
    assert shown_rows(browser) != []


@scripted
def test_what_a_filter_leaves_is_drawn_to_its_end(browser: webdriver.Chrome, site: Site) -> None:
    browser.get(f"{site[0]}/honest.html")
    browser.execute_script(
        "const field = document.getElementById('verdict'); field.value = 'reject';"
        "field.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    wait = WebDriverWait(browser, 5)
    wait.until(lambda driver: not driver.find_elements(By.CSS_SELECTOR, ".later"))
    shown = "[...document.querySelectorAll('.grid tbody:not([hidden])')]"
    last = browser.execute_script(f"return {shown}.at(-1)")
    assert last.is_displayed()
    assert last.value_of_css_property("content-visibility") == "auto"


@scripted
def test_programs_fold_and_the_address_tells(browser: webdriver.Chrome, site: Site) -> None:
    browser.get(f"{site[0]}/honest.html")
    fold = browser.find_element(By.CSS_SELECTOR, ".fold")
    assert fold.get_attribute("aria-expanded") == "true"
    before = len(shown_rows(browser))
    fold.click()
    after = len(shown_rows(browser))
    assert after < before
    assert "turned=" in browser.current_url
    browser.get(browser.current_url)
    assert len(shown_rows(browser)) == after
    browser.find_element(By.ID, "all").click()
    assert shown_rows(browser) == []
    browser.find_element(By.ID, "q").send_keys("leak")
    assert "leak" in shown_rows(browser)


@scripted
def test_keyboard(browser: webdriver.Chrome, site: Site) -> None:
    browser.get(f"{site[0]}/honest.html")
    wait = WebDriverWait(browser, 5)
    body = browser.find_element(By.TAG_NAME, "body")
    body.send_keys("/")
    assert browser.switch_to.active_element.get_attribute("id") == "q"
    browser.switch_to.active_element.send_keys("leak")
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert "fold" in (browser.switch_to.active_element.get_attribute("class") or "")
    cell = link(browser, "leak", 3)
    row = (cell.get_attribute("href") or "").split("#")[1].split("k")[0]
    cell.send_keys(Keys.ARROW_DOWN)
    browser.switch_to.active_element.send_keys(Keys.ARROW_UP)
    focused = browser.switch_to.active_element
    assert focused == cell
    assert focused.value_of_css_property("outline-style") == "solid"
    focused.send_keys(Keys.ARROW_RIGHT)
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    wait.until(lambda driver: driver.current_url.endswith(f"#{row}k3"))
    assert sheet(browser).is_displayed()
    assert len(open_panels(browser)) == 1
    browser.switch_to.active_element.send_keys(Keys.ARROW_LEFT)
    wait.until(lambda driver: driver.current_url.endswith(f"#{row}k2"))
    browser.switch_to.active_element.send_keys(Keys.TAB * 30)
    inside = browser.execute_script("return document.activeElement.closest('.sheet') !== null")
    assert inside
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert closed(browser)
    assert browser.switch_to.active_element == cell
    assert browser.current_url.endswith("?q=leak")


def test_a_cell_of_behaviour_opens_its_checks_and_steps(browser: webdriver.Chrome, site: Site) -> None:
    browser.get(f"{site[0]}/behaving.html")
    cell = link(browser, "counted", 3)
    assert cell.text.split() == ["✓✗", "misbehaves"]
    cell.click()
    assert sheet(browser).is_displayed()
    assert len(open_panels(browser)) == 1
    tab = browser.find_element(By.CSS_SELECTOR, ".tab:is(:target,.open)")
    (broken,) = tab.find_elements(By.CSS_SELECTOR, ".checks .broken")
    assert broken.text.startswith("✗ hits expected 3, got </pre>")
    steps = tab.find_elements(By.CSS_SELECTOR, ".steps li")
    assert [step.get_attribute("class") for step in steps] == ["", "failed", "not-reached"]
    assert browser.title != "owned"


@scripted
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_contrast_in_both_themes(browser: webdriver.Chrome, site: Site, theme: str) -> None:
    """WCAG AA asks for 4.5:1 between a cell's text and its ground."""
    emulate(browser, theme=theme)
    for name, css in (
        *(("honest", f".row td.{css}") for css in ("accept", "reject", "not_run")),
        *(("behaving", f".row td.{css}") for css in ("behaves", "misbehaves")),
        ("later", ".row td.worse u"),
        ("later", ".flaky .sign"),
    ):
        browser.get(f"{site[0]}/{name}.html")
        cell = browser.find_element(By.CSS_SELECTOR, css)
        ground, ink = (cell.value_of_css_property(name) for name in ("background-color", "color"))
        assert contrast(ground, ink) >= 4.5, (theme, css)
    emulate(browser)


@scripted
def test_the_theme_can_be_chosen_and_is_kept(browser: webdriver.Chrome, site: Site) -> None:
    emulate(browser, theme="light")
    browser.get(f"{site[0]}/honest.html")

    def paper() -> str:
        return str(browser.find_element(By.TAG_NAME, "body").value_of_css_property("background-color"))

    light, button = paper(), browser.find_element(By.ID, "theme")
    assert button.text == "◐ auto"
    button.click()
    assert (button.text, paper()) == ("☀ light", light)
    button.click()
    dark = paper()
    assert button.text == "☾ dark"
    assert dark != light
    browser.get(f"{site[0]}/honest.html")
    assert paper() == dark
    browser.find_element(By.ID, "theme").click()
    assert paper() == light
    emulate(browser)


@scripted
def test_printed_it_is_light_whole_and_without_controls(browser: webdriver.Chrome, site: Site) -> None:
    browser.get(f"{site[0]}/later.html")
    emulate(browser, "print", "dark")
    assert not browser.find_element(By.ID, "bar").is_displayed()
    assert (
        browser.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")
        == "rgba(255, 255, 255, 1)"
    )
    frame = browser.find_element(By.CSS_SELECTOR, ".frame")
    assert frame.value_of_css_property("overflow") == "visible"
    body = browser.find_elements(By.CSS_SELECTOR, ".grid tbody")[-1]
    assert body.value_of_css_property("content-visibility") == "visible"
    assert len(shown_rows(browser)) == 68
    emulate(browser)


@pytest.mark.parametrize("name", ["honest", "later", "hostile", "behaving"])
def test_on_a_phone_nothing_is_wider_than_the_screen(
    browser: webdriver.Chrome, site: Site, name: str
) -> None:
    size = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(f"{site[0]}/{name}.html")
    assert browser.execute_script("return document.documentElement.scrollWidth") == 360
    browser.find_element(By.CSS_SELECTOR, ".row td a").click()
    assert sheet(browser).is_displayed()
    assert browser.execute_script("return document.documentElement.scrollWidth") == 360
    assert sheet(browser).rect["width"] == 360
    assert browser.execute_script("return arguments[0].scrollWidth", sheet(browser)) == 360
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@scripted
def test_the_address_keeps_filters_when_the_page_is_a_file(browser: webdriver.Chrome, tmp_path: Path) -> None:
    file = tmp_path / "matrix.html"
    file.write_text(render(RUN, "html"), encoding="utf-8")
    browser.get(f"file://{file}")
    browser.find_element(By.ID, "q").send_keys("leak")
    assert "leak" in shown_rows(browser)
    assert browser.current_url.endswith("?q=leak")
