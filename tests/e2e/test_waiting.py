"""Who waits sees how far it is, over a reload and a restart of the hub, is told when all is ready, and reads how it ended.

On the way axe looks at each of the hub's pages.
"""

from __future__ import annotations

import json

import pytest

from tests.e2e.axe import faults
from tests.e2e.browser import Browser
from tests.e2e.centre import delete, jobs, paused

pytestmark = pytest.mark.site

STATES = "return [...document.querySelectorAll('#steps li')].map(each => [each.dataset.step, each.dataset.state || ''])"


def steps(page: Browser) -> dict[str, str]:
    """The state of each step on the waiting page: `done`, `now`, or nothing."""
    return dict(page.driver.execute_script(STATES))


def ask(page: Browser) -> None:
    page.choose(destination="cloud", gpus=1, hours=1)
    page.press_start()
    page.wait(30, "queue", lambda: steps(page).get("queued") == "now" or None)


@pytest.mark.parametrize(("language", "person"), [("ja", "tanaka"), ("en", "suzuki")], ids=["ja", "en"])
def test_waiting_over_a_restart_being_told_and_reading_who_ended_it(visitor, site_with_hub, language, person):
    site, page = site_with_hub, visitor(person, language)
    page.open("/hub/spawn")
    found = {"form": faults(page)}
    with paused(site):
        ask(page)
        page.get("#steps li[data-state=done] time[datetime]")
        found["waiting"] = faults(page)
        page.picture("waiting")
        if language == "ja":
            site.restart_hub()
        else:
            page.driver.refresh()
        page.wait(60, "queue again", lambda: steps(page).get("queued") == "now" or None)
        page.open("/hub/home")
        page.get(".session[data-state=waiting] .stop:enabled")
        found["home, waiting"] = faults(page)
        page.picture("home-waiting")
        page.press("#start")
        page.get("#leave:enabled")

        # Whoever looks elsewhere finds the word in the title. (A browser without a screen never says of itself that nobody looks.)
        unseen = "Object.defineProperty(document, 'visibilityState', { value: 'hidden' })"
        page.driver.execute_script(unseen)
        page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": unseen})

        # Who wanted to leave, and could not, waits on and is told all the same.
        page.driver.set_network_conditions(offline=True, latency=0, throughput=-1)
        page.press("#leave")
        page.get("#problem:not([hidden])")
        page.get("#leave:enabled")
    # Also of what happened while there was no line.
    other = visitor(person, language)
    other.open("/hub/home")
    other.get(".session[data-state=running]", 60)
    page.driver.delete_network_conditions()
    page.wait(60, "title that says so", lambda: page.driver.title.startswith("✔") or None)
    assert set(steps(page).values()) == {"done"}
    page.press("#open")
    page.wait_for_lab()

    page.open("/hub/home")
    page.get(".session[data-state=running] #stop:enabled")
    found["home"] = faults(page)
    page.picture("home")
    page.stop()
    said = page.get(".ending").text
    assert ("ご自身でセッションを終了しました。" if language == "ja" else "You ended the session.") in said
    page.picture("ended")
    found["ended"] = faults(page)
    assert {name: each for name, each in found.items() if each} == {}


def test_one_click_leaves_the_queue_and_no_job_is_left(visitor, site_with_hub):
    page = visitor("tanaka", "en")
    # A node may still be tidying up after somebody else's.
    page.wait(60, "an empty queue", lambda: not jobs(site_with_hub) or None)
    with paused(site_with_hub):
        ask(page)
        page.press("#leave:enabled")
        page.wait(30, "home page", lambda: page.driver.current_url.endswith("/hub/home") or None)
        assert "You left the queue before the session began. Nothing was lost." in page.get(".ending").text
        assert jobs(site_with_hub) == []


def test_who_is_logged_out_while_there_is_no_line_comes_to_the_login(visitor, site_with_hub):
    page = visitor("suzuki", "en")
    with paused(site_with_hub):
        ask(page)
        page.driver.set_network_conditions(offline=True, latency=0, throughput=-1)
        # Chromium cuts no answer that is already coming; a wish that fails makes the page ask anew.
        page.press("#leave:enabled")
        page.wait(30, "word of the cut", lambda: "being restarted" in page.text() or None)
        page.driver.delete_all_cookies()
        page.driver.delete_network_conditions()
        page.get("#login_submit", 30)

        page.log_in("suzuki", site_with_hub.passwords["suzuki"])
        page.open("/hub/home")
        page.press(".session[data-state=waiting] .stop:enabled")
        page.wait(30, "an empty queue", lambda: not jobs(site_with_hub) or None)


def test_an_end_by_the_computing_centre_is_told_where_the_notebook_was(visitor, site_with_hub):
    page = visitor("suzuki", "en")
    page.choose(destination="cloud", gpus=1, hours=1)
    page.press_start()
    page.wait_for_lab()
    [job] = jobs(site_with_hub)
    delete(site_with_hub, job)
    page.wait(60, "the job's end", lambda: not jobs(site_with_hub) or None)

    def told() -> str | None:
        page.open("/hub/user/suzuki/lab")
        found = page.find(".ending")
        return found.text if found else None

    said = page.wait(60, "how it ended", told, every=1.0)
    assert "What was already saved on the cloud is safe; what was only in the memory of a notebook is gone." in said
    page.picture("told")
    assert faults(page) == {}
    assert "Traceback" not in json.dumps(page.text())
