"""The call-back as the job sees it: who is believed, what is said again, what is not."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Any

import pytest
from aiohttp import web

from enclave import callback as module
from enclave.callback import Callback, RefusedError, connect, prove
from enclave.failure import SessionFailure
from enclave.messages import BODY_LIMIT, Event, Order, Phase, ProofKind, Reason, Refusal, Renewal, Start, decode, encode
from tests.enclave.authorities import Authority
from tests.enclave.samples import order, welcome

START = Start(session="a1b2c3d4e5f60718", job="17", ssh_public_key="k", tls_request="r", port=40000)


class Listener:
    """Answers every call with `answer`, and remembers the calls."""

    def __init__(self, answer: bytes, status: int = 200) -> None:
        self.answer, self.status = answer, status
        self.calls: list[tuple[str, str | None, bytes]] = []

    async def handle(self, request: web.BaseRequest) -> web.Response:
        self.calls.append((request.raw_path, request.headers.get("Authorization"), await request.read()))
        return web.Response(status=self.status, body=self.answer, headers={"Location": "https://evil.example/"})


@contextlib.asynccontextmanager
async def listening(listener: Listener, tmp_path: Any, *, authority: Authority, believed: Authority | None = None) -> Any:
    runner = web.ServerRunner(web.Server(listener.handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=authority.context(tmp_path, ssl.PROTOCOL_TLS_SERVER, believes=None))
    await site.start()
    port = runner.addresses[0][1]
    wanted: Order = order(callback_url=f"https://127.0.0.1:{port}", callback_ca=(believed or authority).pem)
    async with connect(wanted) as http:
        yield Callback(wanted, http)
    await runner.cleanup()


async def test_start_then_events_and_renewals_with_the_key_that_came(tmp_path):
    listener = Listener(encode(welcome()))
    async with listening(listener, tmp_path, authority=Authority("hub")) as hub:
        assert await hub.start(START) == welcome()
        await hub.event(Event(phase=Phase.MOUNT))
        listener.answer = encode(Renewal(ssh_certificate="c", expires=5.0))
        assert (await hub.renew()).ssh_certificate == "c"
    paths, keys, bodies = zip(*listener.calls, strict=True)
    assert paths == tuple(f"/v1/sessions/a1b2c3d4e5f60718/{route}" for route in ("start", "event", "renew"))
    assert keys == (None, "Bearer the-key", "Bearer the-key")
    assert decode(bodies[0], Start) == START
    assert bodies[2] == b"{}"


async def test_a_hub_that_the_order_s_authority_does_not_vouch_for_hears_nothing(tmp_path):
    listener = Listener(encode(welcome()))
    async with listening(listener, tmp_path, authority=Authority("hub"), believed=Authority("hub")) as hub:
        with pytest.raises(SessionFailure) as caught:
            await hub.start(START)
    assert caught.value.reason is Reason.INTERNAL
    assert listener.calls == []


@pytest.mark.parametrize("reason", [Reason.PROOF_REFUSED, Reason.AUTHORITY_DOWN, Reason.NO_CLOUD_ACCOUNT])
async def test_a_refused_start_carries_the_hub_s_reason_and_is_not_tried_again(tmp_path, reason):
    listener = Listener(encode(Refusal(reason=reason)), 403)
    async with listening(listener, tmp_path, authority=Authority("hub")) as hub:
        with pytest.raises(SessionFailure) as caught:
            await hub.start(START)
    assert caught.value.reason is reason
    assert len(listener.calls) == 1


@pytest.mark.parametrize(
    ("answer", "status"),
    [(b"", 200), (b"<html>", 200), (b"x" * (BODY_LIMIT + 2), 200), (b"<html>", 502), (b"", 302), (b'{"reason":"x"}', 403)],
)
async def test_an_answer_that_is_none_ends_the_start_too(tmp_path, answer, status):
    async with listening(Listener(answer, status), tmp_path, authority=Authority("hub")) as hub:
        with pytest.raises(SessionFailure) as caught:
            await hub.start(START)
    assert caught.value.reason is Reason.INTERNAL


async def test_a_refused_renewal_says_why(tmp_path):
    async with listening(Listener(encode(Refusal(reason=Reason.CANCELLED)), 403), tmp_path, authority=Authority("hub")) as hub:
        with pytest.raises(RefusedError) as caught:
            await hub.renew()
    assert caught.value.reason in module.FINAL


async def test_a_hub_that_is_not_there_is_asked_for_a_while(monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    wanted = order(callback_url=f"https://127.0.0.1:{port}", callback_ca=Authority("hub").pem)
    async with connect(wanted) as http:
        with pytest.raises(SessionFailure, match="can't be reached"):
            await Callback(wanted, http).start(START)


async def test_an_order_without_an_authority_believes_nobody():
    with pytest.raises(SessionFailure):
        connect(order(callback_ca="no PEM"))
    with pytest.raises(SessionFailure):
        connect(order(callback_ca=""))


async def test_a_ticket_is_shown_where_there_is_no_munge():
    proved = await prove(START, order(proof=ProofKind.TICKET, ticket="the-ticket"))
    assert (proved.ticket, proved.munge) == ("the-ticket", "")
