"""The doorway between a real TLS client and a real server behind a unix socket."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from enclave import doorway as module
from enclave.budget import Budget
from enclave.doorway import Doorway
from enclave.keys import make_tls_key, server_context
from enclave.timeleft import TimeLeft
from enclave.wire import CONTENT_SECURITY_POLICY, Place
from enclave.wording import Allowance
from tests.enclave.authorities import Authority

BASE = "/user/tanaka/"
FILES = "api/contents/"
CHANNELS = "api/kernels/01234567-89ab-cdef-0123-456789abcdef/channels"


@dataclass
class Stand:
    """A doorway, the server behind it, and what that saw."""

    doorway: Doorway
    http: aiohttp.ClientSession
    address: tuple[str, int]
    tls: ssl.SSLContext
    url: str = ""
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def raw(self, text: bytes) -> bytes:
        """The answer to a request that no well-behaved client would make."""
        reader, writer = await asyncio.open_connection(*self.address, ssl=self.tls)
        writer.write(text)
        answer = await asyncio.wait_for(reader.read(65536), 5)
        writer.close()
        return answer


class Server:
    """What the notebook server is to the doorway."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str]]] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.append((f"{request.method} {request.raw_path}", dict(request.headers)))
        answers = {"websocket": self._websocket, "echo": self._echo, "stream": self._stream, "gone": self._gone}
        route = request.path.removeprefix(BASE).removeprefix(FILES).replace(CHANNELS, "websocket")
        return await answers[route](request) if route in answers else self._short(route)

    def _short(self, route: str) -> web.Response:
        cookies = [("Set-Cookie", "a=1; Path=/user/tanaka/"), ("Set-Cookie", "b=2; Path=/hub/"), ("Set-Cookie", "c=3")]
        return {
            "cookies": web.Response(headers=cookies),
            "nothing": web.Response(status=204),
            "moved": web.Response(status=302, headers={"Location": "/user/tanaka/lab"}),
        }.get(route, web.json_response({"version": "2"}))

    async def _echo(self, request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=await request.read(), headers={"X-Secret": "1", "Cache-Control": "public"})

    async def _websocket(self, request: web.BaseRequest) -> web.StreamResponse:
        socket_ = web.WebSocketResponse(protocols=["v1.kernel.websocket.jupyter.org"])
        await socket_.prepare(request)
        async for message in socket_:
            if message.data == "close":
                await socket_.close(code=4321, message=b"bye")
            elif message.type is aiohttp.WSMsgType.TEXT:
                await socket_.send_str(message.data[::-1])
            else:
                await socket_.send_bytes(message.data[::-1])
        return socket_

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await asyncio.sleep(0.5)
        await response.write(b"second")
        return response

    async def _gone(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return response


@pytest.fixture
async def stand(tmp_path: Path):
    proxy, notebooks = Authority("proxy"), Authority("notebooks")
    server = Server()
    runner = web.ServerRunner(web.Server(server.handle))
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "server.sock")).start()
    key = make_tls_key()
    context = server_context(notebooks.sign_request(key.request, "127.0.0.1"), key, proxy.pem)
    doorway = Doorway(tmp_path / "server.sock", Place(BASE), Allowance(), Budget(2**30), TimeLeft(time.time() + 3600))
    listening = socket.create_server(("127.0.0.1", 0))
    await doorway.listen(listening, context)
    doorway.open()
    tls = proxy.context(tmp_path, ssl.PROTOCOL_TLS_CLIENT, believes=notebooks)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls), auto_decompress=False) as http:
        address = listening.getsockname()
        yield Stand(doorway, http, address, tls, f"https://127.0.0.1:{address[1]}{BASE}", server.seen)
    await doorway.close()
    await runner.cleanup()


async def test_a_request_passes_and_its_answer_carries_the_policy(stand):
    async with stand.http.post(
        f"{stand.url}api/contents/echo?content=%20b", data=b"text", headers={"Cookie": "_xsrf=1; x=1"}
    ) as answer:
        assert (answer.status, await answer.read()) == (200, b"text")
        assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert answer.headers["Cache-Control"] == "no-store"
        assert "X-Secret" not in answer.headers
    line, headers = stand.seen[-1]
    assert line == "POST /user/tanaka/api/contents/echo?content=%20b"
    assert headers["Cookie"] == "_xsrf=1"
    assert headers["Host"] == f"127.0.0.1:{stand.address[1]}"


