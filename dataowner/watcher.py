"""The watcher: twice a second it holds every live connection against the owner's table, what is revoked, and the hub's statements.

A session that no fresh statement names is suspended: not a byte passes, nothing is lost. Only the owner's word (a revocation, a
grant that is gone) or the hub's that a session is over ends a connection.
"""

from __future__ import annotations

import contextlib
import enum
import json
import os
import signal
import syslog
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Callable, NamedTuple

from dataowner import connections, history, revocations, sockets, sshd
from dataowner.connections import Connection
from dataowner.places import Places, UnusableError, make_run, write
from dataowner.principals import Standing, alive, standing

LOOK_S = 0.5
"""Seconds between two looks."""
FORGET_S = 86_400.0
"""Seconds after which a suspended connection is taken away: no client waits so long, and a stopped server can't see it go."""


class Verdict(enum.Enum):
    """What is to become of a connection."""

    GO_ON = "live"
    SUSPEND = "suspended"
    END = "ended"


class Seen(NamedTuple):
    """A live connection, and what had gone over it when it was last looked at."""

    connection: Connection
    state: str
    traffic: sockets.Traffic | None
    since: float
    """When the state began, seconds since the epoch."""


def judge(connection: Connection, now: float, everything: Standing | None) -> tuple[Verdict, str]:
    """What is to become of `connection`, and why; `everything` is None while a file that decides can't be used."""
    if everything is None:
        return Verdict.SUSPEND, "the owner's files can't be used"
    claim, settings = connection.claim, everything.table.settings
    grant = everything.table.grant(claim.account, now)
    if everything.revoked.hold(claim.session, claim.serial, claim.account):
        return Verdict.END, "revoked"
    if grant is None or grant.access != claim.access:
        return Verdict.END, f"the grant is {grant.access} now" if grant else "no grant any more"
    if any(claim.session in each.statement.over for each in everything.statements if each.fresh(now, settings)):
        return Verdict.END, "the hub says that the session is over"
    if alive(now, everything, claim.session, grant):
        return Verdict.GO_ON, "the hub says that the session is alive"
    return Verdict.SUSPEND, "no fresh statement says that the session is alive"


def abandoned(since: float, now: float) -> bool:
    """Whether a connection that is suspended since `since` (seconds since the epoch) is nobody's any more at `now`."""
    return now - since > FORGET_S


class Watcher:
    """Looks, acts, and tells what it saw."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self._seen: dict[str, Seen] = {}
        self._complaint = ""
        self._believed: set[str] = set()

    def look(self) -> list[Seen]:
        """One look; what is live after it. While a file that decides can't be used, everything is suspended."""
        now = time.time()
        everything = self._standing()
        counted = sockets.traffic()
        seen: dict[str, Seen] = {}
        ending: list[tuple[Seen, str]] = []
        for connection in connections.live(self.places):
            verdict, why = judge(connection, now, everything)
            before = self._seen.get(connection.name)
            since = before.since if before and before.state == verdict.value else now
            if verdict is Verdict.SUSPEND and abandoned(since, now):
                verdict, why = Verdict.END, "suspended for a day"
            mine = next((counted[each] for each in sockets.of_process(connection.monitor.pid) if each in counted), None)
            look = Seen(connection, verdict.value, mine or (before.traffic if before else None), since)
            if verdict is Verdict.END:
                ending.append((look, why))
                continue
            if before is None or before.state != verdict.value:
                self._say(f"{describe(connection)}: {verdict.value}: {why}")
            # Said again at every look: processes may have come since.
            if verdict is Verdict.SUSPEND:
                connections.suspend(connection)
            elif any(each.state in "Tt" for each in connection.servants):
                connections.resume(connection)
            seen[connection.name] = look
        self._end(ending)
        if ending:
            self._for_good(each.connection.claim for each, _ in ending)
        ended = {each.connection.name for each, _ in ending}
        for name, each in self._seen.items():
            if name not in seen and name not in ended:
                self._close(each, "closed")
        self._seen = seen
        self._tell(now)
        return list(seen.values())

    def _standing(self) -> Standing | None:
        try:
            found = standing(self.places, self._believed)
        except UnusableError as error:
            if str(error) != self._complaint:
                self._say(f"everything is suspended: {error}")
            self._complaint = str(error)
            return None
        self._complaint = ""
        return found

    def _end(self, ending: list[tuple[Seen, str]]) -> None:
        for each, _ in ending:
            if each.traffic is not None:
                sockets.destroy(each.traffic)
        connections.end(each.connection for each, _ in ending)
        for each, why in ending:
            self._say(f"{describe(each.connection)}: ended: {why}")
            self._close(each, why)

    def _for_good(self, ended: Iterable[connections.Claim]) -> None:
        """Whose serial or account is revoked is revoked as a session.

        One that was being let in while the owner said so is on nobody's list then, and would come back by its next certificate.
        """
        try:
            revoked = revocations.load(self.places)
            sessions = {each.session for each in ended if revoked.hold(each.session, each.serial, each.account)} - revoked.sessions
            if sessions:
                revocations.add(self.places, *(("session", each) for each in sorted(sessions)))
        except (UnusableError, OSError) as error:
            self._say(f"sessions that were ended can't be revoked: {error}")

    def _close(self, each: Seen, why: str) -> None:
        """Keep what there is to know of a connection that is over."""
        line = json.dumps({**_told(each), "state": "closed", "closed": time.time(), "why": why})
        path = self.places.sessions / each.connection.claim.session
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        with os.fdopen(handle, "w") as stream:
            os.fchown(handle, 0, self.places.sessions.stat().st_gid)
            # The program's umask lets nobody else in, and the control account has to answer for it.
            os.fchmod(handle, 0o640)
            stream.write(line + "\n")

    def _tell(self, now: float) -> None:
        value = {"time": now, "connections": [_told(each) for each in self._seen.values()]}
        write(self.places.live, json.dumps(value))
        os.chown(self.places.live, 0, self.places.sessions.stat().st_gid)

    def _say(self, text: str) -> None:
        syslog.syslog(syslog.LOG_NOTICE, text)


