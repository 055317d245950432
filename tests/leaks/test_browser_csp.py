"""What leaves the browser when a notebook's page tries: under the doorway's policy alone, and in a browser that the clinic manages.

The page is a hostile server's behind a real doorway; every name leads to canaries (`browser_attempts`).
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.leaks.browser_attempts import ATTEMPTS, ROOT, Found, attempts

POLICY = json.loads((ROOT / "sites" / "browser-policy" / "renkei.json").read_text())

NAVIGATION = {"window.open", "click in a new tab", "click", "location", "meta refresh"}
"""Leaves the page; what the address says arrives."""
NAMES = {"iframe", "preconnect", "dns-prefetch", "form"}
"""Stopped, but the name of the other host is looked up before that: it arrives at whoever owns the domain."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]


@pytest.fixture(scope="module")
def unmanaged() -> Found:
    return attempts()


@pytest.fixture(scope="module")
def managed() -> Found:
    # Without the one that would keep chromedriver out as well.
    policy = {name: value for name, value in POLICY.items() if name != "DeveloperToolsAvailability"}
    return attempts(json.dumps(policy | {"URLAllowlist": ["localhost:8000"]}))


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    def say(text: str) -> None:
        with capsys.disabled():
            print(text)

    return say


def test_the_policy_alone_stops_all_but_leaving_the_page_names_and_webrtc(unmanaged, tell):
    tell("\nwhat arrives from a notebook's page under the doorway's policy, in this Chromium:")
    for name in ATTEMPTS:
        tell(f"  {name:20} {' '.join(unmanaged.arrived.get(name, ['-']))}")
    with_content = {name for name, how in unmanaged.arrived.items() if "http" in how}
    assert with_content == NAVIGATION
    assert {name for name, how in unmanaged.arrived.items() if how == ["dns"]} <= NAMES
    assert set(unmanaged.arrived) <= NAVIGATION | NAMES | {"webrtc"}


def test_no_page_of_a_session_leaves_a_file_on_the_person_s_machine(unmanaged):
    assert unmanaged.downloaded == []


def test_in_a_managed_browser_nothing_arrives(managed):
    assert managed.arrived == {}
    assert managed.downloaded == []


def test_in_a_managed_browser_no_page_writes_into_a_file_that_a_person_chooses(managed):
    assert managed.chosen == "NotAllowedError"


def test_a_managed_browser_does_not_remember_where_it_was(managed, unmanaged):
    assert {"History"} <= set(unmanaged.remembered)
    assert any(name.endswith(".log") for name in unmanaged.remembered), "what a page kept in the browser's storage"
    # The state of the last window, which the browser writes when it is closed.
    assert [name for name in managed.remembered if not name.startswith("Session_")] == []


def test_the_own_page_is_there_all_the_same(managed, unmanaged):
    assert managed.opened == unmanaged.opened == "notebook"


def test_the_policy_that_we_ship_allows_the_hub_and_the_notebooks_below_it():
    assert POLICY["URLBlocklist"] == ["*"]
    assert POLICY["URLAllowlist"] == ["https://hub.example.ac.jp", "https://[*.]hub.example.ac.jp"]
