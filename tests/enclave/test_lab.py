"""JupyterLab in Chromium behind the doorway: what works under its policy, and what a cell's output can't do."""

from __future__ import annotations

import threading

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.e2e.browser import Browser
from tests.enclave.page import Page
from tests.enclave.sessions import ready
from tests.enclave.standin import enter

pytestmark = pytest.mark.site

CELL = """
import ipywidgets, matplotlib.pyplot as plt
from IPython.display import HTML, display
plt.plot([1, 2]); plt.show()
display(ipywidgets.IntSlider(description="slider"))
display(HTML('<b id="shown">shown</b><img src="http://10.77.1.10:9/image"><form action="http://10.77.1.10:9/form"></form>'))
display(HTML('<img src="http://10.77.1.10:9/beacon" onerror="window.leaked = 1">'))
"""
NOTEBOOK = {
    "cells": [
        {"cell_type": "code", "execution_count": None, "id": "a", "metadata": {}, "outputs": [], "source": CELL.strip()},
        {"cell_type": "markdown", "id": "b", "metadata": {}, "source": "$x^2$"},
    ],
    "metadata": {"kernelspec": {"name": "ct", "display_name": "CT", "language": "python"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


def look(hub, url: str, pictures) -> dict[str, object]:
    """Opens the notebook in a browser in the hub's network, runs its cell, and says what is there."""
    enter(hub.network)
    browser = Browser(url, "ja", pictures)
    try:
        browser.open("lab/tree/people/jrs0017/policy.ipynb")
        browser.get(".jp-Notebook .jp-CodeCell .cm-content", 60).click()
        browser.wait(60, "kernel", lambda: browser.driver.find_elements("css selector", '[data-status="idle"]'))
        ActionChains(browser.driver).key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL).perform()
        for what in ("#shown", ".widget-slider", ".jp-RenderedImage img", "mjx-container"):
            browser.get(what, 60)
        return {
            "menu": browser.get(".lm-MenuBar-itemLabel").text,
            "leaked": browser.driver.execute_script("return window.leaked || 0"),
            "complaints": [each["message"] for each in browser.driver.get_log("browser") if each["level"] == "SEVERE"],
        }
    finally:
        browser.close()


def test_widgets_pictures_and_formulas_work_and_nothing_reaches_another_host(site, tmp_path):
    async def put(http, url):
        body = {"type": "notebook", "format": "json", "content": NOTEBOOK}
        async with http.put(f"{url}api/contents/people/jrs0017/policy.ipynb", json=body) as answer:
            assert answer.status == 201

    found = {}
    with ready(site, tmp_path) as session:
        session.hub.browse(put)
        page = Page(session.hub)
        # A thread of its own: its sockets, and the browser that it starts, are in the hub's network.
        looking = threading.Thread(target=lambda: found.update(look(session.hub, page.url, tmp_path)))
        looking.start()
        looking.join(150)
        page.close()
    assert found["menu"] == "ファイル"
    assert found["leaked"] == 0
    stopped = [each for each in found["complaints"] if "Content Security Policy" in each]
    assert {each for each in stopped if "http://10.77.1.10:9/image" in each}
    # Scripts inside the page: the cell's, and one of the Lab's own, which would take a token out of the address.
    others = [each for each in found["complaints"] if "10.77.1.10" not in each and "Executing inline" not in each]
    assert others == []
