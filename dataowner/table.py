"""The owner's one file: a few settings, and who may come. An INI file, because every Python reads it.

    [owner]
    destination = cloud
    gateway = 198.51.100.1

    [account jrs0017]
    access = read-write
    until = 2027-03-31

Whoever has no section does not come in, whatever the hub says. While the file is wrong, nobody does.
"""

from __future__ import annotations

import configparser
import datetime as dt
import ipaddress
import re
from collections.abc import Mapping
from typing import NamedTuple

from dataowner.places import Places, UnusableError, read

READ_WRITE, READ_ONLY = "read-write", "read-only"
NAME = re.compile(r"[a-z][a-z0-9-]{0,30}", re.ASCII)
"""A destination, or a person as the hub calls them."""
ACCOUNT = re.compile(r"[a-z_][a-z0-9_.-]{0,31}", re.ASCII)
"""A Unix account of this host."""
_PATH = re.compile(r"/[!-~]+", re.ASCII)


class Grant(NamedTuple):
    """What the owner allows one account."""

    account: str
    access: str
    """READ_WRITE or READ_ONLY."""
    until: dt.date
    """The last day, by this host's clock."""
    users: tuple[str, ...] = ()
    """Whom the hub's statement has to name for it; empty: whoever the hub says has this account."""

    def stands(self, now: float) -> bool:
        """Whether the grant's last day is not over at `now` (seconds since the epoch)."""
        return dt.datetime.fromtimestamp(now).date() <= self.until  # noqa: DTZ006  (the owner's days are this host's)


class Settings(NamedTuple):
    """The section [owner]."""

    destination: str
    """What the hub calls this cloud; a statement for another is not believed."""
    gateway: str
    """The address or network from which everybody comes."""
    longest_statement: float = 60.0
    """Seconds that a statement may hold at most."""
    clock_skew: float = 60.0
    """Seconds by which the hub's clock may differ from this host's."""
    log: str = "/var/log/auth.log"
    """Where syslog writes what sshd and its SFTP server say."""
    sshd_pid: str = "/run/sshd.pid"
    """sshd's PidFile."""


class Table(NamedTuple):
    """The whole file."""

    settings: Settings
    grants: Mapping[str, Grant]
    """By account."""

    def grant(self, account: str, now: float) -> Grant | None:
        """What `account` may do at `now`; None: it may not come in."""
        found = self.grants.get(account)
        return found if found is not None and found.stands(now) else None


def load(places: Places) -> Table:
    """The owner's file. Raises UnusableError with one sentence about what is wrong with it."""
    try:
        return parse(read(places.settings))
    except ValueError as error:
        raise UnusableError(f"{places.settings}: {error}.") from error


def parse(text: str) -> Table:
    """The table that `text` holds. Raises ValueError with what is wrong, without its full stop."""
    parser = configparser.RawConfigParser(interpolation=None, default_section="\0", delimiters=("=",), comment_prefixes=("#",))
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise ValueError(" ".join(str(error).split())) from error
    settings, grants = None, {}
    for name in parser.sections():
        values = dict(parser.items(name))
        kind, _, account = name.partition(" ")
        if name == "owner":
            settings = _settings(values)
        elif kind == "account" and ACCOUNT.fullmatch(account):
            grants[account] = _grant(account, values)
        else:
            raise ValueError(f"expected [owner] or [account NAME], got [{name}]")
    if settings is None:
        raise ValueError("there is no section [owner]")
    return Table(settings, grants)


def _settings(values: Mapping[str, str]) -> Settings:
    _only("owner", values, Settings._fields, ("destination", "gateway"))
    if not NAME.fullmatch(values["destination"]):
        raise ValueError(f"[owner] destination: expected the hub's name of this cloud, got {values['destination']!r}")
    try:
        gateway = str(ipaddress.ip_network(values["gateway"]))
    except ValueError:
        raise ValueError(f"[owner] gateway: expected an address or network, got {values['gateway']!r}") from None
    for key in ("longest_statement", "clock_skew"):
        if key in values and not re.fullmatch(r"[1-9][0-9]{0,4}", values[key], re.ASCII):
            raise ValueError(f"[owner] {key}: expected seconds from 1 to 99999, got {values[key]!r}")
    for key in ("log", "sshd_pid"):
        if key in values and not _PATH.fullmatch(values[key]):
            raise ValueError(f"[owner] {key}: expected a path that begins with /, got {values[key]!r}")
    usual = Settings(values["destination"], gateway)
    return usual._replace(
        longest_statement=float(values.get("longest_statement", usual.longest_statement)),
        clock_skew=float(values.get("clock_skew", usual.clock_skew)),
        log=values.get("log", usual.log),
        sshd_pid=values.get("sshd_pid", usual.sshd_pid),
    )


def _grant(account: str, values: Mapping[str, str]) -> Grant:
    where = f"account {account}"
    _only(where, values, ("access", "until", "users"), ("access", "until"))
    if account == "root":
        raise ValueError(f"[{where}]: nobody comes as root")
    if values["access"] not in (READ_WRITE, READ_ONLY):
        raise ValueError(f"[{where}] access: expected {READ_WRITE} or {READ_ONLY}, got {values['access']!r}")
    until = _day(values["until"])
    if until is None:
        raise ValueError(f"[{where}] until: expected a day as 2027-03-31, got {values['until']!r}")
    users = tuple(values.get("users", "").split())
    if "users" in values and not (users and all(NAME.fullmatch(user) for user in users)):
        raise ValueError(f"[{where}] users: expected names of people at the hub, got {values['users']!r}")
    return Grant(account, values["access"], until, users)


def _day(text: str) -> dt.date | None:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII):
        return None
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        return None


def _only(section: str, values: Mapping[str, str], known: tuple[str, ...], needed: tuple[str, ...]) -> None:
    for key in values:
        if key not in known:
            raise ValueError(f"[{section}] {key}: there is no such key; expected one of {', '.join(known)}")
    for key in needed:
        if key not in values:
            raise ValueError(f"[{section}] {key} is missing")