@pytest.mark.parametrize("who", ["nobody", "a stranger", "the doorway's own authority"])
async def test_without_a_certificate_of_the_proxy_s_authority_there_is_no_answer(stand, tmp_path, who):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if who != "nobody":
        context = Authority("notebooks" if "own" in who else "stranger").context(tmp_path, ssl.PROTOCOL_TLS_CLIENT, believes=None)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as http:
        with pytest.raises(aiohttp.ClientError):
            await http.get(stand.url)
    assert stand.seen == []


@pytest.mark.parametrize(
    ("method", "address", "counts"),
    [
        ("GET", "api/kernels", True), ("PUT", "api/contents/echo", True),
        ("GET", "api", False), ("GET", "lab", False), ("GET", "api/contents/moved", False), ("GET", "renkei/time", False),
    ],
)  # fmt: skip
async def test_who_asks_for_what_needs_a_login_is_there(stand, method, address, counts):
    time_left = stand.doorway._time_left
    await asyncio.sleep(0.05)
    before = time_left.browser_s()
    async with stand.http.request(method, stand.url + address, headers={"Cookie": "_xsrf=1"}, allow_redirects=False) as answer:
        await answer.read()
    assert (time_left.browser_s() < before) == counts


async def test_what_a_browser_says_over_a_websocket_counts_and_a_ping_does_not(stand):
    time_left = stand.doorway._time_left
    async with stand.http.ws_connect(f"{stand.url}{CHANNELS}") as ws:
        await asyncio.sleep(0.05)
        before = time_left.browser_s()
        await ws.ping()
        await asyncio.sleep(0.05)
        assert time_left.browser_s() > before
        await ws.send_str("abc")
        assert (await ws.receive()).data == "cba"
        assert time_left.browser_s() < before


async def test_how_much_time_is_left_is_told_to_whom_the_server_knows_and_to_nobody_else(stand):
    async def ask(**headers):
        async with stand.http.get(f"{stand.url}renkei/time", headers=headers) as answer:
            assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
            return answer.status, await answer.text()

    assert (await ask())[0] == 403
    assert stand.seen == []
    status, text = await ask(Cookie="_xsrf=1; other=2")
    assert (status, json.loads(text)["left"]) == (200, "1 h 0 min left")
    assert [line for line, _ in stand.seen] == ["GET /user/tanaka/api/me?no_track_activity=1"]
    assert stand.seen[0][1]["Cookie"] == "_xsrf=1"
    await ask(Cookie="_xsrf=1; other=3")
    assert len(stand.seen) == 1, "known for a while"
    await ask(Cookie="_xsrf=2")
    assert len(stand.seen) == 2


async def test_before_it_is_open_it_refuses_in_one_sentence(stand):
    stand.doorway._open = False
    async with stand.http.get(stand.url) as answer:
        assert (answer.status, await answer.text()) == (503, "The session is not ready yet.\n")
    assert stand.seen == []


@pytest.mark.parametrize("path", ["/hub/home", "/user/suzuki/lab", "/user/tanaka/%2e%2e/x", "//user/tanaka/", "/user/tanaka/..%2f"])
async def test_other_paths_are_not_there(stand, path):
    answer = await stand.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert stand.seen == []


@pytest.mark.parametrize(
    "head",
    [
        b"GET http://evil.example/user/tanaka/ HTTP/1.1\r\nHost: x\r\n",
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n",
        b"TRACE /user/tanaka/ HTTP/1.1\r\nHost: x\r\n",
        b"PROPFIND /user/tanaka/ HTTP/1.1\r\nHost: x\r\n",
        b"GET /user/tanaka/ HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n",
        b"GET /user/tanaka/ HTTP/1.1\r\nHost: x\r\n folded: y\r\n",
        b"POST /user/tanaka/api/contents/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        b"POST /user/tanaka/api/contents/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n",
        b"POST /user/tanaka/api/contents/echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n",
        b"GET /user/tanaka/ HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n",
        b"\x16\x03\x01 nonsense\r\n",
    ],
)
async def test_requests_with_a_trick_in_them_never_reach_the_server(stand, head):
    answer = await stand.raw(head + b"Connection: close\r\n\r\n")
    assert answer.split(b" ")[1][:1] == b"4"
    assert stand.seen == []


