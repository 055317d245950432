"""The console's web application, and its server: mutual TLS with the hub's proxy, on 127.0.0.1."""

from __future__ import annotations

import secrets
from typing import Any

from tornado.web import Application

from spawner.console import api, pages
from spawner.console.access import CallbackHandler
from spawner.console.office import Office


def make_app(office: Office, prefix: str) -> Application:
    """Everything below `prefix` (`/services/quota/`)."""
    routes: list[Any] = [
        (f"{prefix}oauth_callback", CallbackHandler),
        *api.routes(prefix, office),
        *pages.routes(prefix, office),
    ]
    # Cookies of a login on its way and XSRF tokens are signed with a key of this process alone: a restart asks to log in anew.
    return Application(
        routes,
        cookie_secret=secrets.token_bytes(32),
        default_handler_class=pages.MissingHandler,
        default_handler_args={"office": office},
    )
