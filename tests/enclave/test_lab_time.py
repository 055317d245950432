"""Time left in the Lab, in Chromium: in sight, warned of, said aloud, and documents saved before it is too late."""

from __future__ import annotations

import json
import time
from pathlib import Path

import aiohttp
import msgspec
import pytest
from selenium.webdriver.common.keys import Keys

from enclave.messages import Notice
from enclave.storage import State, Told, tell
from enclave.timeleft import View
from enclave.wire import CONTENT_SECURITY_POLICY
from phrases import translator
from spawner.reasons import DEMONSTRATION
from spawner.timing import clock, storage_words
from tests.e2e.browser import Browser
from tests.enclave.lab import BASE, OWN, Lab

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

SLOW = "import time; time.sleep(60)"
TYPED = "typed = 'and not saved by hand'"
UP = State(
    version=1, line="up", paused_since=None, read=1_200_000_000, written=40_000_000, read_rate=85_000_000, write_rate=0, cuts=1
)


def gone() -> Told:
    """Nothing that the page could show."""
    raise RuntimeError("the session has ended")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    found = Lab(tmp_path_factory.mktemp("lab"), language="ja", notice=translator("ja")(DEMONSTRATION))
    found.time_left.clock = clock("ja")
    yield found
    found.close()


@pytest.fixture(scope="module")
def browser(lab):
    cell = {"cell_type": "code", "execution_count": None, "id": "a", "metadata": {}, "source": SLOW, "outputs": []}
    kernel = {"name": "ct", "display_name": "CT", "language": "python"}
    notebook = {"cells": [cell], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    (lab.folder / "cloud" / OWN / "work.ipynb").write_text(json.dumps(notebook))
    found = Browser(lab.url, "ja", Path(lab.folder / "pictures"))
    found.open(f"{BASE}lab/tree/{OWN}/work.ipynb")
    found.get(".jp-Notebook .jp-CodeCell .cm-content", 60)
    yield found
    found.close()


def look_again(browser: Browser) -> None:
    """The page asks now, and not at its next turn, as it does when somebody comes back to it."""
    browser.driver.execute_script("document.dispatchEvent(new Event('visibilitychange'))")


def free_of_the_notice(browser: Browser) -> bool:
    """Whether no word in the head lies under the notice that the page has in its corner."""
    return bool(
        browser.driver.execute_script("""
            const corner = getComputedStyle(document.body, "::after");
            const words = document.querySelector("#renkei-time-said p").getBoundingClientRect();
            const wide = ["width", "paddingLeft", "paddingRight", "right"].reduce((sum, each) => sum + parseFloat(corner[each]), 0);
            return corner.content !== "none" && words.right <= innerWidth - wide;
        """)
    )


async def ask(http: aiohttp.ClientSession, url: str, **how: object) -> tuple[int, bytes]:
    async with http.get(f"{url}renkei/time", **how) as answer:
        assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        return answer.status, await answer.read()


def test_who_is_not_logged_in_does_not_hear_how_much_time_is_left(lab):
    async def stranger(_http, url):
        async with aiohttp.ClientSession() as http:
            return await ask(http, url), await ask(http, url, headers={"Cookie": "jupyterhub-session-id=x"})

    assert [status for status, _ in lab.browse(stranger)] == [403, 403]
    status, body = lab.browse(ask)
    assert status == 200
    assert msgspec.json.decode(body, type=View).left == "残り 2 時間 0 分"


def test_the_time_left_is_in_sight(browser):
    left = browser.get("#renkei-time-left", 60)
    browser.wait(30, "the time", lambda: left.text.startswith("残り 2 時間"))
    assert left.get_attribute("role") == "timer"
    assert not browser.driver.find_element("id", "renkei-time-said").is_displayed()


def test_a_cut_of_the_storage_is_in_sight_and_said_once(lab, browser):
    words = storage_words("ja")
    lab.time_left.storage = lambda: tell(UP, words, 1000.0)
    look_again(browser)
    quiet, said = browser.get("#renkei-storage", 30), browser.driver.find_element("id", "renkei-time-said")
    browser.wait(30, "the rates", lambda: "読み込み 1.2 GB（毎秒 85 MB）" in quiet.text)
    assert not said.is_displayed()

    paused = msgspec.structs.replace(UP, line="paused", paused_since=870.0)
    lab.time_left.storage = lambda: tell(paused, words, 1000.0)
    look_again(browser)
    browser.wait(30, "the cut", lambda: said.text == "ストレージが一時停止しています（2:10 経過）。作業内容は保持されています。")
    assert said.size["height"] < 100, "its words, not the page"
    aloud = browser.get(".renkei-time-aloud")
    assert "2:10" in (aloud.get_attribute("textContent") or "")
    # The page asks again by itself, sooner than otherwise; a screen reader hears of each cut once.
    lab.time_left.storage = lambda: tell(paused, words, 1003.0)
    browser.wait(10, "the next seconds", lambda: "2:13" in said.text)
    assert "2:10" in (aloud.get_attribute("textContent") or "")
    browser.picture("storage-paused")

    lab.time_left.storage = lambda: tell(UP, words, 1010.0)
    browser.wait(10, "the line", lambda: not said.is_displayed())
    lab.time_left.storage = Told


def test_a_session_that_answers_no_more_takes_its_last_words_back(lab, browser):
    """That the storage is paused and the work is kept, say: a session that has ended keeps nothing."""
    words = storage_words("ja")
    paused = msgspec.structs.replace(UP, line="paused", paused_since=900.0)
    lab.time_left.storage = lambda: tell(paused, words, 1003.0)
    look_again(browser)
    said = browser.get("#renkei-time-said", 30)
    browser.wait(30, "the pause", lambda: "作業内容は保持されています" in said.text)

    lab.time_left.storage = gone
    for _ in range(2):
        look_again(browser)
        time.sleep(1)
    browser.wait(30, "the silence", lambda: said.text.startswith("このセッションが応答しません。"))
    assert free_of_the_notice(browser)
    assert "保持されています" not in browser.text()
    assert browser.driver.find_element("id", "renkei-time-left").text == ""

    lab.time_left.storage = Told
    look_again(browser)
    browser.wait(30, "the session again", lambda: not said.is_displayed())
    assert "残り" in browser.driver.find_element("id", "renkei-time-left").text


def test_before_the_end_the_person_is_warned_aloud_and_the_work_is_saved(lab, browser):
    lab.time_left.notices = (Notice(id="n1", text="<b>停電</b>のため18時に停止します。"),)
    lab.time_left.deadline = time.time() + 1700
    editor = browser.get(".jp-Notebook .jp-CodeCell .cm-content")
    editor.click()
    editor.send_keys(Keys.END, Keys.ENTER, TYPED)
    look_again(browser)
    said = browser.get("#renkei-time-said", 30)
    browser.wait(30, "the warning", lambda: "あと 29 分で終了" in said.text)
    assert "<b>停電</b>のため18時" in said.text
    assert said.size["height"] > 40, "two lines, and the notebook below them"
    browser.picture("time-warning")
    on_disk = lab.folder / "cloud" / OWN / "work.ipynb"
    assert TYPED not in on_disk.read_text()

    lab.time_left.deadline = time.time() + 290
    look_again(browser)
    browser.wait(30, "the last warning", lambda: "renkei-mod-urgent" in (said.get_attribute("class") or ""))
    browser.wait(30, "saved", lambda: TYPED in on_disk.read_text())
    aloud = browser.get(".renkei-time-aloud")
    assert aloud.get_attribute("role") == "alert"
    assert "保存しています" in (aloud.get_attribute("textContent") or "")
    assert "停電" not in (aloud.get_attribute("textContent") or "")
    browser.picture("time-last")
