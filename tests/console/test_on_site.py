"""The console at a site: a real session is seen, written to, and ended by somebody who can't enter it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from testbed.site import Testbed
from tests.e2e.browser import Browser

pytestmark = [pytest.mark.site, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def people(site_with_hub: Testbed, pictures) -> Iterator[tuple[Browser, Browser]]:
    """Tanaka in a session, and the administrator at the console."""
    site = site_with_hub
    tanaka, admin = (Browser(site.url, "en", pictures) for _ in range(2))
    try:
        tanaka.log_in("tanaka", site.passwords["tanaka"])
        tanaka.choose(destination="cloud", gpus=1, hours=1)
        tanaka.press_start()
        tanaka.wait_for_lab()
        admin.log_in("admin", site.passwords["admin"])
        admin.open("/services/quota/sessions")
        yield tanaka, admin
    finally:
        for page in (tanaka, admin):
            page.close()


def act(page: Browser, operation: str, **fields: str) -> str:
    """Unfold what can be done, fill the form and send it by the keyboard; what the page then says."""
    page.open("/services/quota/sessions")
    page.get("#sessions summary").send_keys(Keys.ENTER)
    form = f"form[action$='act/{operation}']"
    for name, value in fields.items():
        field = page.get(f"{form} input[name={name}]")
        field.clear()
        field.send_keys(value)
    old = page.driver.find_element(By.TAG_NAME, "html")
    page.get(f"{form} button").send_keys(Keys.ENTER)
    page.wait(60, "next page", lambda: page.driver.find_element(By.TAG_NAME, "html") != old or None)
    return page.text()


def told_of(row: str) -> str:
    """A row of the table without its node."""
    return re.sub(r" cx0\d", "", row)


def test_who_runs_what_and_where_is_seen(people):
    _, admin = people

    def told() -> str | None:
        admin.open("/services/quota/sessions")
        row = admin.get("#sessions tbody tr").text.replace("\n", " ")
        return row if "cx0" in row else None

    assert told_of(admin.wait(30, "node of the session", told, every=1)).startswith("tanaka running ct-link cloud 1")
    admin.picture("console-site")


def test_a_site_whose_batch_system_forbids_it_says_that_nothing_was_extended(people):
    _, admin = people
    said = act(admin, "extendSession", minutes="30")
    assert "does not let the hub extend sessions" in said


def test_a_message_reaches_the_session(people, site_with_hub):
    """By the database and the session's next pulse; the Lab shows it."""
    tanaka, admin = people
    assert "will be shown" in act(admin, "writeToSession", text="Maintenance at noon <b>today</b>.")
    tanaka.wait(60, "message in the Lab", lambda: "Maintenance at noon <b>today</b>." in tanaka.text() or None, every=1)
    tanaka.picture("console-message")


def test_an_administrator_ends_a_session_and_enters_none(people, site_with_hub):
    tanaka, admin = people
    admin.open("/user/tanaka/lab")
    assert admin.find("#jp-main-dock-panel") is None
    assert "may not" in admin.text()
    assert "is being ended" in act(admin, "endSession")
    tanaka.open("/hub/home")
    end = time.monotonic() + 30
    while "running" in tanaka.text() and time.monotonic() < end:
        tanaka.open("/hub/home")
    assert "is running" not in tanaka.text()
    admin.open("/services/quota/audit?user=tanaka&limit=1000")
    events = [each.text for each in admin.driver.find_elements(By.CSS_SELECTOR, "#audit th[scope=row]")]
    assert "session-end-ordered" in events
