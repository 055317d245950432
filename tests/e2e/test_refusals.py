"""Whoever can't have a session reads within seconds why, that nothing was left, and what to do, in their language."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator

import pytest
from selenium.webdriver.common.keys import Keys

from testbed import cloud, processes
from testbed.host import Host
from testbed.layout import NODES, address
from testbed.site import Testbed
from tests.e2e.browser import Browser
from tests.e2e.nodes import held, left_behind, wait_until_empty

pytestmark = pytest.mark.site

KNOWABLE = 30
"""Seconds within which the page says so."""
KEY = "/etc/ssh/renkei_host_ed25519_key"


def ask_kashiwa(page: Browser) -> str:
    """Wish for a session with the test server's data, and read what becomes of it."""
    page.choose(destination="kashiwa", gpus=0, hours=1)
    page.press_start()
    return page.wait_for_complaint(KNOWABLE)


def stop_sshd(kashiwa: Host) -> None:
    """End every sshd of the test server."""
    pids = [each.pid for each in kashiwa.processes() if "sshd" in each.argv[0]]
    processes.kill(pids)
    assert processes.wait_gone(pids, 10) == []


def start_sshd(kashiwa: Host) -> None:
    """Start it as the testbed does."""
    kashiwa.run(["/usr/sbin/sshd"], check=True)


@contextlib.contextmanager
def killed_at_once(site: Testbed, person: str) -> Iterator[None]:
    """Whatever a job of `person` starts on a node is killed as soon as it is seen."""
    done = threading.Event()
    hosts = [site.host(name) for name in NODES]
    uid = hosts[0].user(f"rs-{person}").uid

    def hunt() -> None:
        while not done.wait(0.02):
            processes.kill([each.pid for host in hosts for each in host.processes() if each.uid == uid])

    hunter = threading.Thread(target=hunt)
    hunter.start()
    try:
        yield
    finally:
        done.set()
        hunter.join()


@pytest.fixture(autouse=True)
def nothing_left(site_with_hub: Testbed) -> Iterator[None]:
    before = held(site_with_hub)
    yield
    wait_until_empty(site_with_hub)
    for person in ("tanaka", "yamada"):
        assert left_behind(site_with_hub, person, before) == set()


def test_no_account_at_the_cloud(visitor):
    page = visitor("sato", "en")

    complaint = page.wait_for_complaint(KNOWABLE)

    assert "You have no account at any of the clouds here" in complaint
    assert "Please ask the administrator to register you." in complaint
    assert page.find("#destination") is None


def test_no_account_at_the_cloud_in_japanese(visitor):
    page = visitor("sato", "ja")

    complaint = page.wait_for_complaint(KNOWABLE)

    assert complaint == ("利用できるクラウドにアカウントがないため、セッションを開始できません。管理者に登録を依頼してください。")


def test_not_permitted_on_the_nodes(visitor):
    page = visitor("yamada", "en")
    page.choose(destination="cloud")
    page.press_start()

    complaint = page.wait_for_complaint(KNOWABLE)

    assert "You are not permitted to use these compute nodes." in complaint
    assert "Please choose another resource group, or ask the administrator for permission." in complaint


def test_no_account_for_sessions_at_the_centre(visitor):
    page = visitor("mori", "en")
    page.choose(destination="cloud")
    page.press_start()

    complaint = page.wait_for_complaint(KNOWABLE)

    assert "The computing centre has no account for your sessions yet." in complaint
    assert "Please ask the administrator to create it." in complaint


def test_destination_switched_off(visitor, site_with_hub):
    kashiwa = site_with_hub.host("kashiwa")
    kashiwa.run(["ip", "link", "set", "sinet", "down"], check=True)
    try:
        complaint = ask_kashiwa(visitor("tanaka", "en"))
    finally:
        kashiwa.run(["ip", "link", "set", "sinet", "up"], check=True)

    assert "The cloud destination does not answer." in complaint
    assert "none of your images were left on the compute node" in complaint


