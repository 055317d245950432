"""Whose session ended without them reads what ended it, that what was saved is safe, and what to do, in their language."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.by import By

from bench import revocation
from testbed import owner
from testbed.site import Testbed
from tests.e2e.browser import Browser
from tests.spawner.test_survival import kill

pytestmark = pytest.mark.site

REVOKED = (
    "データ所有者がこのセッションを終了させました。"
    "クラウドに保存済みのものは失われていません。ノートブックのメモリー上にしかなかったものは失われました。"
    "データ所有者または管理者にお問い合わせください。"
)
SAVED = "What was already saved on the cloud is safe; what was only in the memory of a notebook is gone."
LOST = f"The compute node stopped working. {SAVED} Please start again; you will get another node."


def start(page: Browser) -> None:
    """A session with the test cloud, until its Lab is there."""
    page.choose(destination="cloud", gpus=0, hours=1)
    page.press_start()
    page.wait_for_lab()


def wait_to_read(page: Browser, sentence: str, seconds: float) -> None:
    """Return when the home page says `sentence` of a session that has ended; earlier ones that ended are told there too."""

    def told() -> bool | None:
        page.open("/hub/home")
        found = page.driver.find_elements(By.CSS_SELECTOR, ".session[data-state=ended] .ending")
        return any(sentence in each.text for each in found) or None

    page.wait(seconds, sentence, told, every=1.0)


def nodes_of(site: Testbed, person: str) -> list[str]:
    """The nodes on which jobs of a person's run or end."""
    return site.run("hub", ["squeue", "--all", "--noheader", f"--user=rs-{person}", "--format=%N"], check=True).stdout.split()


def test_by_the_data_owner_and_by_the_loss_of_a_node(visitor, site_with_hub):
    site = site_with_hub
    cloud, revoked, lost = site.host("cloud"), visitor("tanaka", "ja"), visitor("suzuki", "en")
    start(lost)
    start(revoked)
    [session] = revoked.wait(20, "session in the owner's list", lambda: revocation.sessions(cloud) or None)
    owner.command(cloud, "revoke", "session", session)
    wait_to_read(revoked, REVOKED, 60)
    revoked.picture("ended-revoked")

    # They may have been neighbours: only one of them is to lose the node.
    revoked.wait(60, "end of the job", lambda: not nodes_of(site, "tanaka") or None)
    [node] = nodes_of(site, "suzuki")
    host = site.host(node)
    # All that runs there dies at once, as with a power cut.
    kill(site, node, "/slurmd", "slurmstepd", ".batch]", user=host.user("rs-suzuki").uid)
    try:
        wait_to_read(lost, LOST, 90)
        lost.picture("ended-lost")
    finally:
        host.run(["/usr/sbin/slurmd"], check=True)
    # Asked for one node alone, sinfo goes on saying what it last knew of its processors.
    asked = ["sinfo", "--noheader", "--Node", "--format=%N %T"]
    lost.wait(60, "idle node", lambda: f"{node} idle" in site.run("hub", asked).stdout.splitlines() or None)
