"""The doorway: the only way from the browser to the notebook server.

HTTPS on the node's network, for holders of a certificate of the hub's proxy and the hub itself; behind it a unix socket into the
sandbox. It passes requests, answers and websocket messages through in both directions as they come, in pieces. It decides about
routes and methods (`enclave.routes`), headers, cookies and redirects (`enclave.wire`), sizes, rates and the session's bytes
(`enclave.budget`). None of that asks what the server thinks: a cell can become the server.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import msgspec
from aiohttp import web
from yarl import URL

from enclave.budget import FRAME, HEAD, Bucket, Budget
from enclave.routes import NoRouteError, Route, find
from enclave.timeleft import TimeLeft
from enclave.visitors import Visitors
from enclave.wire import (
    ALWAYS,
    CONTENT_SECURITY_POLICY,
    METHODS,
    STATUS,
    Place,
    for_a_service_worker,
    from_elsewhere,
    path_allowed,
    request_headers,
    response_headers,
)
from enclave.wording import Allowance

REQUEST_LIMIT = 64 * 2**20
"""Bytes of one request's body: a large notebook with its pictures, not an upload of scans."""
MESSAGE_LIMIT = 16 * 2**20
"""Bytes of one websocket message: a cell's pictures, in either direction."""
REQUEST_RATE, REQUEST_BURST = 100.0, 2000.0
"""Requests a second, and at once: JupyterLab's page is made of some hundred files."""
SOCKETS_LIMIT = 64
"""Websockets at once: one a kernel that is looked at, and one for events."""
_PIECE = 2**17


class _RefusedError(Exception):
    """A request that does not reach the server."""

    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(text or {404: "There is nothing at this address.", 405: "This method is not allowed here."}[status])
        self.status = status


class _Body:
    """A request's body on its way, up to REQUEST_LIMIT."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self.too_large = False

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Breaks the inner connection off, so that the server never takes a part for the whole."""
        total = 0
        async for piece in self._request.content.iter_chunked(_PIECE):
            total += len(piece)
            if total > REQUEST_LIMIT:
                self.too_large = True
                raise aiohttp.ClientPayloadError("too large")
            yield piece


