"""A session of the real hub, behind the real proxy: what its person, an administrator and a cell that became the server get."""

from __future__ import annotations

import asyncio
import json

import pytest
from yarl import URL

from bench.person import Person
from enclave.wire import CONTENT_SECURITY_POLICY
from testbed.site import Testbed
from tests.leaks.takeover import CODE
from tests.leaks.test_doorway_routes import GONE

pytestmark = [pytest.mark.site, pytest.mark.timeout(200)]

WISH = {"resource_group": "ct-link", "destination": "cloud", "gpus": 0, "hours": 1, "language": "en"}


async def seen(person: Person, address: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a GET to tanaka's server by `person`'s browser, redirects not followed."""
    async with person._session.get(person._home.join(URL(address)), allow_redirects=False) as answer:
        return answer.status, dict(answer.headers), await answer.read()


async def nothing_is_gone_through(person: Person) -> None:
    for address in GONE:
        if ".." not in address and "//" not in address:
            for method in ("GET", "POST", "DELETE"):
                assert await person.call(method, address) in {404, 405}, (method, address)


async def an_administrator_stays_outside(site: Testbed) -> None:
    async with Person(site.url, "admin") as admin:
        await admin.log_in(site.passwords["admin"])
        for address in ("lab", "api/contents", "api/kernels"):
            async with admin._session.get(f"{site.url}/user/tanaka/{address}") as answer:
                assert answer.status == 403, (address, answer.url)
        hub = admin.hub / "hub" / "api"
        guard = admin._guard(admin.hub / "hub" / "")
        async with admin._session.post(hub / "users" / "admin" / "tokens", json={}, headers=guard) as answer:
            token = (await answer.json())["token"]
        bearer = {"Authorization": f"token {token}"}
        for place in ("api/contents", "lab"):
            async with admin._session.get(f"{site.url}/user/tanaka/{place}", headers=bearer, allow_redirects=False) as answer:
                assert answer.status in {302, 403}, place
        share = {"user": "admin", "scopes": ["access:servers!server=tanaka/"]}
        async with admin._session.post(hub / "shares" / "tanaka" / "", json=share, headers=bearer) as answer:
            assert answer.status in {403, 404}
        wish = {"scopes": ["access:servers!user=tanaka"]}
        async with admin._session.post(hub / "users" / "admin" / "tokens", json=wish, headers=bearer) as answer:
            assert answer.status in {400, 403}


async def a_person_shares_nothing(tanaka: Person) -> None:
    guard = tanaka._guard(tanaka.hub / "hub" / "")
    share = {"user": "suzuki", "scopes": ["access:servers!server=tanaka/"]}
    async with tanaka._session.post(tanaka.hub / "hub" / "api" / "shares" / "tanaka" / "", json=share, headers=guard) as answer:
        assert answer.status in {403, 404}


async def a_cell_that_became_the_server_passes_nothing_new(tanaka: Person) -> None:
    async with tanaka.kernel("ct") as kernel:
        assert await tanaka.run_cell(kernel, CODE) == "'taken over'"
        for _ in range(100):
            status, headers, body = await seen(tanaka, "lab")
            if body == b"owned":
                break
            await asyncio.sleep(0.2)
        # It did take over: what it says arrives, but as the doorway has it.
        assert (status, body) == (200, b"owned")
        assert headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert headers["Cache-Control"] == "no-store"
        assert headers["Content-Type"].startswith("text/plain")
        assert not {"Set-Cookie", "Service-Worker-Allowed", "Refresh", "Content-Disposition"} & set(headers)
        for address, expected in (("api/me", 502), ("api/status", 502), ("files/x", 404), ("api/terminals", 404), ("metrics", 404)):
            assert (await seen(tanaka, address))[0] == expected, address


async def test_a_session_from_the_person_s_the_administrator_s_and_an_attacker_s_side(site_with_hub: Testbed):
    site = site_with_hub
    async with Person(site.url, "tanaka") as tanaka:
        await tanaka.log_in(site.passwords["tanaka"])
        try:
            await tanaka.ask_for_server(WISH)
            await tanaka.wait_until_ready()
            await tanaka.open_lab()
            await nothing_is_gone_through(tanaka)
            await an_administrator_stays_outside(site)
            await a_person_shares_nothing(tanaka)
            await a_cell_that_became_the_server_passes_nothing_new(tanaka)
        finally:
            await tanaka.stop()
    lines = [json.loads(line) for line in site.run("hub", ["cat", "/var/log/renkei/audit.jsonl"], check=True).stdout.splitlines()]
    told = [line for line in lines if line["event"] == "browser-outflow" and line["user"] == "tanaka"]
    assert told[-1]["sent"] > 10_000