def test_destination_without_its_service(visitor, site_with_hub):
    kashiwa = site_with_hub.host("kashiwa")
    stop_sshd(kashiwa)
    try:
        complaint = ask_kashiwa(visitor("tanaka", "en"))
    finally:
        start_sshd(kashiwa)

    # From the node this is what a gateway that refuses looks like: the answer comes from its address and its port.
    assert "The gateway to the cloud refused the connection." in complaint
    assert "Please tell the administrator." in complaint


def test_gateway_refuses(visitor, site_with_hub):
    where = ["ip", "gateway", "destinations"]
    site_with_hub.run("gw", ["nft", "delete", "element", *where, "{ 2202 }"], check=True)
    try:
        complaint = ask_kashiwa(visitor("tanaka", "ja"))
    finally:
        site_with_hub.run("gw", ["nft", "add", "element", *where, f"{{ 2202 : {address('kashiwa')} . 22 }}"], check=True)

    assert complaint == (
        "クラウドへの中継サーバーが接続を拒否しました。セッションは終了し、計算ノードに画像は残っていません。管理者にご連絡ください。"
    )


def test_host_key_changed(visitor, site_with_hub):
    kashiwa = site_with_hub.host("kashiwa")
    kept = {path: kashiwa.path(path).read_bytes() for path in (KEY, f"{KEY}.pub")}
    kashiwa.run(["rm", *kept], check=True)
    cloud.make_host_key(kashiwa)
    stop_sshd(kashiwa)
    start_sshd(kashiwa)
    try:
        complaint = ask_kashiwa(visitor("tanaka", "en"))
    finally:
        for path, content in kept.items():
            kashiwa.path(path).write_bytes(content)
        stop_sshd(kashiwa)
        start_sshd(kashiwa)

    assert "The cloud destination showed another identity than the one on record, so no connection was made." in complaint


def test_job_dies_at_once(visitor, site_with_hub):
    with killed_at_once(site_with_hub, "tanaka"):
        complaint = ask_kashiwa(visitor("tanaka", "en"))

    assert "The session ended on the compute node before it was ready." in complaint
    assert "Please try again in a few minutes" in complaint


def free_gpus(page: Browser) -> int:
    """How many the form says are free."""
    said = re.search(r"(\d+) of \d+ GPUs are free now", page.get("#availability").text)
    assert said, page.text()
    return int(said[1])


def test_the_form_says_what_is_free_and_goes_on_saying_it(visitor, site_with_hub):
    page = visitor("tanaka", "en")
    page.open("/hub/spawn")
    before = free_gpus(page)
    page.get("#gpus").send_keys(Keys.ARROW_DOWN)
    chosen = page.get("#gpus").get_attribute("value")
    page.picture("form")
    job = ["sbatch", "--parsable", "--partition=ct-link", "--gres=gpu:3", "--time=30", "--output=/dev/null", "--wrap=sleep 600"]
    number = site_with_hub.run("hub", job, user="rs-suzuki", check=True).stdout.strip()
    try:
        page.wait(60, "news of the GPUs that are taken", lambda: free_gpus(page) == before - 3 or None, every=0.5)
    finally:
        site_with_hub.run("hub", ["scancel", number], user="rs-suzuki", check=True)

    assert chosen != page.find("#gpus option").get_attribute("value")
    assert page.get("#gpus").get_attribute("value") == chosen
    assert page.driver.switch_to.active_element.get_attribute("id") == "gpus"


def test_after_all_that_a_session_starts_and_its_choice_is_remembered(visitor):
    page = visitor("tanaka", "en")
    page.choose(destination="kashiwa", gpus=0, hours=2)
    page.press_start()
    page.wait_for_lab()
    page.stop()

    page.open("/hub/spawn")
    remembered = {name: page.get(f"#{name}").get_attribute("value") for name in ("destination", "gpus", "hours")}
    assert remembered == {"destination": "kashiwa", "gpus": "0", "hours": "2"}
