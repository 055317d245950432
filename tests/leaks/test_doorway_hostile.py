"""A cell has become the server and answers what it likes: nothing new passes the doorway, and nothing harms it.

The server here is a socket that writes raw bytes, as whatever took the real one's place could.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import socket
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Self

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from enclave.budget import Bucket, Budget
from enclave.doorway import Doorway, _Server
from enclave.timeleft import TimeLeft
from enclave.wire import ALWAYS, CONTENT_SECURITY_POLICY, STATUS, Place
from enclave.wording import Allowance

BASE = "/user/tanaka/"
PLACE = Place(BASE, "/hub/", "jupyterhub-user-tanaka")
CHANNELS = f"{BASE}api/kernels/01234567-89ab-cdef-0123-456789abcdef/channels"
Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


class Stand:
    """A doorway without TLS, before a server that a test plays."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[bytes] = []
        self.answer: Answer = self.says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        self.budget = Budget(2**30)

    def says(self, raw: bytes) -> Answer:
        async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
            writer.write(raw)
            await writer.drain()

        return answer

    async def __aenter__(self) -> Self:
        path = str(self.folder / "server.sock")
        self._server = await asyncio.start_unix_server(self._play, path)
        self.doorway = Doorway(self.folder / "server.sock", PLACE, Allowance(), self.budget, TimeLeft(time.time() + 3600))
        self.doorway.open()
        self._runner = web.ServerRunner(_Server(self.doorway._handle, access_log=None))
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.doorway.close()
        await self._runner.cleanup()
        self._server.close()
        (self.folder / "server.sock").unlink()

    async def _play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.asked.append(head)
            await self.answer(head, writer)
            writer.close()

    async def ask(self, head: str = f"GET {BASE}lab HTTP/1.1", *, seconds: float = 5, limit: int = 2**24) -> tuple[int, str, bytes]:
        """Status, head and body of one answer, read to the end of the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"{head}\r\nHost: hub\r\nConnection: close\r\n\r\n".encode())
        whole = b""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(seconds):
                while len(whole) < limit and (piece := await reader.read(2**16)):
                    whole += piece
        writer.close()
        said, _, body = whole.partition(b"\r\n\r\n")
        return int(said.split(b" ", 2)[1]), said.decode("latin-1"), body


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with Stand(tmp_path) as found:
        yield found


def carries_the_policy(head: str) -> bool:
    lines = head.split("\r\n")[1:]
    wanted = [f"{name}: {value}" for name, value in ALWAYS.items()] + [f"Content-Security-Policy: {CONTENT_SECURITY_POLICY}"]
    return set(wanted) <= set(lines)


NO_ANSWER = {
    "no HTTP": b"hello\r\n\r\n",
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "a head without end": b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 50_000,
    "an endless line": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000,
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "a length and pieces": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nPRI * HTTP/2.0",
    "a status that is none": b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n",
    "a status of a proxy": b"HTTP/1.1 407 Password please\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
    "reset the page": b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
    "a part": b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\nab",
    "a redirect out": b"HTTP/1.1 302 Found\r\nLocation: https://evil.example/?secret\r\nContent-Length: 0\r\n\r\n",
    "a redirect to the hub": b"HTTP/1.1 302 Found\r\nLocation: /hub/spawn\r\nContent-Length: 0\r\n\r\n",
    "a redirect to somebody else": b"HTTP/1.1 307 Found\r\nLocation: /user/suzuki/lab\r\nContent-Length: 0\r\n\r\n",
    "a redirect with a trick": b"HTTP/1.1 302 Found\r\nLocation: //evil.example/user/tanaka/\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("raw", NO_ANSWER.values(), ids=NO_ANSWER)
async def test_what_is_no_answer_is_said_in_one_sentence(stand, raw):
    stand.answer = stand.says(raw)
    status, head, body = await stand.ask()
    assert (status, body) == (502, b"The notebook server does not answer.\n")
    assert carries_the_policy(head)


HARMFUL = (
    b"Set-Cookie: jupyterhub-hub-login=x; Path=/hub/", b"Set-Cookie: a=1; Path=/", b"Set-Cookie: a=1; Domain=hub.example",
    b"Set-Cookie: \xff=1; Path=/user/tanaka/", b"Service-Worker-Allowed: /", b'Clear-Site-Data: "*"', b'Speculation-Rules: "/x"',
    b"Refresh: 0; url=https://evil.example/", b"Link: <https://evil.example/>; rel=preload", b"SourceMap: //evil.example",
    b"Access-Control-Allow-Origin: *", b"Content-Disposition: attachment; filename=ct.nii", b"WWW-Authenticate: Basic",
    b"Strict-Transport-Security: max-age=0", b"Cache-Control: public, max-age=99999", b"Expires: Thu, 01 Dec 2094 16:00:00 GMT",
    b'Alt-Svc: h3=":443"', b"X-Anything: 1", b"Report-To: {}", b"NEL: {}", b"Trailer: Set-Cookie", b"Public-Key-Pins: x",
    b"Content-Security-Policy: default-src *", b"Cross-Origin-Resource-Policy: cross-origin", b"X-DNS-Prefetch-Control: on",
    b"Permissions-Policy: camera=*", b"Etag: a\x01b", b"Location: javascript:x",
)  # fmt: skip


async def test_of_its_headers_none_passes_that_reaches_beyond_the_answer(stand):
    harmful = [each for each in HARMFUL if not each.startswith((b"Location", b"Etag"))]
    stand.answer = stand.says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + b"\r\n".join(harmful) + b"\r\n\r\nok")
    status, head, body = await stand.ask()
    assert (status, body) == (200, b"ok")
    assert carries_the_policy(head)
    names = {line.split(":")[0].lower() for line in head.split("\r\n")[1:]}
    assert names <= {name.lower() for name in ALWAYS} | {
        "content-length",
        "content-security-policy",
        "content-type",
        "date",
        "connection",
    }
    assert head.count("Content-Security-Policy") == 2
    assert f"Content-Security-Policy: {CONTENT_SECURITY_POLICY}" in head


HIDING = (
    b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nabcde",
    b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
)


@pytest.mark.parametrize("raw", HIDING)
async def test_an_answer_with_something_hidden_behind_it_is_one_answer(stand, raw):
    stand.answer = stand.says(raw + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhidden")
    status, head, body = await stand.ask()
    assert (status, body) in {(200, b""), (502, b"The notebook server does not answer.\n")}
    assert carries_the_policy(head)


async def test_a_body_after_the_answer_to_a_head_request_goes_nowhere(stand):
    stand.answer = stand.says(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhidden")
    _, head, body = await stand.ask(f"HEAD {BASE}lab HTTP/1.1")
    assert body == b""
    assert carries_the_policy(head)


async def test_an_endless_answer_ends_at_the_route_s_limit(stand):
    async def endless(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 2**16 + b"\r\n")
            await writer.drain()

    stand.answer = endless
    _, _, body = await stand.ask(f"GET {BASE}api/status HTTP/1.1")
    assert 0 < len(body) <= 2**20 + 2**12


async def test_an_announced_answer_that_is_too_large_never_begins(stand):
    stand.answer = stand.says(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 9_000_000)
    status, head, body = await stand.ask(f"GET {BASE}api/contents/a.nii?type=file&format=base64 HTTP/1.1")
    assert status == 413
    assert b"too large" in body
    assert carries_the_policy(head)


async def test_a_slow_answer_keeps_nobody_else_waiting(stand):
    async def slow(head: bytes, writer: asyncio.StreamWriter) -> None:
        if b"lab/tree" in head:
            await asyncio.sleep(30)
        await stand.says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")(head, writer)

    stand.answer = slow
    waiting = [asyncio.create_task(stand.ask(f"GET {BASE}lab/tree/{number} HTTP/1.1", seconds=20)) for number in range(200)]
    await asyncio.sleep(0.3)
    begun = asyncio.get_running_loop().time()
    assert (await stand.ask())[0] == 200
    assert asyncio.get_running_loop().time() - begun < 2
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


def accept(head: bytes) -> bytes:
    """The answer that opens a websocket."""
    key = next(line.split(b": ")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    said = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())  # noqa: S324  (RFC 6455)
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + said
        + b"\r\nSet-Cookie: a=1; Path=/\r\nService-Worker-Allowed: /\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    )  # fmt: skip


WEBSOCKET = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="


async def upgrade(stand: Stand, target: str = CHANNELS, more: str = "") -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\n{WEBSOCKET}{more}\r\n\r\n".encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    return head, reader, writer


async def test_a_websocket_opens_with_headers_of_the_doorway_s_own(stand):
    async def opens(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(accept(head) + b"\x81\x02ok")
        await writer.drain()
        await asyncio.sleep(1)

    stand.answer = opens
    head, reader, writer = await upgrade(stand)
    text = head.decode()
    assert text.startswith("HTTP/1.1 101 ")
    assert carries_the_policy(text.removesuffix("\r\n\r\n"))
    assert not [name for name in ("Set-Cookie", "Service-Worker", "Extensions") if name in text]
    assert await asyncio.wait_for(reader.readexactly(4), 5) == b"\x81\x02ok"
    writer.close()


@pytest.mark.parametrize(
    "frame",
    [
        b"\x82\x7f" + (2**40).to_bytes(8, "big"),
        b"\x83\x00",
        b"\xc1\x02ok",
        b"\x81\x02\xff\xfe",
        b"\x88\x01x",
    ],
    ids=["a terabyte", "an unknown kind", "compressed", "no text", "half a code"],
)
async def test_a_message_that_is_none_closes_the_websocket_and_nothing_else(stand, frame):
    async def opens(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(accept(head) + frame)
        await writer.drain()
        await asyncio.sleep(2)

    stand.answer = opens
    _, reader, writer = await upgrade(stand)
    left = await asyncio.wait_for(reader.read(64), 5)
    assert left[:1] in {b"", b"\x88"}
    writer.close()
    stand.answer = stand.says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert (await stand.ask())[0] == 200


@pytest.mark.parametrize(("target", "more", "status"), [
    (f"{BASE}lab", "", 404),
    (f"{BASE}api/contents/a", "", 404),
    (f"{BASE}terminals/websocket/1", "", 404),
    (CHANNELS, "\r\nOrigin: https://suzuki.hub.example", 403),
    (CHANNELS, "\r\nSec-Fetch-Site: same-site\r\nSec-Fetch-Mode: websocket", 403),
])  # fmt: skip
async def test_a_websocket_elsewhere_or_of_another_site_s_page_never_reaches_the_server(stand, target, more, status):
    head, _, writer = await upgrade(stand, target, more)
    assert int(head.split(b" ")[1]) == status
    assert stand.asked == []
    writer.close()


async def test_a_websocket_s_address_is_no_page(stand):
    assert (await stand.ask(f"GET {CHANNELS} HTTP/1.1"))[0] == 404
    assert stand.asked == []


async def test_what_is_no_http_is_refused_under_the_policy_too(stand):
    for raw in (
        b"\x16\x03\x01nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /user/tanaka/lab HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
        writer.write(raw)
        answer = (await asyncio.wait_for(reader.read(), 5)).decode("latin-1")
        assert answer.split(" ")[1] == "400"
        assert carries_the_policy(answer.partition("\r\n\r\n")[0])
        writer.close()


async def test_the_hub_s_cookie_never_gets_inside(stand):
    await stand.ask(
        f"GET {BASE}lab HTTP/1.1\r\nCookie: jupyterhub-hub-login=secret; _xsrf=x\r\nCookie: jupyterhub-user-suzuki=secret"
    )
    assert b"_xsrf=x" in stand.asked[0]
    assert b"secret" not in stand.asked[0]


async def test_a_flood_of_requests_is_refused(stand):
    stand.doorway._rate = Bucket(rate=0.001, burst=5)
    assert [(await stand.ask())[0] for _ in range(7)] == [200] * 5 + [429] * 2


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    head=st.lists(
        st.sampled_from(
            [*HARMFUL, b"Content-Length: 3", b"Content-Type: text/html", b"Transfer-Encoding: chunked", b"\x00", b": x"]
        ),
        max_size=6,
    ),
    status=st.sampled_from([b"200 OK", b"302 Found", b"101 Up", b"103 Early Hints", b"204 No", b"304 Not", b"600 x", b"abc"]),
    body=st.binary(max_size=40),
)
async def test_whatever_it_says_the_answer_is_one_of_ours(tmp_path_factory, head, status, body):
    async with Stand(tmp_path_factory.mktemp("s")) as stand:
        stand.answer = stand.says(b"HTTP/1.1 " + status + b"\r\n" + b"".join(each + b"\r\n" for each in head) + b"\r\n" + body)
        code, said, _ = await stand.ask(seconds=3)
        assert code in STATUS
        assert carries_the_policy(said)
        assert "evil" not in said.replace(CONTENT_SECURITY_POLICY, "")


async def test_memory_does_not_grow_with_what_a_browser_does_not_read(stand):
    async def endless(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 2**16 + b"\r\n")
            await writer.drain()

    stand.answer = endless
    tracemalloc.start()
    opened = []
    for _ in range(10):
        raw = socket.create_connection(("127.0.0.1", stand.port))
        raw.sendall(f"GET {BASE}static/x.js HTTP/1.1\r\nHost: hub\r\n\r\n".encode())
        opened.append(raw)
    await asyncio.sleep(2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    for raw in opened:
        raw.close()
    assert peak < 30 * 2**20
