"""Who asks, by the hub's word, and what they may: the frame of every handler of the console."""

from __future__ import annotations

from typing import ClassVar

import msgspec
from jupyterhub.services.auth import HubOAuth, HubOAuthCallbackHandler, HubOAuthenticated
from tornado import web

from spawner.console.errors import NOT_ALLOWED, ConsoleError
from spawner.console.office import Office

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; connect-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""No page of the console runs a script at all, and no style stands in a page itself."""

CACHE_S = 10
"""Seconds that the hub's word about a token is believed: whoever loses a role loses it here that soon."""


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks; `token` is theirs, and the console does at the hub what it does with it."""

    name: str
    scopes: frozenset[str]
    token: str
    groups: tuple[str, ...] | None
    """None where the token does not say."""

    def may(self, scope: str) -> bool:
        """Whether the hub gave them `scope`, not narrowed to somebody."""
        return scope in self.scopes


class ConsoleHandler(HubOAuthenticated, web.RequestHandler):
    """Finds out who asks before anything else; what cookies ask for and would change something needs the hub's XSRF token."""

    office: Office
    caller: Caller
    hub_auth_class: ClassVar[type] = HubOAuth

    def initialize(self, office: Office) -> None:
        """Given by the application's table of routes."""
        self.office = office

    def set_default_headers(self) -> None:
        """On every answer, errors too."""
        for name, value in (
            ("Content-Security-Policy", POLICY),
            ("Cache-Control", "no-store"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Referrer-Policy", "same-origin"),
            ("X-Content-Type-Options", "nosniff"),
        ):
            self.set_header(name, value)
        self.clear_header("Server")

    async def ask_hub(self) -> Caller | None:
        """Who asks, or None: no token, one that the hub does not know, or a cookie's wish without its XSRF token."""
        model = await self.hub_auth.get_user(self, sync=False)
        if not model or not self.hub_auth.check_scopes(self.hub_auth.access_scopes, model):
            return None
        name = str(model["name"]) if model.get("kind") == "user" else f"service {model['name']}"
        token = str(self.hub_auth.get_token(self))
        groups = tuple(str(group) for group in model["groups"]) if "groups" in model else None
        return Caller(name=name, scopes=frozenset(model["scopes"]), token=token, groups=groups)

    def demand(self, scope: str | None) -> None:
        """Raises ConsoleError unless the caller has `scope`."""
        if scope is not None and not self.caller.may(scope):
            raise ConsoleError(403, NOT_ALLOWED, f"{self.caller.name} has no {scope}")


class CallbackHandler(HubOAuthCallbackHandler):
    """The way back from the hub's login."""

    def set_default_headers(self) -> None:
        """Nothing of it is kept or runs."""
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("Cache-Control", "no-store")
