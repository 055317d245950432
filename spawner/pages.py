"""The hub's pages in the person's language.

JupyterHub's own templates speak English only and know no request. Ours (`templates/`) stand before them and take every text
from `phrases`; what they need for that - `_`, `lang` and the rest of `words` - is added to the namespace of every page in one
place, `teach`. The language of a request is the one chosen by the link on each page (a cookie), else the browser's first
wish, else the site's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jupyterhub.handlers import BaseHandler
from jupyterhub.handlers.static import CacheControlStaticFilesHandler
from jupyterhub.spawner import SpawnException
from tornado import web
from traitlets.config import Config

from phrases import LANGUAGES, N_, translator
from spawner import overview, waiting
from spawner.reasons import DEMONSTRATION
from spawner.site import Site

COOKIE = "renkei_lang"
COOKIE_DAYS = 365
DEFAULT_SETTING = "renkei_default_language"
NAMES = {"ja": "日本語", "en": "English"}

TEMPLATES = Path(__file__).with_name("templates")
STATIC = Path(__file__).with_name("static")

POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""No page of the hub runs a script that stands in the page itself; `form-action` is left out, for the way back from a login."""

SENTENCES = {
    400: N_("The hub could not understand this request. Please go back and try again."),
    403: N_("You may not open this page. If you should, please ask the administrator for permission."),
    404: N_("There is no such page. The address may be mistyped, or what was there has ended."),
    405: N_("This page can't be used in that way. Please go back and try again."),
    429: N_("The hub is very busy at the moment. Please try again in a few minutes."),
    500: N_("Something went wrong in the hub. What you saved is safe. Please try again; if it stays so, tell the administrator."),
    503: N_("Your session does not answer. It may have ended, or the connection to it is interrupted. What you saved is safe."),
}
"""What a person reads for an HTTP status, where nothing more precise is known."""

SERVICE_DOWN = N_("This page does not answer just now; it may be starting. Nothing was lost. Please open it again in a moment.")


LOGIN_TEXTS = {
    "Invalid username or password": N_("The user name or the password is not right."),
    "Login form invalid or expired. Try again.": N_("The login page was open for too long. Please log in again."),
}
"""What JupyterHub's login handler says, and what a person reads instead."""


def preferred(header: str) -> str | None:
    """The language of ours that an Accept-Language `header` likes best, or None when it names none of them."""
    best: tuple[float, str] | None = None
    for wish in header.split(","):
        match = re.match(r"\s*([A-Za-z]{2})(?:-[A-Za-z0-9-]*)?\s*(?:;\s*q=([01](?:\.\d{0,3})?)\s*)?\Z", wish)
        if match is None or match[1].lower() not in LANGUAGES:
            continue
        weight = float(match[2] or 1)
        if weight > 0 and (best is None or weight > best[0]):
            best = (weight, match[1].lower())
    return best[1] if best else None


def chosen(handler: web.RequestHandler) -> str | None:
    """The language that this request itself asks for, or None when it says nothing about it."""
    cookie = handler.get_cookie(COOKIE)
    return cookie if cookie in LANGUAGES else preferred(handler.request.headers.get("Accept-Language", ""))


def language(handler: web.RequestHandler | None, default: str = "ja") -> str:
    """The language to answer this request in; `default` only where there is no request, or a hub that knows no site."""
    if handler is None:
        return default
    fallback: str = handler.settings.get(DEFAULT_SETTING, default)
    return chosen(handler) or fallback


