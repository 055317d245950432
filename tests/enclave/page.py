"""The hub's proxy, as small as it can be: plain HTTP for a browser on one side, the doorway's TLS on the other.

It says for the browser who it is, which in life the hub's login does.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from aiohttp import web

from tests.enclave.standin import BROWSER_TOKEN, StandinHub

_HOP = {"connection", "transfer-encoding", "upgrade", "keep-alive", "sec-websocket-key", "sec-websocket-version"}


class Page:
    """Serves the session of `hub` at `url`, inside the network of the testbed's hub."""

    def __init__(self, hub: StandinHub) -> None:
        self._hub = hub
        hub.thread.do(self._listen())

    async def _listen(self) -> None:
        target = f"https://10.77.1.11:{self._hub.port}"
        self._http = aiohttp.ClientSession(
            target, connector=aiohttp.TCPConnector(ssl=self._hub.browser(), limit=0), auto_decompress=False
        )
        self._runner = web.ServerRunner(web.Server(self._handle))
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        server: Any = site._server
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/user/tanaka/"

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        headers["Authorization"] = f"token {BROWSER_TOKEN}"
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._websocket(request, headers)
        body = await request.read()
        async with self._http.request(
            request.method, request.raw_path, headers=headers, data=body or None, allow_redirects=False
        ) as answer:
            kept = answer.headers.copy()
            kept.popall("Transfer-Encoding", None)
            return web.Response(status=answer.status, headers=kept, body=await answer.read())

    async def _websocket(self, request: web.BaseRequest, headers: dict[str, str]) -> web.StreamResponse:
        protocols = [each.strip() for each in headers.pop("Sec-WebSocket-Protocol", "").split(",") if each.strip()]
        headers.pop("Sec-WebSocket-Extensions", None)
        async with self._http.ws_connect(request.raw_path, headers=headers, protocols=protocols, max_msg_size=0) as inner:
            outer = web.WebSocketResponse(protocols=[inner.protocol] if inner.protocol else [], max_msg_size=0)
            await outer.prepare(request)

            async def pump(source: Any, sink: Any) -> None:
                async for message in source:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        await sink.send_str(message.data)
                    else:
                        await sink.send_bytes(message.data)
                await sink.close()

            await asyncio.gather(pump(inner, outer), pump(outer, inner), return_exceptions=True)
            return outer

    def close(self) -> None:
        async def stop() -> None:
            await self._http.close()
            await self._runner.cleanup()

        self._hub.thread.do(stop())
