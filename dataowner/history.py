"""What the owner's side knows of a session: its live connections, and those that are over; the cloud's witness."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from dataowner.places import Places, UnusableError, read


class Past(NamedTuple):
    """One connection, live or over. Times are seconds since the epoch, None where not known or not yet."""

    session: str
    account: str
    serial: str
    access: str
    process: int
    """sshd's process, the one that its log names."""
    servants: list[int]
    opened: float
    state: str
    """`live`, `suspended` or `closed`."""
    since: float
    bytes_out: int | None
    bytes_in: int | None
    last_byte: float | None
    closed: float | None = None
    why: str = ""


class Witness(NamedTuple):
    """What the cloud says of one session."""

    session: str
    connections: int
    """How many there were."""
    open: int
    """How many of them there still are."""
    serials: list[str]
    opened: float | None
    last_byte: float | None
    closed: float | None
    """When the last one ended; None while one is open, or when there was none."""
    bytes_out: int | None
    """TCP's bytes, SSH's own included; as counted at the last look, half a second before the end at most. None: nobody counted."""
    bytes_in: int | None


def live(places: Places) -> list[Past]:
    """What the watcher saw last. Raises UnusableError."""
    return [_past(each, places) for each in _told(places)["connections"]]


def seen_at(places: Places) -> float:
    """When the watcher looked last. Raises UnusableError."""
    return float(_told(places)["time"])


def _told(places: Places) -> dict[str, Any]:
    if not places.live.exists():
        raise UnusableError("The watcher has not looked at any connection yet. Start the service renkei-owner.")
    found = _json(read(places.live, 10_000_000), places)
    if not isinstance(found.get("time"), float) or not isinstance(found.get("connections"), list):
        raise UnusableError(f"{places.live} says nothing.")
    return found


def over(places: Places, session: str) -> list[Past]:
    """The session's connections that are over, the first first. Raises UnusableError."""
    path = places.sessions / session
    if not path.exists():
        return []
    return merged(_past(_json(line, places), places) for line in read(path, 10_000_000).splitlines())


def merged(lines: Iterable[Past]) -> list[Past]:
    """One entry a connection: who ended it and the watcher may each have written a line."""
    found: dict[object, Past] = {}
    for each in lines:
        key = (each.process, each.opened)
        found[key] = each if key not in found or found[key].why == "closed" else found[key]
    return list(found.values())


def witness(places: Places, session: str) -> Witness:
    """What there is to say of `session`. Raises UnusableError."""
    past = over(places, session)
    names = {(each.process, each.opened) for each in past}
    now = [each for each in live(places) if each.session == session and (each.process, each.opened) not in names]
    both = [*past, *now]
    bytes_out, bytes_in = ([getattr(each, name) for each in both] for name in ("bytes_out", "bytes_in"))
    return Witness(
        session=session,
        connections=len(both),
        open=len(now),
        serials=list(dict.fromkeys(each.serial for each in both)),
        opened=min((each.opened for each in both), default=None),
        last_byte=max((each.last_byte for each in both if each.last_byte is not None), default=None),
        closed=None if now else max((each.closed for each in past if each.closed is not None), default=None),
        bytes_out=None if None in bytes_out or not both else sum(bytes_out),
        bytes_in=None if None in bytes_in or not both else sum(bytes_in),
    )


def _json(text: str, places: Places) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UnusableError(f"{places.live.parent} or {places.sessions}: a line that is none.") from error
    if not isinstance(value, dict):
        raise UnusableError(f"{places.live.parent} or {places.sessions}: a line that is none.")
    return value


def _past(value: dict[str, Any], places: Places) -> Past:
    try:
        return Past(**value)
    except TypeError as error:
        raise UnusableError(f"{places.live.parent} or {places.sessions}: an entry that is none.") from error