def local_path(target: str, base_url: str) -> str:
    """`target` if it is a path below `base_url` of this very server, else the hub's first page: links lead nowhere else."""
    plain = re.fullmatch(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*", target) is not None
    return target if plain and target.startswith(base_url) and len(target) < 2000 else base_url


def complaint(error: BaseException | None) -> str:
    """The sentence that `error` was given for the person (perhaps still in English), or nothing."""
    if error is None:
        return ""
    if isinstance(error, SpawnException) and error.message:
        return str(error.message)
    return str(getattr(error, "jupyterhub_message", "") or "")


def sentence(status: int, error: BaseException | None = None) -> str:
    """What a person reads on the error page, in English: what the error says itself, else what its status means."""
    return complaint(error) or SENTENCES.get(status) or SENTENCES[500 if status >= 500 else 400]


def spoken(message: str | None) -> str:
    """`message` of the start form; where JupyterHub wrote out an exception (`HTTP 500: …`), what that means."""
    raw = re.match(r"(?:HTTP )?([45])\d\d\b", message or "")
    return SENTENCES[int(raw[1]) * 100] if raw else message or ""


def login_complaint(message: str | None) -> str:
    """What the login page says for JupyterHub's `message`: ours, or what stands for it; nothing technical."""
    ours = LOGIN_TEXTS.get(message or "", message or "")
    return ours if translator("ja")(ours) != ours else SENTENCES[400]


def unanswered_service(handler: web.RequestHandler) -> bool:
    """Whether this is the page that the proxy asks for in place of a service (the console, say) that does not answer."""
    return "/error/" in handler.request.path and handler.get_query_argument("url", "").startswith("/services/")


class LanguageHandler(BaseHandler):
    """`/hub/lang/ja?next=/hub/home`: remember the language and go back to where the link stood."""

    def get(self, wish: str) -> None:
        """Set the cookie, for every path of this server: Lab and the services read it too."""
        secure = self.request.protocol == "https"
        self.set_cookie(COOKIE, wish, path="/", expires_days=COOKIE_DAYS, httponly=True, samesite="Lax", secure=secure)
        self.redirect(local_path(self.get_argument("next", ""), self.hub.base_url))


def words(handler: BaseHandler, site: Site, stamps: dict[str, str]) -> dict[str, Any]:
    """What a page's template is given besides JupyterHub's own names."""
    lang = language(handler)
    translate = translator(lang)
    base = handler.hub.base_url
    here = handler.request.uri if handler.request.method == "GET" else handler.request.path

    def _(text: str) -> str:
        return translate(text) if text else ""  # gettext answers nothing with its own header

    def said(status: int, error: BaseException | None = None) -> str:
        return SERVICE_DOWN if status == 503 and unanswered_service(handler) else sentence(status, error)

    return {
        "_": _,
        "lang": lang,
        "site_title": site.hub.title.text(lang),
        "demonstration": DEMONSTRATION if site.hub.demonstration else "",
        "said_nothing": chosen(handler) is None,
        "in_every_language": lambda text: [(each, translator(each)(text)) for each in LANGUAGES],
        "other_languages": [
            (each, NAMES[each], f"{base}lang/{each}?next={quote(str(here), safe='')}") for each in LANGUAGES if each != lang
        ],
        "asset": lambda name: f"{base}renkei/{name}?v={stamps[name]}",
        "sentence": said,
        "last_end": lambda _user, _server: None,
        "taken_up_at": lambda _user, _server: "",
        "waiting_steps": waiting.STEPS,
        "sessions": lambda user: overview.of(user, site, lang, base),
        "complaint": complaint,
        "spoken": spoken,
        "login_complaint": login_complaint,
    }


def teach(add: Callable[[BaseHandler], dict[str, Any]]) -> None:
    """Let every page of the hub see what `add` returns for its handler.

    JupyterHub offers templates the user, but not the request, so this wraps the one property that all its handlers render with.
    """
    original = BaseHandler.template_namespace.fget

    def template_namespace(self: BaseHandler) -> dict[str, Any]:
        return {**original(self), **add(self)}

    BaseHandler.template_namespace = property(template_namespace)


def configure(c: Config, site: Site) -> None:
    """Set `c` so that every page of the hub is one of ours, in the person's language."""
    stamps = {file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:12] for file in STATIC.iterdir() if file.is_file()}
    teach(lambda handler: words(handler, site, stamps))
    c.JupyterHub.template_paths = [str(TEMPLATES)]
    c.JupyterHub.extra_handlers = [
        (r"/lang/(ja|en)", LanguageHandler),
        (r"/renkei/(.*)", CacheControlStaticFilesHandler, {"path": str(STATIC)}),
    ]
    c.JupyterHub.tornado_settings = {
        DEFAULT_SETTING: site.hub.default_language,
        "headers": {
            "Content-Security-Policy": POLICY,
            "Cache-Control": "no-store",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), serial=(), usb=()",
            "Referrer-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
        },
    }
