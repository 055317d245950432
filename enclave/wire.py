"""What the doorway lets through: paths, headers, cookies and redirects, as pure functions. Which routes: `enclave.routes`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from multidict import CIMultiDict, CIMultiDictProxy

CONTENT_SECURITY_POLICY = "; ".join((
    "default-src 'self'",
    # JupyterLab checks its settings against schemas that it compiles, and ipywidgets' modules come from its own server.
    "script-src 'self' 'unsafe-eval'",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "font-src 'self' data:",
    "media-src 'self' data: blob:",
    "connect-src 'self'",
    "worker-src 'self' blob:",
    "frame-src 'self' blob:",
    "object-src 'none'",
    "base-uri 'self'",
    "form-action 'self'",
    "frame-ancestors 'self'",
    # No downloads, and nothing that this page opens gets them either. Popups: the Lab opens the hub's page in one.
    "sandbox allow-scripts allow-same-origin allow-forms allow-modals allow-popups",
))
"""What a notebook's output may reach from the browser: its own server and nothing else. Leaving the page - by a click on a link, or
by a script - is covered by no such policy."""

ALWAYS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    # For a passkey the browser asks the host that the page names, past the other policy.
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), publickey-credentials-create=(),"
    " publickey-credentials-get=(), serial=(), usb=()",
    # Looking up the host of a link tells whoever owns that name something.
    "X-DNS-Prefetch-Control": "off",
    "Server": "renkei",
}
"""On every answer, whatever the server says."""

_REQUEST_HEADERS = frozenset({
    "accept", "accept-encoding", "accept-language", "authorization", "content-encoding", "content-length", "content-type", "cookie",
    "host", "origin", "referer", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "user-agent", "x-forwarded-for",
    "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-requested-with", "x-scheme", "x-xsrftoken",
})  # fmt: skip
_RESPONSE_HEADERS = frozenset({
    "allow", "content-encoding", "content-language", "content-length", "content-type", "date", "etag", "last-modified", "location",
    "retry-after", "set-cookie", "vary", "x-jupyterhub-version",
})  # fmt: skip
"""Not among them: what makes a download of an answer (content-disposition), what makes the browser ask for a password
(www-authenticate), what reaches beyond this one answer (link, refresh, clear-site-data, service-worker-allowed, …)."""
STATUS = frozenset({
    200, 201, 202, 204, 301, 302, 303, 307, 308,
    400, 401, 403, 404, 405, 409, 410, 412, 413, 415, 422, 429, 500, 501, 502, 503, 504,
})  # fmt: skip
"""What an answer's status may be; any other is no answer. Nothing is cached, so nothing is "not modified"."""
_TYPES = re.compile(
    r"(?:text/(?:css|html|javascript|plain)|application/(?:javascript|json|vnd\.ms-fontobject|x-font-ttf|xml)|font/\w+"
    r"|image/(?:gif|jpeg|png|svg\+xml|webp|x-icon|vnd\.microsoft\.icon))(?: *; *charset=[\w-]+)?",
    re.IGNORECASE,
)
"""What a browser shows. Anything else is called text: a type that the browser does not know would make a download."""
SET_COOKIES = 20
"""Cookies that one answer may set."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

Headers = CIMultiDict[str] | CIMultiDictProxy[str]


@dataclass(frozen=True)
class Place:
    """Where the session is in the browser, by the hub's own word."""

    base_url: str
    """The server's prefix, slashes at both ends."""
    hub: str = "/hub/"
    """The hub's prefix, with scheme and host where the hub has another host name than the session."""
    client: str = ""
    """The server's name as an OAuth client, which its cookies begin with."""


def place_of(base_url: str, environment: Mapping[str, str]) -> Place:
    """The place that a welcome's JUPYTERHUB_* `environment` names."""
    hub = f"{environment.get('JUPYTERHUB_HOST', '')}{environment.get('JUPYTERHUB_BASE_URL', '/')}hub/"
    return Place(base_url, hub, environment.get("JUPYTERHUB_CLIENT_ID", ""))


def path_allowed(target: str, base_url: str) -> bool:
    """Whether the raw request target `target` is a plain path of the server whose prefix is `base_url` (slashes at both ends).

    An absolute URL, an empty or dotted segment however it is written, a backslash or a control character is none.
    """
    path = target.partition("?")[0]
    if not (path.startswith(base_url) or path == base_url.rstrip("/")):
        return False
    plain = unquote(path, errors="replace")
    if "\\" in plain or any(ord(each) < 0x20 or ord(each) == 0x7F for each in unquote(target, errors="replace")):
        return False
    segments = plain.split("/")
    return "" not in segments[1:-1] and not {".", ".."} & set(segments)


