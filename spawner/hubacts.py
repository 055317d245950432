"""What is changed through JupyterHub's own REST API, for the audit: people, groups, rights, and sessions of others.

The console's acts are recorded there, with what they mean; this is for whoever goes past it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from logging import Logger

from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.orm import Service
from jupyterhub.orm import User as OrmUser
from jupyterhub.user import User
from tornado.web import HTTPError

from spawner.audit import Audit, AuditError

EVENT = "hub-api"
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_OWN = re.compile(r"/hub/api/users/([^/]+)/(?:activity|server|servers/[^/]*)")
"""What people's browsers and sessions do all day: the person's own start, stop and sign of life, which have lines of their own."""
_LONGEST = 200
RIGHTS = frozenset(
    {
        *("admin:users", "users", "tokens", "shares"),
        *("admin:groups", "groups"),
        *("admin:servers", "servers", "delete:servers"),
        *("proxy", "shutdown"),
    }
)
"""Scopes that change something: whoever has none of them over others is refused by JupyterHub, and can't fill the audit."""


def act(method: str, path: str, caller: str) -> str | None:
    """What `caller` did as the audit says it, METHOD PATH; None for what is no act on others or on rights."""
    if method not in _WRITES or "/hub/api/" not in path:
        return None
    path = path[path.index("/hub/api/") :]
    own = _OWN.fullmatch(path)
    if own is not None and own[1] == caller:
        return None
    return f"{method} {path}"[:_LONGEST]


def caller_of(someone: User | OrmUser | Service | None) -> str:
    """By what name the audit calls who asked: a person's own, or `service NAME`; empty for nobody."""
    if isinstance(someone, Service):
        return f"service {someone.name}"
    return "" if someone is None else str(someone.name)


def over_others(scopes: Collection[str], caller: str) -> bool:
    """Whether some of `scopes` gives a right that reaches further than `caller`'s own name and sessions."""
    for scope in scopes:
        right, _, limit = scope.partition("!")
        kind, _, whose = limit.partition("=")
        own = (kind == "user" and whose == caller) or (kind == "server" and whose.startswith(f"{caller}/"))
        if right in RIGHTS and not own:
            return True
    return False


def watch(audit: Audit, log: Logger) -> None:
    """Record each such act before JupyterHub looks at it. Where that can't be written, it is not done: 503."""
    original = APIHandler.prepare

    async def prepare(self: APIHandler) -> None:
        await original(self)
        caller = caller_of(self.current_user)
        done = act(self.request.method or "", self.request.path, caller)
        if done is None or not over_others(self.expanded_scopes, caller):
            return
        try:
            audit.record(EVENT, by=caller, act=done)
        except AuditError as error:
            log.error("The audit could not be written: %s by %s is not done: %s", done, caller, error)  # noqa: TRY400
            raise HTTPError(503, "The audit record can't be written; nothing was changed.") from error

    APIHandler.prepare = prepare
