"""Call-back listeners and the browser that several files of tests talk to."""

from __future__ import annotations

import pytest
from selenium import webdriver

from enclave.messages import ProofKind
from tests.spawner.hubs import free_ports
from tests.spawner.stage import Munge, Stage, make_authorities


@pytest.fixture(scope="module")
def authorities(tmp_path_factory):
    return make_authorities(tmp_path_factory.mktemp("authorities"))


@pytest.fixture(scope="module")
def munge(tmp_path_factory):
    munge = Munge(tmp_path_factory.mktemp("munge"))
    yield munge
    munge.stop()


@pytest.fixture
async def stage(tmp_path, authorities, munge):
    stage = Stage(tmp_path, authorities, munge, free_ports(1)[0])
    yield stage
    stage.close()


@pytest.fixture
async def ticket_stage(tmp_path, authorities, munge):
    stage = Stage(tmp_path, authorities, munge, free_ports(1)[0], ProofKind.TICKET)
    yield stage
    stage.close()


@pytest.fixture
def chromium():
    """A browser in Japanese, without a page."""
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--accept-lang=ja"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
    driver.set_page_load_timeout(60)
    yield driver
    driver.quit()
