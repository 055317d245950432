"""AuthorizedPrincipalsCommand: may this certificate open this account now?

Run by sshd as an account of its own for each attempt, with account, key id and serial. It prints the principal, or nothing.
"""

from __future__ import annotations

import os
import re
import time
from typing import NamedTuple

from dataowner import connections, revocations, sshd, statement, table
from dataowner.places import Places, UnusableError

_KEY_ID = re.compile(r"session=([a-z0-9]{16})", re.ASCII)


class RefusedError(Exception):
    """Nobody comes in; the text is for the host's log."""


class Standing(NamedTuple):
    """Everything that decides, read at one moment."""

    table: table.Table
    revoked: revocations.Revocations
    statements: list[statement.Accepted]


def standing(places: Places, believed: set[str] | None = None) -> Standing:
    """What decides now; `believed` remembers signatures that were found to fit. Raises UnusableError."""
    believed = set() if believed is None else believed
    return Standing(table.load(places), revocations.load(places), statement.current(places, believed))


def alive(now: float, standing_now: Standing, session: str, grant: table.Grant) -> bool:
    """Whether a fresh statement says that `session` lives, under the grant's account and for a person that the grant allows."""
    for each in standing_now.statements:
        if each.fresh(now, standing_now.table.settings) and session in each.statement.live:
            account, user = each.statement.live[session]
            if account == grant.account and (not grant.users or user in grant.users):
                return True
    return False


def decide(account: str, key_id: str, serial: str, now: float, standing_now: Standing) -> connections.Claim:
    """Who comes in, if the certificate's signature fits too. Raises RefusedError."""
    found = _KEY_ID.fullmatch(key_id)
    if found is None or not revocations.SERIAL.fullmatch(serial):
        raise RefusedError("a certificate that names no session or has no serial")
    session = found.group(1)
    grant = standing_now.table.grant(account, now)
    if grant is None:
        raise RefusedError(f"session {session}: the owner's table has no grant for {account[:40]!r} today")
    if standing_now.revoked.hold(session, serial, account):
        raise RefusedError(f"session {session} of {account}, serial {serial}: revoked")
    if not alive(now, standing_now, session, grant):
        raise RefusedError(f"session {session} of {account}: no fresh statement says that it is alive")
    return connections.Claim(account, session, serial, grant.access)


def answer(account: str, key_id: str, serial: str, places: Places) -> str:
    """The principal that sshd may accept; it has been written down for the watcher whose connection this is.

    Raises RefusedError, UnusableError.
    """
    claim = decide(account, key_id, serial, time.time(), standing(places))
    try:
        monitor, serving = connections.process(os.getppid()), sshd.served(places)
    except OSError as error:
        raise UnusableError(f"sshd's own process can't be looked at: {error.strerror}.") from error
    if monitor is None or serving.access.get(account) != claim.access or monitor.started < serving.since:
        raise RefusedError(f"session {claim.session}: sshd does not serve {account} {claim.access} to this connection yet")
    try:
        connections.record(places, monitor, claim)
    except OSError as error:
        raise UnusableError(f"{places.connections}: the connection can't be written down: {error.strerror}.") from error
    return account
