"""JupyterLab in Chromium behind the doorway: what its menus offer, whom it asks, and what is left on the person's machine."""

from __future__ import annotations

import base64
import json
import struct
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import pytest
from selenium.webdriver.common.action_chains import ActionChains

from tests.e2e.browser import Browser
from tests.enclave.lab import BASE, OWN, Lab
from tests.leaks.scan import find, text_canary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

TAKES_AWAY = {
    "docmanager:download", "docmanager:open-browser-tab", "filebrowser:download", "filebrowser:open-browser-tab",
    "filebrowser:open-url", "filebrowser:share-main", "filebrowser:copy-download-link", "notebook:export-to-format",
    "apputils:print", "filemenu:shutdown", "extensionmanager:show-panel", "help:licenses", "terminal:create-new",
}  # fmt: skip
SOURCE, OUTPUT, PICTURE, NAME = (text_canary(name) for name in ("a cell", "an output", "a picture", "a file name"))


def png(secret: bytes) -> bytes:
    """A picture of one pixel that carries `secret`."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size, said, pixel = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0), b"Comment\0" + secret, zlib.compress(b"\0\0")
    parts = {b"IHDR": size, b"tEXt": said, b"IDAT": pixel, b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in parts.items())


def notebook() -> dict[str, object]:
    shown = base64.b64encode(png(PICTURE.secret)).decode()
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": OUTPUT.secret.decode()},
        {"output_type": "display_data", "metadata": {}, "data": {"image/png": shown, "text/plain": "picture"}},
    ]
    source = f"# {SOURCE.secret.decode()}\nprint('ran')"
    cell = {"cell_type": "code", "execution_count": 1, "id": "a", "metadata": {}, "source": source, "outputs": outputs}
    kernel = {"name": "ct", "display_name": "CT", "language": "python"}
    return {"cells": [cell], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


@dataclass
class Day:
    """What a day in the Lab left to look at."""

    commands: dict[str, set[str]]
    """Where it was looked: the commands that were offered there."""
    hosts: set[str]
    host: str
    refused: list[tuple[str, str, int]]
    left: dict[str, list[str]]
    """File of the browser's profile → canaries in it."""


def offered(browser: Browser) -> set[str]:
    found = browser.driver.find_elements("css selector", ".lm-Menu-item[data-command]")
    return {each.get_attribute("data-command") or "" for each in found if each.is_displayed()}


def look_at_menus(browser: Browser) -> dict[str, set[str]]:
    """The commands of every menu of the bar, of the file list and of the palette."""
    found = {}
    for item in browser.driver.find_elements("css selector", ".lm-MenuBar-item"):
        name = item.text
        item.click()
        browser.get(".lm-Menu")
        found[name] = offered(browser)
        item.click()
    entry = browser.get(".jp-DirListing-item")
    ActionChains(browser.driver).context_click(entry).perform()
    browser.get(".lm-Menu")
    found["the file list"] = offered(browser)
    ActionChains(browser.driver).send_keys("\ue00c").perform()
    return found


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    lab = Lab(tmp_path_factory.mktemp("lab"))
    path = f"{OWN}/{NAME.secret.decode()}.ipynb"
    (lab.folder / "cloud" / path).write_text(json.dumps(notebook()))
    (lab.folder / "cloud" / OWN / "picture.png").write_bytes(png(PICTURE.secret))
    browser = Browser(lab.url, "en", lab.folder / "pictures")
    try:
        browser.open(f"{BASE}lab")
        browser.get("#jp-main-dock-panel", 60)
        browser.open_notebook(path)
        browser.get(".jp-RenderedImage img", 60)
        browser.run_all()
        browser.wait(60, "output", lambda: "ran" in browser.text() or None)
        browser.save()
        commands = look_at_menus(browser)
        browser.open(f"{BASE}lab/tree/{OWN}/picture.png")
        browser.get(".jp-ImageViewer img", 60)
        time.sleep(1)
        hosts = browser.hosts()
        browser.open(f"{BASE}logout")
        browser.driver.quit()
        profile = Path(browser.profile)
        left = {
            str(each.relative_to(profile)): found
            for each in profile.rglob("*")
            if each.is_file() and (found := find(each.read_bytes(), (SOURCE, OUTPUT, PICTURE, NAME)))
        }
    finally:
        browser.close()
        lab.close()
    refused = [each for each in lab.requests if each[2] >= 400]
    return Day(commands, hosts, lab.host, refused, left)


def test_the_lab_offers_nothing_that_takes_a_file_away(day):
    everything = set().union(*day.commands.values())
    assert {"docmanager:save", "filebrowser:rename", "runmenu:run-all"} <= everything
    assert not {each for each in everything if each in TAKES_AWAY or "download" in each or "export" in each}


def test_a_working_session_asks_one_host(day):
    assert day.hosts == {day.host}


def test_nothing_that_the_lab_asks_for_in_a_day_is_refused(day):
    assert day.refused == []


def test_after_the_logout_the_browser_s_profile_holds_nothing_of_a_notebook(day):
    found = {hit for hits in day.left.values() for hit in hits}
    assert not [hit for hit in found if not hit.startswith(NAME.name)]


def test_names_of_files_stay_in_the_browser_s_history(day):
    # A managed browser does not keep it (test_browser_csp.py).
    where = {name.split("/")[-1].split("_")[0].split("-")[0] for name in day.left}
    assert where <= {"History", "Favicons", "Session", "Tabs", "ukm"}
