"""A real hub with its proxy and the console beside it; the sessions are rows of the test's own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from spawner.console.service import HUB_SCOPES
from spawner.store.database import Database
from tests.spawner.hubs import TOKEN, Browser, Hub, password_hub
from tests.store.test_database import row

PEOPLE = ("tanaka", "suzuki", "kato", "ito", "abe", "admin")
MORE = """
from spawner.console import service as console
console.configure(c, here, Path("{folder}/site.toml"))
"""


@pytest.fixture(scope="session")
def pictures(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go: the folder that `--pictures` names, else a temporary one."""
    wanted = request.config.getoption("--pictures")
    return Path(wanted).resolve() if wanted else tmp_path_factory.mktemp("pictures")


@dataclass(frozen=True)
class Place:
    """A hub with its console, and the console's database."""

    hub: Hub
    database: Database
    folder: Path

    @property
    def url(self) -> str:
        return self.hub.url + "/services/quota/"

    @property
    def audit(self) -> Path:
        return self.folder / "audit.jsonl"

    def token(self, person: str, *scopes: str) -> str:
        """A token of `person`'s with exactly `scopes`, and for the console."""
        asked = requests.post(
            f"{self.hub.url}/hub/api/users/{person}/tokens",
            headers={"Authorization": f"token {TOKEN}"},
            json={"scopes": ["access:services!service=quota", *scopes]},
            timeout=30,
        )
        assert asked.status_code == 201, asked.text
        return asked.json()["token"]

    def call(self, method: str, path: str, token: str | None, **more: object) -> requests.Response:
        """One call of the REST API."""
        headers = {"Authorization": f"token {token}"} if token else {}
        return requests.request(method, f"{self.url}api/v1{path}", headers=headers, timeout=30, **more)

    def browser(self, person: str, language: str = "en") -> Browser:
        """A browser without scripts in which `person` has logged in."""
        browser = self.hub.browser(language)
        browser.log_in(person, "pw")
        return browser


def wait_up(url: str, seconds: float = 30) -> None:
    """Until the console answers: the hub does not wait for it."""
    end = time.monotonic() + seconds
    while requests.get(url, timeout=30).status_code != 200:
        assert time.monotonic() < end, "the console did not start"
        time.sleep(0.1)


@pytest.fixture(scope="package")
def place(tmp_path_factory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("console")
    database = Database(f"sqlite:///{folder}/renkei.sqlite")
    database.upgrade()
    with database.write() as session:
        now = time.time()
        running = {"state": "running", "wished": now - 900, "running": now - 600, "deadline": now + 3000, "job": "17"}
        session.add(row("a" * 16, **running))
        session.add(row("b" * 16, user="suzuki", state="queued", wished=now - 300, server="<b>second</b>", job="18"))
        session.add(row("c" * 16, user="suzuki", state="ended", wished=now - 90_000, ended=now - 80_000, job="9"))
    right = {(name, "pw", "renkei") for name in PEOPLE}
    more = MORE.format(folder=folder)
    with password_hub(folder, right=right, more=more) as (hub, _checker):
        for name in PEOPLE:
            hub.browser().log_in(name, "pw")
        wait_up(f"{hub.url}/services/quota/api/v1/openapi.json")
        yield Place(hub, database, folder)
    database.close()


@pytest.fixture(scope="package")
def admin(place) -> str:
    """A token with everything that an administrator may do in the console."""
    return place.token("admin", "custom:quota:write", "custom:audit:read", *HUB_SCOPES)
