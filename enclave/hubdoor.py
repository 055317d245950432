"""The doorway's other half: the few calls that the notebook server may make to the hub.

The server reaches it by a unix socket in the sandbox, without any token of the hub's. Every call is taken apart, checked and made
anew here, so that nothing of what arrives is passed on as it came; the token is added to those that need it. Answered here
and going no further: what the person in front of a notebook should know by now, when the session ends, how the storage does, and
that the enclave itself may ask the server what its kernels do.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlencode

import aiohttp
import msgspec
from aiohttp import web

from enclave.budget import Bucket, Budget
from enclave.messages import Level, Welcome
from enclave.timeleft import TimeLeft

REQUEST_LIMIT = 16_384
ANSWER_LIMIT = 2**20
CALL_RATE, CALL_BURST = 5.0, 60.0
"""Calls a second, and at once: each request of a browser whose login the server does not remember is one."""
NOTICE = "/renkei/notice"
"""Answers with `{"notice": …}`: a sentence in the person's language, or nothing."""
STORAGE = "/renkei/storage"
"""Answers with what is shown of the storage (`enclave.storage.Told`)."""
TIME = "/renkei/time"
"""Answers with `{"deadline": …}`: when the session ends, in seconds since the epoch."""

_AUTHORIZATION = re.compile(r"(?:token|bearer) ([A-Za-z0-9_.~+/=-]{8,512})", re.IGNORECASE)
_ANSWER_HEADERS = ("Content-Type", "X-JupyterHub-Version")
_OAUTH_FIELDS = frozenset({"client_id", "client_secret", "grant_type", "code", "redirect_uri", "code_verifier"})


class _Activity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    last_activity: datetime | None = None


class Activity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When person and server were last active, as jupyterhub-singleuser says it."""

    last_activity: datetime | None = None
    servers: dict[str, _Activity] = {}


class ForbiddenError(Exception):
    """A call that the server has no business with."""


@dataclass(frozen=True)
class Call:
    """One call to the hub, made anew."""

    method: str
    path: str
    """Below the hub's API."""
    headers: dict[str, str]
    body: bytes | None = None


def check(method: str, target: str, authorization: str, body: bytes, welcome: Welcome) -> Call:
    """The call to the hub that the server's request stands for.

    Raises ForbiddenError for every other than the four that jupyterhub-singleuser makes: the hub's version, who the browser's
    token belongs to, a token for a browser's code, and the own activity.
    """
    token = welcome.environment.get("JUPYTERHUB_API_TOKEN", "")
    activity = f"/hub/api/users/{quote(welcome.user, safe='')}/activity"
    match method, target:
        case "GET", "/hub/api":
            return Call("GET", "", {})
        case "GET", "/hub/api/user":
            # The browser's own token, which is the server's to check; never ours.
            found = _AUTHORIZATION.fullmatch(authorization)
            if found is None:
                raise ForbiddenError("no token to ask about")
            return Call("GET", "/user", {"Authorization": f"token {found[1]}"})
        case "POST", "/hub/api/oauth2/token":
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            return Call("POST", "/oauth2/token", form, _oauth(body, welcome, token))
        case "POST", path if path == activity:
            headers = {"Authorization": f"token {token}", "Content-Type": "application/json"}
            return Call("POST", activity.removeprefix("/hub/api"), headers, _activity(body, welcome))
    raise ForbiddenError("not a call of the server's")


def _oauth(body: bytes, welcome: Welcome, token: str) -> bytes:
    try:
        pairs = parse_qsl(body.decode("ascii"), strict_parsing=True, max_num_fields=len(_OAUTH_FIELDS))
    except (ValueError, UnicodeDecodeError) as error:
        raise ForbiddenError("no form") from error
    form = dict(pairs)
    if len(form) != len(pairs) or not form.keys() <= _OAUTH_FIELDS:
        raise ForbiddenError("fields that are not asked for")
    if form.get("grant_type") != "authorization_code" or form.get("client_id") != welcome.environment.get("JUPYTERHUB_CLIENT_ID"):
        raise ForbiddenError("another client, or another grant")
    return urlencode(form | {"client_secret": token}).encode()


