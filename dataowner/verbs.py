"""What the owner types: each verb a few lines that print what the rooms beside this one know."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import Callable

from dataowner import check, history, installation, revocations, sshd, sshlog, table, watcher
from dataowner.places import Places, UnusableError


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def clock(seconds: float | None) -> str:
    """A time for people, in this host's own zone."""
    return "-" if seconds is None else dt.datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def show(places: Places) -> int:
    """Live sessions."""
    rows = [("SESSION", "ACCOUNT", "SERIAL", "ACCESS", "SINCE", "STATE", "OUT", "IN", "LAST BYTE")]
    for each in history.live(places):
        traffic = (_number(each.bytes_out), _number(each.bytes_in), clock(each.last_byte))
        rows.append((each.session, each.account, each.serial, each.access, clock(each.opened), each.state, *traffic))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        _say("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())
    _say(f"as the watcher saw it at {clock(history.seen_at(places))}")
    return 0


def revoke(places: Places, kind: str, what: str) -> int:
    """End something for good."""
    if kind not in revocations.KINDS:
        raise UnusableError("revoke session NAME, serial NUMBER or account NAME.")
    if not revocations.KINDS[kind].fullmatch(what):
        raise UnusableError(f"{what!a} is no {kind} as list shows them; nothing was revoked.")
    ended = watcher.revoke(places, kind, what)
    _say(f"{kind} {what}: revoked; ended: {', '.join(ended) or 'nothing was live'}")
    return 0


def restore(places: Places, kind: str, what: str) -> int:
    """Let an account come again."""
    if kind != "account" or not table.ACCOUNT.fullmatch(what):
        raise UnusableError("restore account NAME: a session that was ended stays ended.")
    revocations.restore(places, what)
    _say(f"account {what}: may come again, as far as its grant goes")
    return 0


def log(places: Places, *wanted: str) -> int:
    """What sshd and its SFTP server logged, joined with the sessions."""
    settings = table.load(places).settings
    past = history.live(places)
    for path in sorted(places.sessions.iterdir()):
        past += history.over(places, path.name)
    try:
        stream = Path(settings.log).open(encoding="utf-8", errors="replace")  # noqa: SIM115  (closed below)
    except OSError as error:
        raise UnusableError(f"{settings.log} can't be read: {error.strerror}. See what check says of it.") from error
    with stream as lines:
        for each in sshlog.joined(lines, history.merged(past)):
            if not wanted or wanted[0] in (each.session, each.serial):
                _say(f"{each.time}  {each.session}  {each.serial}  {each.account}  {each.text}")
    return 0


def examine(places: Places) -> int:
    """What is wrong with this installation; 1 when something is."""
    found = check.findings(places)
    for each in found:
        _say(f"- {each}")
    _say(f"{len(found)} {'thing' if len(found) == 1 else 'things'} to mend" if found else "all is well")
    return 1 if found else 0


def install(places: Places) -> int:
    """Accounts, folders, and an example of the table; what is there already stays as it is."""
    for line in installation.install(places):
        _say(line)
    return 0


def apply(places: Places) -> int:
    """Make sshd take up the table."""
    sshd.apply(places)
    _say("sshd serves the table as it is now")
    return 0


def watch(places: Places) -> int:
    """The service."""
    watcher.watch(places)
    return 0


VERBS: dict[str, tuple[tuple[int, ...], Callable[..., int]]] = {
    "list": ((0,), show),
    "revoke": ((2,), revoke),
    "restore": ((2,), restore),
    "log": ((0, 1), log),
    "check": ((0,), examine),
    "install": ((0,), install),
    "apply": ((0,), apply),
    "watch": ((0,), watch),
}
"""Verb → how many words may follow, and what it does."""
