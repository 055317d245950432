"""Which addresses of the notebook server the doorway knows, with which methods and parameters: an allow-list, pure.

It holds what JupyterLab and ipywidgets of the pinned versions ask for while a person works, and nothing else: what a new version
adds is refused until somebody has decided about it (tests/leaks/test_doorway_routes.py asks the real server what it has). A route's
limit is how much one answer may carry, whoever gives it: a cell can become the server.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl

NOTEBOOK_LIMIT = 64 * 2**20
"""Bytes of one answer that may hold a notebook with its pictures, or a file of JupyterLab's own."""
IMAGE_LIMIT = 8 * 2**20
"""Bytes of one file that comes as base64: a picture to look at, not a volume."""
SMALL_LIMIT = 2**20
"""Bytes of every other answer."""

TIME = "renkei/time"
"""Where a page of the session asks how much time is left (`enclave.timeleft`)."""
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_NAME = r"[A-Za-z0-9_.-]{1,100}"
_ANYWHERE = r"(?:/[^/]+)+"
"""A path below a folder; `enclave.wire.path_allowed` has refused every dotted or empty segment, however it is written."""
_WORKSPACE = r"(?:/workspaces/[A-Za-z0-9_-]{1,100})?"


@dataclass(frozen=True)
class Route:
    """One kind of address, below the session's own prefix."""

    pattern: str
    """Of the whole raw path: the parts that decide what an address means are not percent-encoded."""
    methods: frozenset[str]
    parameters: frozenset[str] = frozenset()
    limit: int = SMALL_LIMIT
    websocket: bool = False
    """A websocket and nothing else; every other route is none."""
    own: bool = False
    """The doorway answers it itself, to whom the server knows."""
    person: bool = False
    """Asking for it counts as somebody being there: a login is needed, and no part of a page that anybody may load."""


def _route(pattern: str, methods: str, *parameters: str, limit: int = SMALL_LIMIT, websocket: bool = False) -> Route:
    person = pattern.startswith("api/") and pattern != r"api/?"
    return Route(pattern, frozenset(methods.split()), frozenset(parameters), limit, websocket, person=person)


ROUTES: tuple[Route, ...] = (
    # The first that fits counts.
    # The page, and what it is made of.
    _route(r"", "GET HEAD", "redirects"),
    _route(rf"(?:lab|doc){_WORKSPACE}(?:/tree{_ANYWHERE})?/?", "GET HEAD", "redirects", "reset", "clone", "file-browser-path"),
    _route(rf"static{_ANYWHERE}", "GET HEAD", "v", "_", limit=NOTEBOOK_LIMIT),
    _route(r"custom/custom\.css", "GET HEAD"),
    _route(rf"lab/extensions{_ANYWHERE}", "GET HEAD", "v", "_", limit=NOTEBOOK_LIMIT),
    _route(rf"lab/api/themes{_ANYWHERE}", "GET HEAD", "v", limit=NOTEBOOK_LIMIT),
    _route(rf"kernelspecs/{_NAME}/{_NAME}", "GET HEAD"),
    # Coming and going.
    _route(r"oauth_callback", "GET", "code", "state", "error", "error_description"),
    _route(r"logout", "GET"),
    # The person's settings in JupyterLab.
    _route(r"lab/api/settings/?", "GET", "ids_only", limit=NOTEBOOK_LIMIT),
    _route(rf"lab/api/settings{_ANYWHERE}", "GET PUT", limit=NOTEBOOK_LIMIT),
    _route(r"lab/api/translations/?", "GET"),
    _route(rf"lab/api/translations/{_NAME}", "GET", limit=NOTEBOOK_LIMIT),
    _route(r"lab/api/workspaces/?", "GET", limit=NOTEBOOK_LIMIT),
    _route(rf"lab/api/workspaces{_ANYWHERE}", "GET PUT DELETE", limit=NOTEBOOK_LIMIT),
    _route(rf"api/config/{_NAME}", "GET"),
    # Files: notebooks and texts whole, pictures up to a size.
    _route(rf"api/contents{_ANYWHERE}/checkpoints", "GET POST"),
    _route(rf"api/contents{_ANYWHERE}/checkpoints/{_NAME}", "POST DELETE"),
    _route(rf"api/contents{_ANYWHERE}/trust", "POST"),
    _route(
        rf"api/contents(?:{_ANYWHERE})?/?",
        "GET POST PUT PATCH DELETE",
        *("content", "type", "format", "hash", "contentProviderId"),
        limit=NOTEBOOK_LIMIT,
    ),
    # Kernels.
    _route(r"api/kernelspecs", "GET"),
    _route(rf"api/kernelspecs/{_NAME}", "GET"),
    _route(r"api/kernels", "GET POST"),
    _route(rf"api/kernels/{_UUID}", "GET DELETE"),
    _route(rf"api/kernels/{_UUID}/(?:restart|interrupt)", "POST"),
    _route(rf"api/kernels/{_UUID}/channels", "GET", "session_id", websocket=True),
    _route(r"api/sessions", "GET POST"),
    _route(rf"api/sessions/{_UUID}", "GET PATCH DELETE"),
    _route(r"api/events/subscribe", "GET", websocket=True),
    # The doorway about the session's time.
    Route(TIME, frozenset({"GET"}), own=True),
    # The server about itself; the hub asks the first one too.
    _route(r"api/?", "GET HEAD"),
    _route(r"api/status", "GET"),
    _route(r"api/me", "GET", "permissions"),
)
_COMPILED = tuple((re.compile(each.pattern), each) for each in ROUTES)


class NoRouteError(Exception):
    """There is nothing at this address, or not by this method; `status` is 404 or 405."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def find(method: str, target: str, base_url: str, *, websocket: bool = False) -> Route:
    """The route of the raw request target `target`, which `path_allowed` accepts; its limit is that of this very request.

    Raises NoRouteError when there is none for `method` and what its parameters ask for.
    """
    path, _, query = target.partition("?")
    below = path[len(base_url) :]
    route = next((route for pattern, route in _COMPILED if pattern.fullmatch(below) and route.websocket == websocket), None)
    if route is None:
        raise NoRouteError(404)
    if method not in route.methods:
        raise NoRouteError(405)
    parameters = parse_qsl(query, keep_blank_values=True)
    if not all(name in route.parameters or _cache_buster(name) for name, _ in parameters):
        raise NoRouteError(404)
    if ("format", "base64") in parameters:
        return replace(route, limit=IMAGE_LIMIT)
    return route


def _cache_buster(name: str) -> bool:
    """The time in milliseconds, which JupyterLab adds to what must not come from a cache."""
    return name.isascii() and name.isdigit() and len(name) <= 16
