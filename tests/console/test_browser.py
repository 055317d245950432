"""The console in Chromium: nothing that axe finds fault with, the keyboard alone is enough, and three groups in ten minutes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.console.month import fill
from tests.e2e.axe import faults
from tests.e2e.browser import Browser

pytestmark = pytest.mark.slow

PAGES = ("", "sessions", "people", "rules", "usage", "audit", "statements", "nodes")
PICTURED = {"", "sessions", "people", "rules", "usage"}
LIMIT_S = 600.0
"""The ten minutes of the guide."""


@pytest.fixture(scope="module", params=["ja", "en"])
def admin_page(request, place, pictures) -> Iterator[Browser]:
    page = Browser(place.hub.url, request.param, pictures)
    page.log_in("admin", "pw")
    yield page
    page.close()


@pytest.fixture(scope="module", autouse=True)
def _month(place):
    fill(place.database, time.time())


def picture(page: Browser, name: str) -> None:
    """The whole page, as far as a picture in a guide may be long."""
    width, height = 1360, page.driver.execute_script("return document.documentElement.scrollHeight")
    page.driver.set_window_size(width, min(max(height + 150, 500), 1350))
    page.picture(name)
    page.driver.set_window_size(width, 900)


def submit(page: Browser, selector: str) -> None:
    """Press a button by the keyboard, and wait for the page that follows."""
    old = page.driver.find_element(By.TAG_NAME, "html")
    page.get(selector).send_keys(Keys.ENTER)
    page.wait(20, "next page", lambda: page.driver.find_element(By.TAG_NAME, "html") != old or None)


def group(page: Browser, name: str, members: tuple[str, ...]) -> None:
    """As the guide says: make a group, put people in."""
    page.open("/services/quota/people")
    page.get("#new-group").send_keys(name)
    submit(page, "form[action$='act/createGroup'] button")
    for member in members:
        page.get(f"#join-{name}").send_keys(member)
        submit(page, f"form[action$='act/joinGroup']:has(#join-{name}) button:not([formaction])")


def rule(page: Browser, scope: str, subject: str, **fields: str) -> str:
    """As the guide says: describe a rule, see what it would have refused, let it count. What the preview said."""
    page.open("/services/quota/rules")
    page.get("#subject").send_keys(subject)
    for field, value in {"scope": scope, **fields}.items():
        place = page.get(f"form[action$='preview/rule'] [name={field}]")
        if place.tag_name == "select":
            place.find_element(By.CSS_SELECTOR, f"option[value='{value}']").click()
        elif place.get_attribute("type") == "checkbox":
            place.send_keys(Keys.SPACE)
        else:
            place.send_keys(value)
    submit(page, "form[action$='preview/rule'] button")
    said = page.get("#summary").text
    submit(page, "#confirm")
    assert page.find("#done")
    return said


def test_an_administrator_sets_up_three_groups_with_different_rules_in_ten_minutes(place, pictures):
    page = Browser(place.hub.url, "en", pictures)
    try:
        began = time.monotonic()
        page.log_in("admin", "pw")
        for name, members in (("physicians", ("tanaka", "suzuki")), ("residents", ("kato", "ito")), ("physicists", ("abe",))):
            group(page, name, members)
        rule(page, "everyone", "", kind="sessions", limit="2")
        rule(page, "group", "physicians", kind="gpus", limit="2")
        rule(page, "group", "physicians", kind="gpu-hours", limit="80", window="week")
        said = rule(page, "group", "residents", kind="gpu-hours", limit="200", window="week", shared="true")
        rule(page, "group", "residents", kind="opening", openings="mon-fri 18:00-08:00, sat-sun 00:00-24:00")
        rule(page, "group", "physicists", kind="hours", limit="24")
        rule(page, "group", "physicists", kind="destinations", destinations="cloud")
        assert time.monotonic() - began < LIMIT_S
        assert said == "In the last 30 days this rule would have refused 0 of 60 sessions."
        whom = [each.text.partition(":")[0] for each in page.driver.find_elements(By.CSS_SELECTOR, "#rules td:nth-of-type(1)")]
        assert whom == [
            "everyone", *["each member of the group physicians"] * 2, "the group residents together",
            "each member of the group residents", *["each member of the group physicists"] * 2,
        ]  # fmt: skip
    finally:
        page.close()
    standing = place.call("GET", "/me", place.token("abe", "read:users:groups!user")).json()
    assert {each["rule"]["kind"] for each in standing["left"]} == {"sessions", "hours", "destinations"}


@pytest.mark.parametrize("where", PAGES)
def test_axe_finds_nothing(admin_page, where):
    admin_page.open(f"/services/quota/{where}")
    for summary in admin_page.driver.find_elements(By.TAG_NAME, "summary"):
        summary.send_keys(Keys.ENTER)  # what is folded is looked at too
    assert faults(admin_page) == {}
    if where in PICTURED:
        admin_page.open(f"/services/quota/{where}")
        picture(admin_page, f"console-{where or 'own'}")


def test_axe_finds_nothing_in_a_preview_nor_in_a_refusal(admin_page):
    page = admin_page
    page.open("/services/quota/rules")
    page.get("#scope option[value='everyone']").click()
    page.get("#kind option[value='gpus']").click()
    page.get("#limit").send_keys("1")
    submit(page, "form[action$='preview/rule'] button")
    assert page.find("#preview")
    assert faults(page) == {}
    picture(page, "console-preview")
    page.open("/services/quota/nothing")
    assert page.find("#problem")
    assert faults(page) == {}


def test_the_keyboard_alone_reaches_everything_in_order(admin_page):
    page = admin_page
    page.open("/services/quota/sessions")
    reached = []
    for _ in range(60):
        page.driver.switch_to.active_element.send_keys(Keys.TAB)
        now = page.driver.switch_to.active_element
        if now.tag_name == "body":
            break
        reached.append(now)
    tags = [each.tag_name for each in reached]
    assert reached[0].get_attribute("class") == "skip"
    assert tags.count("summary") == len(page.driver.find_elements(By.TAG_NAME, "summary")) >= 3
    outline = "return getComputedStyle(arguments[0]).outlineStyle"
    reached[-1].send_keys(Keys.SHIFT)
    assert page.driver.execute_script(outline, page.driver.switch_to.active_element) != "none"
    first = next(each for each in reached if each.tag_name == "summary")
    first.send_keys(Keys.ENTER)
    box = page.get("form[action$='act/writeToSession'] input[name=text]")
    box.send_keys("x")
    box.send_keys(Keys.ENTER)
    assert page.get("#done").text


def test_an_idle_holder_of_gpus_stands_out(admin_page):
    admin_page.open("/services/quota/sessions")
    assert [each.text for each in admin_page.driver.find_elements(By.CSS_SELECTOR, "td .idle")] == ["1 %"]


def test_the_browser_asked_nobody_else_and_complained_of_nothing(admin_page, place):
    assert admin_page.hosts() == {place.hub.url.removeprefix("http://")}
    complaints = [
        entry["message"] for entry in admin_page.driver.get_log("browser") if "Content Security Policy" in entry["message"]
    ]
    assert complaints == []
