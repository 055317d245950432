"""A site with its hub, and browsers for the people who visit it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from testbed.site import Testbed
from tests.e2e.browser import Browser

Visitor = Callable[[str, str], Browser]


@pytest.fixture(scope="session")
def pictures(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go: the folder that `--pictures` names, else a temporary one."""
    wanted = request.config.getoption("--pictures")
    return Path(wanted).resolve() if wanted else tmp_path_factory.mktemp("pictures")


@pytest.fixture
def visitor(site_with_hub: Testbed, pictures: Path) -> Iterator[Visitor]:
    """`visitor(person, language)`: a browser in which that person has logged in."""
    opened: list[Browser] = []

    def visit(person: str, language: str) -> Browser:
        browser = Browser(site_with_hub.url, language, pictures)
        opened.append(browser)
        browser.log_in(person, site_with_hub.passwords[person])
        return browser

    yield visit
    for browser in opened:
        try:
            browser.leave()
        finally:
            browser.close()
