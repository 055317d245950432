"""The host's log joined by serial: sshd's lines name the certificate, its SFTP server's name the files and the bytes."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dataowner.history import Past

_TIME = r"(?P<time>\d{4}-\d\d-\d\dT\S+|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d)"
_LINE = re.compile(_TIME + r" \S+ (?P<program>[\w-]+)\[(?P<pid>\d+)\]: (?P<text>.*)")
_ACCEPTED = re.compile(r"Accepted publickey for (\S+) from \S+ port \d+ .* ID session=([a-z0-9]{16}) \(serial (\d+)\)")
_OPENED = re.compile(r"session opened for local user (\S+) from ")
_SERVER = "internal-sftp"
_SLACK_S = 10.0
"""Seconds by which a line may stand outside of what the watcher noted: its looks, and what is logged after the end."""


class Line(NamedTuple):
    """One line of the log."""

    time: str
    """As it stands there."""
    seconds: float
    program: str
    pid: int
    text: str


class Entry(NamedTuple):
    """One line of the log that belongs to a session."""

    time: str
    session: str
    serial: str
    account: str
    text: str


class _Login(NamedTuple):
    seconds: float
    session: str
    serial: str
    account: str


def parse(line: str, now: dt.datetime) -> Line | None:
    """One line of syslog, with either kind of time; None when it is none. `now` tells the year where the line does not."""
    found = _LINE.match(line.rstrip("\n"))
    if found is None:
        return None
    try:
        stamp = found["time"]
        if stamp[0].isdigit():
            # Before Python 3.11 a Z is no zone, and fractions have three or six digits.
            moment = dt.datetime.fromisoformat(re.sub(r"\.\d+", "", stamp).replace("Z", "+00:00"))
        else:
            moment = dt.datetime.strptime(f"{now.year} {stamp}", "%Y %b %d %H:%M:%S").astimezone()
            if moment > now + dt.timedelta(days=1):
                moment = moment.replace(year=now.year - 1)
    except ValueError:
        return None
    return Line(stamp, moment.timestamp(), found["program"], int(found["pid"]), found["text"])


def joined(lines: Iterable[str], past: list[Past]) -> Iterator[Entry]:
    """The entries of `lines` that belong to a session, in their order.

    The watcher's record says which SFTP server served which connection; one that came and went between two of its looks is taken
    for the account's last login.
    """
    now = dt.datetime.now().astimezone()
    logins: dict[str, _Login] = {}
    servers: dict[int, _Login] = {}
    for text in lines:
        line = parse(text, now)
        if line is None:
            continue
        accepted = _ACCEPTED.match(line.text)
        if accepted and line.program.startswith("sshd"):
            login = _Login(line.seconds, accepted[2], accepted[3], accepted[1])
            logins[login.account] = login
            yield _entry(line, login)
        elif line.program == _SERVER:
            opened = _OPENED.match(line.text)
            if opened:
                served = _served(line, past) or _last(logins.get(opened[1]), line)
                if served is not None:
                    servers[line.pid] = served
                else:
                    servers.pop(line.pid, None)
            if line.pid in servers:
                yield _entry(line, servers[line.pid])


def _served(line: Line, past: list[Past]) -> _Login | None:
    for each in past:
        ends = float("inf") if each.closed is None else each.closed
        if line.pid in each.servants and each.opened - _SLACK_S <= line.seconds <= ends + _SLACK_S:
            return _Login(each.opened, each.session, each.serial, each.account)
    return None


def _last(login: _Login | None, line: Line) -> _Login | None:
    return login if login is not None and 0 <= line.seconds - login.seconds + 1 <= _SLACK_S else None


def _entry(line: Line, login: _Login) -> Entry:
    return Entry(line.time, login.session, login.serial, login.account, line.text)