async def test_hop_by_hop_headers_stay_on_their_hop(stand):
    sent = {"Connection": "close, X-XSRFToken", "TE": "trailers", "Proxy-Authorization": "x", "Upgrade": "h2c", "Keep-Alive": "5"}
    async with stand.http.get(f"{stand.url}api", headers=sent) as answer:
        assert answer.status == 200
    headers = {name.lower() for name in stand.seen[-1][1]}
    assert not headers & {"te", "proxy-authorization", "upgrade", "keep-alive", "connection"}


async def test_cookies_for_other_addresses_are_dropped(stand):
    async with stand.http.get(f"{stand.url}api/contents/cookies") as answer:
        assert answer.headers.getall("Set-Cookie") == ["a=1; Path=/user/tanaka/"]


async def test_an_answer_comes_piece_by_piece(stand):
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with stand.http.get(f"{stand.url}api/contents/stream") as answer:
        assert await answer.content.readany() == b"first"
        assert loop.time() - begun < 0.4
        assert await answer.content.read() == b"second"


async def test_an_answer_that_breaks_off_breaks_off_for_the_browser_too(stand):
    with pytest.raises(aiohttp.ClientPayloadError):
        async with stand.http.get(f"{stand.url}api/contents/gone") as answer:
            await answer.read()


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "api/contents/nothing", 204), ("GET", "api/contents/moved", 302), ("HEAD", "api", 200)]
)
async def test_answers_without_a_body(stand, method, path, status):
    async with stand.http.request(method, stand.url + path, allow_redirects=False) as answer:
        assert (answer.status, await answer.read()) == (status, b"")


async def test_too_large_a_body_is_refused_announced_or_not(stand, monkeypatch):
    monkeypatch.setattr(module, "REQUEST_LIMIT", 1000)

    async def unannounced():
        for _ in range(100):
            yield b"x" * 100

    async with stand.http.put(f"{stand.url}api/contents/echo", data=b"x" * 1001) as answer:
        assert answer.status == 413
    assert stand.seen == []
    async with stand.http.put(f"{stand.url}api/contents/echo", data=unannounced()) as answer:
        assert answer.status == 413
    async with stand.http.put(f"{stand.url}api/contents/echo", data=b"x" * 1000) as answer:
        assert (answer.status, len(await answer.read())) == (200, 1000)


async def test_a_websocket_passes_both_ways_with_protocol_and_close_code(stand):
    offered = ("v1.kernel.websocket.jupyter.org", "other")
    async with stand.http.ws_connect(f"{stand.url}{CHANNELS}", protocols=offered) as ws:
        assert ws.protocol == "v1.kernel.websocket.jupyter.org"
        await ws.send_str("abc")
        assert (await ws.receive()).data == "cba"
        await ws.send_bytes(bytes(1_000_000) + b"\x01")
        assert (await ws.receive()).data == b"\x01" + bytes(1_000_000)
        await ws.send_str("close")
        assert (await ws.receive()).data == 4321
    assert "sec-websocket-protocol" in {name.lower() for name in stand.seen[-1][1]}


async def test_a_websocket_elsewhere_is_not_there(stand):
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await stand.http.ws_connect(f"https://127.0.0.1:{stand.address[1]}/hub/websocket")
    assert caught.value.status == 404


async def test_a_server_that_has_gone_is_said_in_one_sentence(stand, tmp_path):
    (tmp_path / "server.sock").unlink()
    async with stand.http.get(stand.url) as answer:
        assert (answer.status, await answer.text()) == (502, "The notebook server does not answer.\n")


async def test_the_server_s_first_answer_is_waited_for_without_asking_again(tmp_path):
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "server.sock"))
    listening.listen()
    doorway = Doorway(tmp_path / "server.sock", Place(BASE), Allowance(), Budget(2**30), TimeLeft(time.time() + 3600))
    waiting = asyncio.create_task(doorway.server_answers())
    await asyncio.sleep(0.1)
    assert not waiting.done()
    server = Server()
    runner = web.ServerRunner(web.Server(server.handle))
    await runner.setup()
    await web.SockSite(runner, listening).start()
    await asyncio.wait_for(waiting, 5)
    assert [line for line, _ in server.seen] == ["GET /user/tanaka/api"]
    await doorway.close()
    await runner.cleanup()
