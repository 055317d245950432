"""A person's sessions as their home page shows them."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Protocol

import msgspec

from phrases import N_, translator
from spawner import reasons
from spawner.endings import Ending
from spawner.sessions import Session, State, Step
from spawner.site import Site

NUMBERED = re.compile(r"session-([2-9]|[1-9][0-9])")
"""How we call a person's further sessions; a name of their own came by the REST API."""

STATES = {
    "waiting": N_("waiting"),
    "starting": N_("starting"),
    "running": N_("running"),
    "ending": N_("ending"),
    "ended": N_("not running"),
}


class Server(Protocol):
    """What of JupyterHub's spawner is looked at here."""

    name: str
    pending: str | None
    active: bool


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """What the home page shows."""

    rows: tuple[Row, ...]
    free: str | None
    """The name of a further session, where one is running and the person may have more."""
    base: str
    """Path below which notebooks are."""
    states = STATES

    @property
    def changing(self) -> int:
        """After how many milliseconds something may have changed; 0: not by itself."""
        states = {row.state for row in self.rows}
        return 3000 if states & {"starting", "ending"} else 10_000 if "waiting" in states else 0


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One session of the page."""

    server: str
    """JupyterHub's name of it; empty for a person's first one."""
    label: str
    state: str
    """A key of STATES."""
    destination: str = ""
    group: str = ""
    gpus: int = 0
    until: float | None = None
    """When its time is up, seconds since the epoch."""
    said: str = ""
    """What it waits for."""
    ending: Ending | None = None
    """How the one before it ended, where none runs."""


def label(server: str, display_name: str, language: str) -> str:
    """What a session is called on pages."""
    tell = translator(language)
    if not server:
        return tell(N_("Your session"))
    numbered = NUMBERED.fullmatch(server)
    if numbered is not None and display_name in {"", server}:
        return tell(N_("Session {number}")).format(number=numbered[1])
    return display_name or server


def free_name(taken: Collection[str], limit: int) -> str | None:
    """A name for a person's next session beside the first, or None where they have as many as the site allows."""
    further = [name for name in taken if name]
    names = (f"session-{number}" for number in range(2, limit + 2))
    return next((name for name in names if name not in taken), None) if len(further) < limit else None


def row(server: Server, session: Session | None, display_name: str, site: Site, language: str) -> Row:
    """What the page shows of one server of JupyterHub's and its `session`, where it has one."""
    state = _state(server, session)
    called = label(server.name, display_name, language)
    if session is None or state == "ended":
        return Row(server=server.name, label=called, state=state)
    request = session.saved.request
    group, destination = site.group(request.resource_group), site.find_destination(request.destination)
    note = session.notes[-1] if session.notes else None
    return Row(
        server=server.name,
        label=called,
        state=state,
        destination=destination.label.text(language) if destination else request.destination,
        group=group.label.text(language) if group else request.resource_group,
        gpus=request.gpus,
        until=session.saved.deadline or None,
        said=reasons.step(note, language)[1] if note is not None and state in {"waiting", "starting"} else "",
    )


def _state(server: Server, session: Session | None) -> str:
    if server.pending == "stop" or (session is not None and session.saved.state is State.ENDING):
        return "ending"
    # A hub that has just begun knows of a session that waits before it starts its server again.
    if not server.pending and (session is None or server.active or not session.waiting):
        return "running" if server.active else "ended"
    if session is None:
        return "starting"
    queued = session.waiting and not any(note.step is Step.RUNNING for note in session.notes)
    return "waiting" if queued else "starting"


def of(user: Any, site: Site, language: str, hub_base: str) -> Overview:  # noqa: ANN401  (JupyterHub's user, which is untyped)
    """What the home page of `user` shows; the hub's own pages are below `hub_base`."""
    names = {each.name: each.display_name or "" for each in user.orm_user._orm_spawners}
    rows = []
    for name in sorted({"", *names}):
        spawner = user.spawners[name]
        found = row(spawner, getattr(spawner, "session", None), names.get(name, ""), site, language)
        last = getattr(spawner, "last_end", None)
        rows.append(msgspec.structs.replace(found, ending=last) if found.state == "ended" and last is not None else found)
    busy = any(each.state != "ended" for each in rows)
    free = free_name(names, site.session.further_sessions) if busy else None
    return Overview(rows=tuple(rows), free=free, base=hub_base.removesuffix("hub/"))
