"""Each person's notebook at a host name of its own: what one notebook's page can't ask of the hub or of another notebook."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.site import Testbed
from tests.e2e.browser import Browser
from tests.e2e.nodes import wait_until_empty

pytestmark = pytest.mark.site

HOST = "hub.renkei.test"
SITE_FILE = "/etc/renkei/site.toml"

ASK = """
    const done = arguments[arguments.length - 1];
    fetch(arguments[0], { credentials: "include" }).then(a => a.text()).then(t => done("read: " + t), e => done("refused: " + e));
"""


@pytest.fixture
def address(site_with_hub: Testbed) -> Iterator[str]:
    """The site's page by a name, with the hub told that everything below that name is its own."""
    site = site_with_hub
    file = site.host("hub").path(SITE_FILE)
    before = file.read_text()
    port = site.url.rpartition(":")[2]
    file.write_text(before.replace("[hub]\n", f'[hub]\nsubdomain_host = "http://{HOST}:{port}"\n', 1))
    site.restart_hub()
    yield f"http://{HOST}:{port}"
    file.write_text(before)
    site.restart_hub()


def test_a_notebook_is_a_stranger_to_the_hub_and_to_other_notebooks(address: str, site_with_hub: Testbed, pictures: Path):
    site = site_with_hub
    rules = f"--host-resolver-rules=MAP {HOST} 127.0.0.1, MAP *.{HOST} 127.0.0.1"
    page = Browser(address, "en", pictures, (rules,))
    try:
        page.log_in("tanaka", site.passwords["tanaka"])
        page.choose(destination="cloud", gpus=0, hours=1)
        page.press_start()
        page.wait_for_lab()
        port = address.rpartition(":")[2]
        own = f"http://tanaka.{HOST}:{port}"
        assert page.driver.current_url.startswith(f"{own}/user/tanaka/lab")
        page.open_notebook("people/jrs0017/tutorials/01_vnet_tutorial.ipynb")
        ask = page.driver.execute_async_script

        assert ask(ASK, f"{own}/user/tanaka/api").startswith("read: ")
        for place in (f"{address}/hub/api/user", f"{address}/hub/home", f"http://suzuki.{HOST}:{port}/user/suzuki/api"):
            assert ask(ASK, place).startswith("refused: "), place
        # Nor is the hub there under the notebook's own name, where the browser would let it be asked.
        assert "tanaka" not in ask(ASK, f"{own}/hub/api/user")
        # As the clinician's page says: the window inherits what the notebook's policy forbids, and works all the same.
        page.stop_by_control_panel()
        wait_until_empty(site)
    finally:
        try:
            page.leave()
        finally:
            page.close()


def test_the_console_has_a_name_of_its_own_too(address: str, site_with_hub: Testbed, pictures: Path):
    page = Browser(address, "en", pictures, (f"--host-resolver-rules=MAP {HOST} 127.0.0.1, MAP *.{HOST} 127.0.0.1",))
    try:
        page.log_in("admin", site_with_hub.passwords["admin"])
        console = f"http://quota--service.{HOST}:{address.rpartition(':')[2]}/services/quota/"

        def answers() -> bool:
            # The hub answers before the console does that it has just started; the page says so, and to open it again.
            page.driver.get(console)
            return bool(page.find("main.console h1"))

        page.wait(30, "page of the console", answers, every=1)
        assert page.driver.current_url.startswith(f"http://quota--service.{HOST}:")
        page.open("/hub/home")
        assert page.find("#logout")
    finally:
        page.close()