class _Connection(web.RequestHandler):
    """One connection of the proxy's. What is no HTTP gets an answer of ours as well, and nobody's words reach a log."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002  (aiohttp's signature)
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """A refusal for what could not be read, or went wrong here."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        answer = _refusal(status, "This could not be understood." if status < 500 else "Something went wrong.")
        answer.force_close()
        return answer


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class Doorway:
    """Serves `listening` over TLS and passes on to the server behind `server_socket`, which is at `place` in the browser."""

    def __init__(self, server_socket: Path, place: Place, allowance: Allowance, budget: Budget, time_left: TimeLeft) -> None:
        self._place = place
        self._time_left = time_left
        self._allowance = allowance
        self._budget = budget
        self._rate = Bucket(REQUEST_RATE, REQUEST_BURST)
        self._sockets = 0
        self._open = False
        self._http = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(server_socket), limit=0),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            read_bufsize=_PIECE,
        )
        self._visitors = Visitors(self._http, place)
        self._runner = web.ServerRunner(_Server(self._handle, access_log=None), shutdown_timeout=1.0)

    async def listen(self, listening: socket.socket, context: ssl.SSLContext) -> None:
        """Begins to answer; nothing but refusals before `open`."""
        await self._runner.setup()
        await web.SockSite(self._runner, listening, ssl_context=context).start()

    def open(self) -> None:
        """Lets people in."""
        self._open = True

    async def server_answers(self) -> None:
        """Returns at the server's first answer, whatever it says. The socket was there before the server: no asking again."""
        async with self._http.get(URL(f"http://server{self._place.base_url}api", encoded=True)) as answer:
            await answer.content.read(_PIECE)

    async def kernels_busy(self, key: str) -> int | None:
        """How many kernels run something, by the server's word; None where it has none. `key` is a token that it believes."""
        return await self._visitors.kernels_busy(key)

    async def close(self) -> None:
        """Ends every connection."""
        self._open = False
        await self._http.close()
        await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        websocket = request.headers.get("Upgrade", "").lower() == "websocket"
        try:
            route = self._route(request, websocket=websocket)
        except _RefusedError as refused:
            return _refusal(refused.status, str(refused))
        url = URL(f"http://server{request.raw_path}", encoded=True)
        body = _Body(request)
        try:
            if route.own:
                return await self._time(request)
            if websocket:
                return await self._websocket(request, url)
            return await self._pass(request, url, body, route)
        except (aiohttp.ClientError, TimeoutError, ValueError):
            if body.too_large:
                return self._too_much(413)
            return _refusal(502, "The notebook server does not answer.")

    def _route(self, request: web.BaseRequest, *, websocket: bool) -> Route:
        """The route of `request`. Raises _RefusedError when it must not reach the server."""
        if not self._open:
            raise _RefusedError(503, "The session is not ready yet.")
        if not self._rate.take():
            raise _RefusedError(429, "Too many requests at once.")
        if request.method not in METHODS:
            raise _RefusedError(405)
        if not path_allowed(request.raw_path, self._place.base_url):
            raise _RefusedError(404)
        if from_elsewhere(request.method, request.headers, websocket=websocket):
            raise _RefusedError(403, "Another site's page asked for this.")
        if for_a_service_worker(request.headers):
            raise _RefusedError(403, "There are no service workers here.")
        if (request.content_length or 0) > REQUEST_LIMIT:
            raise _RefusedError(413, self._allowance.too_large)
        try:
            return find(request.method, request.raw_path, self._place.base_url, websocket=websocket)
        except NoRouteError as error:
            raise _RefusedError(error.status) from error

    async def _time(self, request: web.BaseRequest) -> web.Response:
        """How much time is left. Whoever the server does not know hears nothing."""
        if not await self._visitors.known(request.headers):
            return _refusal(403, "Please log in.")
        body = msgspec.json.encode(self._time_left.view())
        headers = {**ALWAYS, "Content-Security-Policy": CONTENT_SECURITY_POLICY}
        await self._pay(HEAD + len(body))
        return web.Response(body=body, content_type="application/json", headers=headers)

    async def _pass(self, request: web.BaseRequest, url: URL, body: _Body, route: Route) -> web.StreamResponse:
        data = body.pieces() if request.can_read_body else None
        async with self._http.request(
            request.method, url, headers=request_headers(request.headers, self._place), data=data, allow_redirects=False
        ) as answer:
            if answer.status not in STATUS:
                return _refusal(502, "The notebook server does not answer.")
            if route.person and answer.status < 300:
                self._time_left.spoke()
            headers = response_headers(answer.headers, self._place)
            announced = 0 if request.method == "HEAD" else answer.content_length or 0
            if announced > route.limit:
                return self._too_much(413)
            if not self._budget.allows(announced):
                return self._too_much(429)
            if answer.status == 204:
                headers.popall("Content-Length", None)
            await self._pay(HEAD + sum(len(name) + len(value) for name, value in headers.items()))
            response = web.StreamResponse(status=answer.status, headers=headers)
            await response.prepare(request)
            if not await self._pass_body(answer, response, route) and request.transport is not None:
                # Headers are out: only an aborted connection tells the browser that the rest is missing.
                request.transport.abort()
            await response.write_eof()
            return response

    async def _pass_body(self, answer: aiohttp.ClientResponse, response: web.StreamResponse, route: Route) -> bool:
        """Whether all of it came, and might."""
        sent = 0
        try:
            async for piece in answer.content.iter_chunked(_PIECE):
                sent += len(piece)
                if sent > route.limit or not self._budget.allows(sent):
                    return False
                await self._pay(len(piece))
                await response.write(piece)
        except aiohttp.ClientError:
            return False
        return True

    async def _pay(self, amount: int) -> None:
        if delay := self._budget.spend(amount):
            await asyncio.sleep(delay)

    async def _websocket(self, request: web.BaseRequest, url: URL) -> web.StreamResponse:
        if self._sockets >= SOCKETS_LIMIT:
            return _refusal(429, "Too many connections at once.")
        offered = [each.strip() for each in request.headers.get("Sec-WebSocket-Protocol", "").split(",") if each.strip()]
        self._sockets += 1
        try:
            inner = await self._http.ws_connect(
                url,
                headers=request_headers(request.headers, self._place),
                protocols=offered,
                max_msg_size=MESSAGE_LIMIT,
                autoping=False,
                compress=0,
            )
            async with inner:
                outer = web.WebSocketResponse(
                    protocols=[inner.protocol] if inner.protocol else [], max_msg_size=MESSAGE_LIMIT, autoping=False, compress=False
                )
                outer.headers.update(ALWAYS)
                outer.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
                await outer.prepare(request)
                await _both_ways(outer, inner, self._budget, self._time_left)
                return outer
        finally:
            self._sockets -= 1

    def _too_much(self, status: int) -> web.Response:
        """The sentence in the person's language, as JupyterLab shows what a server says."""
        sentence = self._allowance.used_up if status == 429 else self._allowance.too_large
        headers = {**ALWAYS, "Content-Security-Policy": CONTENT_SECURITY_POLICY}
        return web.json_response({"message": sentence, "reason": None}, status=status, headers=headers)


_Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


async def _both_ways(
    outer: web.WebSocketResponse, inner: aiohttp.ClientWebSocketResponse, budget: Budget, time_left: TimeLeft
) -> None:
    tasks = [asyncio.create_task(_pump(outer, inner, spoke=time_left.spoke)), asyncio.create_task(_pump(inner, outer, budget))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        code = inner.close_code or outer.close_code or aiohttp.WSCloseCode.GOING_AWAY
        # 1005 and 1006 say that no code came; they may not be sent.
        sendable = code if 1000 <= code < 5000 and code not in {1005, 1006} else aiohttp.WSCloseCode.GOING_AWAY
        await asyncio.gather(outer.close(code=sendable), inner.close(code=sendable), return_exceptions=True)


async def _pump(source: _Socket, sink: _Socket, budget: Budget | None = None, spoke: Callable[[], None] | None = None) -> None:
    """Passes messages on, one after the other, until either side has gone; a slow sink makes the source wait.

    Where a `budget` counts them, a message that it does not allow is left out: the kernel goes on, and so does its small talk.
    """
    while True:
        message = await source.receive()
        data = message.data
        if budget is not None and isinstance(data, str | bytes | bytearray):
            size = FRAME + (len(data.encode()) if isinstance(data, str) and not data.isascii() else len(data))
            if not budget.allows(size):
                continue
            if delay := budget.spend(size):
                await asyncio.sleep(delay)
        # Pings and pongs are the programs' own.
        if spoke is not None and isinstance(data, str):
            spoke()
        if not await _sent(sink, message):
            return


async def _sent(sink: _Socket, message: aiohttp.WSMessage) -> bool:
    """Whether `message` was one to pass on, and `sink` there to take it."""
    data = message.data
    try:
        match message.type:
            case aiohttp.WSMsgType.TEXT:
                await sink.send_str(data)
            case aiohttp.WSMsgType.BINARY:
                await sink.send_bytes(data)
            case aiohttp.WSMsgType.PING:
                await sink.ping(data)
            case aiohttp.WSMsgType.PONG:
                await sink.pong(data)
            case _:
                return False
    except (ConnectionError, aiohttp.ClientError):
        return False
    return True


def _refusal(status: int, text: str) -> web.Response:
    """A short answer of the doorway's own; people see the hub's pages instead, which know their language."""
    headers = {**ALWAYS, "Content-Security-Policy": CONTENT_SECURITY_POLICY}
    return web.Response(status=status, text=text + "\n", headers=headers)
