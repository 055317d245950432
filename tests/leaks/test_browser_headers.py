"""What reaches a browser without passing a doorway, the hub's and the proxy's own answers: stored nowhere, under a policy."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.spawner.hubs import Hub, password_hub

PATHS = (
    "/", "/hub/login", "/hub/home", "/hub/spawn", "/hub/nothing", "/nothing", "/hub/api", "/hub/api/user", "/hub/api/users/tanaka",
    "/hub/static/css/style.min.css", "/hub/logo", "/hub/renkei/pages.js", "/hub/lang/ja", "/hub/logout", "/hub/error/503",
    "/hub/oauth_callback", "/hub/api/oauth2/authorize", "/user/tanaka/lab", "/user/suzuki/api/contents/a",
)  # fmt: skip


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("headers")
    with password_hub(folder, right={("tanaka", "pw", "renkei")}) as (running, _checker):
        yield running


@pytest.fixture(scope="module")
def session(hub: Hub) -> requests.Session:
    browser = hub.browser("en")
    browser.log_in("tanaka", "pw")
    return browser.session


def complaints(answer: requests.Response) -> list[str]:
    """What is missing in `answer`'s head."""
    headers = answer.headers
    wanted = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"}
    found = [name for name, value in wanted.items() if headers.get(name) != value]
    policy = headers.get("Content-Security-Policy", "")
    found += [f"policy: {policy}"] if "default-src 'self'" not in policy and "default-src 'none'" not in policy else []
    found += [f"policy: {policy}"] if "frame-ancestors 'none'" not in policy or "*" in policy or "http" in policy else []
    return found


@pytest.mark.parametrize("path", PATHS)
def test_the_hub_s_answers(hub, session, path):
    for method in ("GET", "POST"):
        answer = session.request(method, hub.url + path, allow_redirects=False, timeout=30)
        assert complaints(answer) == [], f"{method} {path}: {answer.status_code} {dict(answer.headers)}"


def test_the_proxy_s_own_error_page_while_there_is_no_hub(tmp_path: Path):
    with password_hub(tmp_path, right=set()) as (hub, _checker):
        hub.process.kill()
        hub.process.wait()
        try:
            end = time.monotonic() + 20
            while (answer := requests.get(f"{hub.url}/hub/home", timeout=30)).status_code < 500:
                assert time.monotonic() < end
            assert complaints(answer) == []
        finally:
            os.kill(int((tmp_path / "proxy.pid").read_text()), signal.SIGTERM)
