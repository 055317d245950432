"""JupyterHub starts a server again whose start it had forgotten, because the hub ended while the person waited.

It is asked for over the hub's own REST API, as the person would: its pages, limits and events are then those of every start.
"""

from __future__ import annotations

from logging import Logger
from typing import Any

from jupyterhub import orm
from jupyterhub.app import JupyterHub
from jupyterhub.utils import make_ssl_context, url_escape_path, url_path_join
from tornado.httpclient import AsyncHTTPClient, HTTPError

from spawner.sessions import Session

TOKEN_S = 120
"""Seconds that the token for the one request is good for; it is taken back before."""


async def resume(session: Session, log: Logger) -> None:
    """Ask JupyterHub to start the session's server; whoever starts it meanwhile takes the session up too."""
    app = JupyterHub.instance()
    await app._start_future  # (set when the hub listens; there is no public word for it)
    saved = session.saved
    user = app.users.get(saved.user)
    while user is not None and not session.claimed and user.spawners[saved.server].pending:
        await session.changed(0.2)
    if user is None or session.claimed:
        return
    server = ("servers", saved.server) if saved.server else ("server",)
    url = url_path_join(app.hub.api_url, "users", user.escaped_name, *map(url_escape_path, server))
    token = user.new_api_token(note=f"takes up session {session.id}", scopes=["servers!user"], expires_in=TOKEN_S)
    try:
        await _post(app, url, token)
    except (HTTPError, OSError) as error:
        log.warning("JupyterHub did not take up session %s of %s: %s", session.id, saved.user, error)
    finally:
        _revoke(app, token)


async def _post(app: Any, url: str, token: str) -> None:  # noqa: ANN401  (JupyterHub has no types)
    context = make_ssl_context(app.internal_ssl_key, app.internal_ssl_cert, cafile=app.internal_ssl_ca)
    await AsyncHTTPClient().fetch(
        url, method="POST", body="", headers={"Authorization": f"token {token}"}, ssl_options=context, request_timeout=60
    )


def _revoke(app: Any, token: str) -> None:  # noqa: ANN401
    found = orm.APIToken.find(app.db, token)
    if found is not None:
        app.db.delete(found)
        app.db.commit()
