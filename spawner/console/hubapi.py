"""What the console asks of JupyterHub's own REST API, always with the token of whoever asks the console."""

from __future__ import annotations

import json
import ssl
from typing import TypeVar
from urllib.parse import quote

import msgspec
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.simple_httpclient import HTTPStreamClosedError, HTTPTimeoutError

from spawner.console.errors import HUB_HAS_NONE, HUB_REFUSED, HUB_SILENT, ConsoleError

TIMEOUT_S = 30.0
PAGE = 200
"""People a request: JupyterHub's own limit."""

_T = TypeVar("_T")


class HubPerson(msgspec.Struct, frozen=True, kw_only=True):
    """One person as JupyterHub tells; `groups` are those whose rules count for them."""

    name: str
    groups: tuple[str, ...] = ()
    last_activity: str | None = None


class HubGroup(msgspec.Struct, frozen=True, kw_only=True):
    """One group as JupyterHub tells."""

    name: str
    users: tuple[str, ...] = ()


class HubApi:
    """JupyterHub's API at `url` (`https://…/hub/api`), over mutual TLS where `context` says how."""

    def __init__(self, url: str, context: ssl.SSLContext | None) -> None:
        self._url = url.rstrip("/")
        self._context = context
        self._client = AsyncHTTPClient(force_instance=True)

    async def people(self, token: str) -> tuple[HubPerson, ...]:
        """Everybody whom `token` may list, by name. Raises ConsoleError."""
        found: list[HubPerson] = []
        while len(page := await self._get(f"users?offset={len(found)}&limit={PAGE}", token, tuple[HubPerson, ...])) == PAGE:
            found += page
        return tuple(sorted((*found, *page), key=lambda person: person.name))

    async def groups(self, token: str) -> tuple[HubGroup, ...]:
        """Every group, by name. Raises ConsoleError."""
        found: list[HubGroup] = []
        while len(page := await self._get(f"groups?offset={len(found)}&limit={PAGE}", token, tuple[HubGroup, ...])) == PAGE:
            found += page
        return tuple(sorted((*found, *page), key=lambda group: group.name))

    async def create_group(self, token: str, group: str) -> None:
        """Raises ConsoleError, with status 409 where there is one."""
        await self._send("POST", f"groups/{quote(group, safe='')}", token, {})

    async def delete_group(self, token: str, group: str) -> None:
        """Raises ConsoleError."""
        await self._send("DELETE", f"groups/{quote(group, safe='')}", token)

    async def join(self, token: str, group: str, person: str) -> None:
        """Put `person` into `group`. Raises ConsoleError."""
        await self._send("POST", f"groups/{quote(group, safe='')}/users", token, {"users": [person]})

    async def leave(self, token: str, group: str, person: str) -> None:
        """Take `person` out of `group`. Raises ConsoleError."""
        await self._send("DELETE", f"groups/{quote(group, safe='')}/users", token, {"users": [person]})

    async def stop(self, token: str, person: str, server: str) -> None:
        """End the server called `server` (empty: the default one) of `person`. Raises ConsoleError."""
        path = f"users/{quote(person, safe='')}/server" + (f"s/{quote(server, safe='')}" if server else "")
        await self._send("DELETE", path, token)

    async def _get(self, path: str, token: str, kind: type[_T]) -> _T:
        answer = await self._send("GET", path, token)
        try:
            return msgspec.json.decode(answer, type=kind)
        except msgspec.MsgspecError as error:
            raise ConsoleError(502, HUB_SILENT, f"the hub's answer to {path}: {error}") from error

    async def _send(self, method: str, path: str, token: str, body: dict[str, object] | None = None) -> bytes:
        request = HTTPRequest(
            f"{self._url}/{path}",
            method,
            headers={"Authorization": f"token {token}", "Content-Type": "application/json", "Accept": "application/json"},
            body=None if body is None else json.dumps(body),
            allow_nonstandard_methods=True,
            request_timeout=TIMEOUT_S,
            ssl_options=self._context,
            follow_redirects=False,
        )
        try:
            answer = await self._client.fetch(request, raise_error=False)
        except (OSError, HTTPStreamClosedError, HTTPTimeoutError) as error:
            raise ConsoleError(502, HUB_SILENT, f"{method} {path}: {error}") from error
        if answer.code == 599 or answer.code >= 500:
            raise ConsoleError(502, HUB_SILENT, f"{method} {path}: {answer.code}")
        if answer.code in {401, 403}:
            raise ConsoleError(403, HUB_REFUSED, f"{method} {path}: {answer.code}")
        if answer.code >= 400:
            raise ConsoleError(answer.code, HUB_HAS_NONE, f"{method} {path}: {answer.code}")
        return answer.body