def from_elsewhere(method: str, headers: Headers, *, websocket: bool = False) -> bool:
    """Whether a page of another host made the browser send this request. Going to a page from there is no such thing.

    The server checks that too; but a cell can become the server, and another person's notebook is another host.
    """
    site, mode = headers.get("Sec-Fetch-Site", "same-origin"), headers.get("Sec-Fetch-Mode", "")
    if site in {"cross-site", "same-site"} and (mode != "navigate" or method not in {"GET", "HEAD"}):
        return True
    origin = headers.get("Origin")
    asks = websocket or method not in {"GET", "HEAD"}
    return asks and origin is not None and urlsplit(origin).netloc.lower() != headers.get("Host", "").lower()


def for_a_service_worker(headers: Headers) -> bool:
    """Whether the browser asks for the script of a service worker, which it says of itself (Service Workers, "Update").

    Such a worker answers for the server in the browser, without any policy, and stays there when the session has long ended.
    """
    return "Service-Worker" in headers or headers.get("Sec-Fetch-Dest", "") == "serviceworker"


def request_headers(headers: Headers, place: Place) -> CIMultiDict[str]:
    """What of a browser's headers the server gets to see. One that stands there twice but may not is dropped to its first."""
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        lower = name.lower()
        if lower == "cookie":
            if cookies := "; ".join(each for each in map(str.strip, value.split(";")) if _cookie_is_its_own(each, place)):
                kept.add(name, cookies)
        elif lower in _REQUEST_HEADERS and name not in kept:
            kept.add(name, value)
    return kept


def _cookie_is_its_own(cookie: str, place: Place) -> bool:
    """Whether `cookie` is one that the server uses: its login, the guard against forged requests, the browser's session."""
    name = cookie.partition("=")[0]
    own = place.client and (name == place.client or name.startswith(f"{place.client}-"))
    return bool(own) or name in {"_xsrf", "jupyterhub-session-id"}


def response_headers(headers: Headers, place: Place) -> CIMultiDict[str]:
    """What of the server's headers the browser gets to see, with the doorway's own policy on top.

    Raises ValueError for an answer that must not pass at all: it leads elsewhere.
    """
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        lower = name.lower()
        if lower not in _RESPONSE_HEADERS or not value.isprintable() or not value.isascii():
            continue
        if lower == "set-cookie":
            if cookie_allowed(value, place.base_url) and len(kept.getall(name, [])) < SET_COOKIES:
                kept.add(name, value)
        elif name not in kept:
            kept.add(name, value)
    if "Location" in kept and not location_allowed(kept["Location"], place):
        raise ValueError("a redirect to another place")
    if not _TYPES.fullmatch(kept.get("Content-Type", "text/plain")):
        kept["Content-Type"] = "text/plain; charset=utf-8"
    kept.update(ALWAYS)
    kept.add("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    # Several policies all hold: the server's own may only be stricter.
    for policy in _policies(headers):
        kept.add("Content-Security-Policy", policy)
    return kept


def location_allowed(location: str, place: Place) -> bool:
    """Whether the server may send the browser to `location`: its own addresses, and where JupyterHub logs in and out."""
    if location.startswith("/") and not location.startswith("//") and path_allowed(location, place.base_url):
        return True
    target, _, query = location.partition("?")
    # For this server's own login: a code for another client would be a way into it.
    clients = [value for name, value in parse_qsl(query) if name == "client_id"] if len(query) <= 4096 else []
    logs_in = target == f"{place.hub}api/oauth2/authorize" and clients == [place.client]
    return location.isprintable() and (logs_in or location == f"{place.hub}logout")


def _policies(headers: Headers) -> Iterable[str]:
    for policy in headers.getall("Content-Security-Policy", []):
        # Reports would tell the server what the browser did; where to, it could choose.
        if not policy.isprintable() or not policy.isascii():
            continue
        directives = [each.strip() for each in policy.split(";")]
        yield "; ".join(each for each in directives if each and not each.lower().startswith(("report-uri", "report-to")))


def cookie_allowed(cookie: str, base_url: str) -> bool:
    """Whether the server may set `cookie`: for its own addresses, not for the hub's or another person's server."""
    attributes = [part.strip().partition("=") for part in cookie.split(";")[1:]]
    paths = [value.strip() for name, _, value in attributes if name.strip().lower() == "path"]
    domains = [name for name, _, _ in attributes if name.strip().lower() == "domain"]
    return len(cookie) <= 4096 and not domains and len(paths) == 1 and (paths[0] + "/").startswith(base_url)