def describe(connection: Connection) -> str:
    """A connection in one phrase of the log."""
    claim = connection.claim
    return f"session {claim.session} of {claim.account}, serial {claim.serial}, process {connection.monitor.pid}"


def _told(each: Seen) -> dict[str, object]:
    claim, traffic = each.connection.claim, each.traffic
    return {
        **claim._asdict(),
        "process": each.connection.monitor.pid,
        "servants": [servant.pid for servant in each.connection.servants],
        "opened": each.connection.opened,
        "state": each.state,
        "since": each.since,
        "bytes_out": traffic.bytes_out if traffic else None,
        "bytes_in": traffic.bytes_in if traffic else None,
        "last_byte": traffic.last_byte if traffic else None,
    }


def watch(places: Places) -> None:
    """Look until told to end; the connections of a watcher that ends stay as they are.

    Takes up a changed table by itself. Raises OSError when what it saw can't be written.
    """
    syslog.openlog("renkei-owner", syslog.LOG_PID, syslog.LOG_AUTH)
    ending: set[int] = set()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: ending.add(received))
    make_run(places)
    watcher, table, lists = Watcher(places), "", ""
    while not ending:
        stamp = _stamp(places.settings)
        if stamp != table:
            table = stamp
            _take_up("the table", lambda: sshd.apply(places))
        stamp = _stamp(places.revoked) + _stamp(places.ca)
        if stamp != lists:
            lists = stamp
            _take_up("what is revoked", lambda: revocations.write_krl(places))
        watcher.look()
        time.sleep(LOOK_S)


def _take_up(what: str, take: Callable[[], None]) -> None:
    try:
        take()
        syslog.syslog(syslog.LOG_NOTICE, f"{what}: taken up as it is now")
    except (UnusableError, OSError) as error:
        syslog.syslog(syslog.LOG_ERR, f"{what}: not taken up: {error}")


def _stamp(path: Path) -> str:
    with contextlib.suppress(OSError):
        status = path.stat()
        return f"{status.st_mtime_ns} {status.st_ino} {status.st_size};"
    return "-;"


def revoke(places: Places, kind: str, what: str) -> list[str]:
    """End what the owner names, for good and at once; the sessions that are ended by it. Raises UnusableError, OSError."""
    syslog.openlog("renkei-owner", syslog.LOG_PID, syslog.LOG_AUTH)
    sessions: set[str] = set()
    # Before the line is written, since the watcher that runs may end them sooner than this looks again.
    with contextlib.suppress(UnusableError):
        sessions |= _live(places, kind, what)
    revocations.add(places, (kind, what))
    # Twice: who was being let in when the line above was written is written down a moment later.
    for _ in range(2):
        # A serial or an account stands for the sessions that it serves: they must not come back by a fresh certificate.
        sessions |= _live(places, kind, what)
        if kind == "serial":
            sessions |= _had(places, what)
        revocations.add(places, *(("session", each) for each in sessions))
        Watcher(places).look()
    return sorted(sessions)


def _live(places: Places, kind: str, what: str) -> set[str]:
    return {each.claim.session for each in connections.live(places) if getattr(each.claim, kind) == what}


def _had(places: Places, serial: str) -> set[str]:
    """Sessions that have come with `serial`: one may just be between two connections. A record that can't be read names none."""
    found = set()
    for path in places.sessions.iterdir():
        with contextlib.suppress(UnusableError):
            found |= {each.session for each in history.over(places, path.name) if each.serial == serial}
    return found