def _activity(body: bytes, welcome: Welcome) -> bytes:
    try:
        activity = msgspec.json.decode(body, type=Activity)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ForbiddenError("no activity") from error
    own = welcome.environment.get("JUPYTERHUB_SERVER_NAME", "")
    if not activity.servers.keys() <= {own}:
        raise ForbiddenError("another server's activity")
    try:
        servers = {name: _Activity(_minute(each.last_activity)) for name, each in activity.servers.items()}
        return msgspec.json.encode(Activity(_minute(activity.last_activity), servers))
    except OverflowError as error:
        raise ForbiddenError("a time before all times") from error


def _minute(when: datetime | None) -> datetime | None:
    """The minute of `when`, none to come: the hub keeps it, and what it can't read stands in its log. So it says little else."""
    if when is None:
        return None
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return min(aware, datetime.now(UTC)).astimezone(UTC).replace(second=0, microsecond=0)


class HubDoor:
    """Serves the socket in the sandbox and calls the hub over TLS with the doorway's certificate."""

    def __init__(self, welcome: Welcome, context: ssl.SSLContext, budget: Budget, time_left: TimeLeft) -> None:
        self._welcome = welcome
        self._budget = budget
        self._time_left = time_left
        self.key = secrets.token_urlsafe(24)
        """A token of the enclave's own: the server asks here whose it is. It opens nothing but this server."""
        self._rate = Bucket(CALL_RATE, CALL_BURST)
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=8),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=30),
        )
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=0.5)

    async def listen(self, listening: socket.socket) -> None:
        """Begins to answer on the socket that the sandbox sees."""
        await self._runner.setup()
        await web.SockSite(self._runner, listening).start()

    async def close(self) -> None:
        """Ends every connection."""
        await self._http.close()
        await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Upgrade"):
            return web.Response(status=403)
        if (own := self._own_answer(request)) is not None:
            return web.json_response(own)
        if not self._rate.take():
            return web.json_response({"status": 429, "message": "too many calls"}, status=429, headers={"Retry-After": "1"})
        try:
            body = await _read(request.content, REQUEST_LIMIT)
            authorization = request.headers.get("Authorization", "")
            call = check(request.method, request.raw_path, authorization, body, self._welcome)
            url = self._welcome.hub_api_url + call.path
            async with self._http.request(call.method, url, headers=call.headers, data=call.body, allow_redirects=False) as answer:
                content = await _read(answer.content, ANSWER_LIMIT)
                headers = {name: answer.headers[name] for name in _ANSWER_HEADERS if name in answer.headers}
                return web.Response(status=answer.status, body=content, headers=headers)
        except ForbiddenError as error:
            return web.json_response({"status": 403, "message": str(error)}, status=403)
        except (aiohttp.ClientError, TimeoutError):
            return web.json_response({"status": 502, "message": "the hub does not answer"}, status=502)

    def _own_answer(self, request: web.BaseRequest) -> dict[str, object] | None:
        """What is answered here and goes no further; None for everything else."""
        match request.method, request.raw_path:
            case "GET", path if path == NOTICE:
                return {"notice": notice(self._budget, self._welcome)}
            case "GET", path if path == TIME:
                return {"deadline": self._time_left.deadline}
            case "GET", path if path == STORAGE:
                return msgspec.structs.asdict(self._time_left.storage())
            case "GET", "/hub/api/user" if _is_key(request.headers.get("Authorization", ""), self.key):
                return _visitor(self._welcome)
        return None


def _is_key(authorization: str, key: str) -> bool:
    found = _AUTHORIZATION.fullmatch(authorization)
    return found is not None and hmac.compare_digest(found[1].encode(), key.encode())


def notice(budget: Budget, welcome: Welcome) -> str:
    """What the person should know about the session's `budget` by now."""
    sentences = {Level.FINE: "", Level.WARNING: welcome.allowance.warning, Level.USED_UP: welcome.allowance.used_up}
    return sentences[budget.level]


def _visitor(welcome: Welcome) -> dict[str, object]:
    """Who may enter the server, as the hub would say it."""
    scopes = json.loads(welcome.environment.get("JUPYTERHUB_OAUTH_ACCESS_SCOPES", "[]"))
    return {"name": welcome.user, "kind": "user", "admin": False, "groups": [], "scopes": scopes}


async def _read(stream: aiohttp.StreamReader, limit: int) -> bytes:
    content = b""
    async for piece in stream.iter_any():
        content += piece
        if len(content) > limit:
            raise ForbiddenError("too large")
    return content
