"""What a person's browser asks of a hub, as an HTTP client: log in, start a server, run one cell, stop."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

MESSAGE_LIMIT = 64 * 2**20
"""Bytes of one message from a kernel: what a cell prints may come as one."""
CELL_S = 120.0
"""Seconds that a cell may take."""


class PersonError(Exception):
    """The hub did not do what a person asked of it; the text says what it answered."""


class Person:
    """A browser session of one person at one hub."""

    def __init__(self, hub: str, name: str, server: str = "") -> None:
        """`hub` is the public address, without a path; `name` the person's name at the hub, `server` their name for the session."""
        self.hub = URL(hub)
        self.name = name
        self.server = server
        # The proxy closes a connection that was idle for 5 s; a browser asks again when that meets a wish, a POST here is lost.
        connector = aiohttp.TCPConnector(keepalive_timeout=3)
        # Addresses without a name get cookies too.
        cookies, timeout = aiohttp.CookieJar(unsafe=True), aiohttp.ClientTimeout(total=180)
        self._session = aiohttp.ClientSession(connector=connector, cookie_jar=cookies, timeout=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._session.close()

    async def log_in(self, password: str) -> None:
        """Fill the login form. Raises PersonError when it is refused."""
        login = self.hub / "hub" / "login"
        async with self._session.get(login) as page:
            token = re.search(r'name="_xsrf" value="([^"]+)"', await page.text())
        form = {"username": self.name, "password": password, "_xsrf": token.group(1) if token else ""}
        async with self._session.post(login, data=form, allow_redirects=False) as answer:
            if answer.status != 302:
                raise PersonError(f"the login was refused ({answer.status})")

    def _guard(self, place: URL) -> dict[str, str]:
        """The header that shows a request was made by a page of `place`."""
        return {"X-XSRFToken": self._session.cookie_jar.filter_cookies(place)["_xsrf"].value}

    @property
    def _server(self) -> URL:
        user = self.hub / "hub" / "api" / "users" / self.name
        return user / "servers" / self.server if self.server else user / "server"

    async def ask_for_server(self, options: Mapping[str, object]) -> None:
        """Press the button. Raises PersonError when the wish is refused."""
        headers = self._guard(self.hub / "hub" / "")
        async with self._session.post(self._server, json={"user_options": dict(options)}, headers=headers) as answer:
            if answer.status not in {201, 202}:
                raise PersonError(f"the server was refused ({answer.status}): {await answer.text()}")

    async def wish(self, options: Mapping[str, object]) -> tuple[int, str]:
        """The same, whatever is answered: status and text."""
        headers = self._guard(self.hub / "hub" / "")
        async with self._session.post(self._server, json={"user_options": dict(options)}, headers=headers) as answer:
            return answer.status, await answer.text()

    async def servers(self) -> dict[str, dict[str, object]]:
        """The person's servers, as the API has them."""
        async with self._session.get(self._server.parent, headers=self._guard(self.hub / "hub" / "")) as answer:
            return dict((await answer.json()).get("servers", {}))

    async def wait_until_ready(self) -> list[str]:
        """Follow the progress page to its end; the messages that it showed. Raises PersonError when the start failed."""
        shown = []
        async with self._session.get(self._server / "progress", headers=self._guard(self.hub / "hub" / "")) as stream:
            async for line in stream.content:
                if not line.startswith(b"data:"):
                    continue
                event = json.loads(line.removeprefix(b"data:"))
                shown.append(event.get("message", ""))
                if event.get("failed"):
                    raise PersonError(f"the start failed: {event.get('message')}")
                if event.get("ready"):
                    return shown
        raise PersonError(f"the progress page ended early, after: {shown}")

    @property
    def _home(self) -> URL:
        home = self.hub / "user" / self.name
        return home / self.server / "" if self.server else home / ""

    async def open_lab(self) -> None:
        """Open JupyterLab, as the progress page does when all is ready; this logs the browser in at the server."""
        async with self._session.get(self._home / "lab") as page:
            if page.status != 200 or not page.url.path.startswith(self._home.path):
                raise PersonError(f"JupyterLab did not open ({page.status} at {page.url.path})")

    @asynccontextmanager
    async def kernel(self, spec: str) -> AsyncIterator[str]:
        """Start a kernel of the kind `spec`; gives its id, and ends it."""
        kernels = self._home / "api" / "kernels"
        async with self._session.post(kernels, json={"name": spec}, headers=self._guard(self._home)) as answer:
            if answer.status != 201:
                raise PersonError(f"no kernel ({answer.status}): {await answer.text()}")
            number = (await answer.json())["id"]
        try:
            yield number
        finally:
            async with self._session.delete(kernels / number, headers=self._guard(self._home)):
                pass

    async def run_cell(self, kernel: str, code: str, expression: str = "") -> str:
        """The text result of `code` in the running `kernel`; or, where there is one, of `expression` after it.

        An expression's value comes with the kernel's reply. A cell's own result is output, which jupyter_server drops while a cell
        prints more than its limit (3 MB within 3 s). Raises PersonError when there is no result, or none in CELL_S.
        """
        message = str(uuid.uuid4())
        header = {"msg_id": message, "msg_type": "execute_request", "session": str(uuid.uuid4()), "username": "", "version": "5.3"}
        wanted = {"result": expression} if expression else {}
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": wanted, "allow_stdin": False}
        request = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "buffers": [], "channel": "shell"}
        channels = self._home / "api" / "kernels" / kernel / "channels"
        try:
            async with (
                asyncio.timeout(CELL_S),
                self._session.ws_connect(channels, headers=self._guard(self._home), max_msg_size=MESSAGE_LIMIT) as socket,
            ):
                await socket.send_json(request)
                return await _result(socket, message)
        except TimeoutError as error:
            raise PersonError(f"the cell gave no result in {CELL_S:.0f} s") from error

    async def call(self, method: str, path: str, body: object = None) -> int:
        """The HTTP status of a call to the own server, `path` being below its root; redirects are followed."""
        async with self._session.request(method, self._home.join(URL(path)), json=body, headers=self._guard(self._home)) as answer:
            await answer.read()
            return answer.status

    async def stop(self, patience: float = 60.0) -> None:
        """Stop the server, and wait until the hub says it is gone. Raises PersonError when that takes over `patience` seconds."""
        guard = self._guard(self.hub / "hub" / "")
        async with self._session.delete(self._server, headers=guard):
            pass
        end = time.monotonic() + patience
        while time.monotonic() < end:
            async with self._session.get(self.hub / "hub" / "api" / "users" / self.name, headers=guard) as answer:
                found = (await answer.json()).get("servers", {}).get(self.server)
                if found is None or not (found["ready"] or found["pending"]):
                    return
            await asyncio.sleep(0.1)
        raise PersonError("the server did not stop")


async def _result(socket: aiohttp.ClientWebSocketResponse, message: str) -> str:
    """The text result that the kernel gives for the request `message`: all output has come when it says that it is idle."""
    result = None
    left = {"execute_reply", "status"}
    async for frame in socket:
        said = json.loads(frame.data)
        kind, content = said["msg_type"], said["content"]
        if said["parent_header"].get("msg_id") != message:
            continue
        if kind == "error":
            raise PersonError(f"the cell failed: {content['ename']}: {content['evalue']}")
        if kind == "execute_result":
            result = content["data"]["text/plain"]
        elif kind == "execute_reply":
            left.discard(kind)
            if (value := content.get("user_expressions", {}).get("result")) is not None:
                result = value["data"]["text/plain"] if value["status"] == "ok" else None
        elif kind == "status" and content["execution_state"] == "idle":
            left.discard(kind)
        if not left or (result is not None and "execute_reply" not in left):
            if result is None:
                raise PersonError("the cell gave no result")
            return str(result)
    raise PersonError("the kernel hung up")
