"""The authority's one file: which keys it signs with, and who is who at each destination.

Anything wrong in it - a key, a type, a value - raises a `TableError` that names file, key and what is expected.
"""

from __future__ import annotations

import ipaddress
import os
import stat
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from spawner import tomlfile
from spawner.authority.protocol import Account, AccountName, DestinationName, Folder, UserName

AbsolutePath = Annotated[str, Meta(pattern=r"^/", description="a path that begins with /")]


class TableError(Exception):
    """The file can't be used; the text is one sentence that names file, key and what is expected."""


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every table of the file has in common."""


class Destination(_Section, frozen=True, kw_only=True):
    """A destination and the key that its `TrustedUserCAKeys` believes; no key serves two destinations."""

    name: DestinationName
    ca_key: AbsolutePath
    source: Annotated[tuple[str, ...], Meta(min_length=1)]
    """The addresses or networks that the destination sees: the gateway's, not the nodes'."""


class Row(_Section, frozen=True, kw_only=True):
    """`user` of the hub is `account` at `destination`, and `folder` there is theirs."""

    user: UserName
    destination: DestinationName
    account: AccountName
    folder: Folder


class Table(_Section, frozen=True, kw_only=True):
    """The whole file."""

    socket: AbsolutePath
    client: AccountName = "jupyterhub"
    """The only Unix account that may ask."""
    lifetime: Annotated[int, Meta(ge=60, le=3600)]
    """Seconds from the signature to the certificate's end."""
    log: AbsolutePath
    """Every signature, appended before the certificate leaves this process."""
    destination: Annotated[tuple[Destination, ...], Meta(min_length=1)]
    account: tuple[Row, ...] = ()

    def accounts(self, user: str) -> tuple[Account, ...]:
        """Everywhere that `user` has an account."""
        return tuple(
            Account(destination=row.destination, account=row.account, folder=row.folder) for row in self.account if row.user == user
        )

    def row(self, user: str, destination: str) -> tuple[Row, Destination] | None:
        """The row of `user` at `destination` and that destination, or None: no row, no certificate."""
        rows = [row for row in self.account if row.user == user and row.destination == destination]
        return (rows[0], next(each for each in self.destination if each.name == destination)) if rows else None


def load(path: Path) -> Table:
    """The table that the file at `path` holds.

    Raises TableError when the file can't be read, others could have written it, it is no TOML, holds anything that no table has,
    or names a CA key that somebody else can read.
    """
    try:
        _demand_private(path, "this file", also_readable=True)
        table = tomlfile.decode(path.read_bytes(), Table)
    except OSError as error:
        raise TableError(f"{path}: can't be read: {error.strerror}.") from error
    except (tomlfile.BadFileError, ValueError) as error:
        raise TableError(f"{path}: {error}.") from error
    for complaint in _contradictions(table):
        raise TableError(f"{path}: {complaint}.")
    return table


def _demand_private(path: Path, what: str, *, also_readable: bool = False) -> None:
    """Raise ValueError unless `path` is a file of this account (or root's) that nobody else may write - or, as a rule, read."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"expected {what} to be a regular file")
    owners = {os.geteuid(), 0} if also_readable else {os.geteuid()}
    if status.st_uid not in owners:
        raise ValueError(f"expected {what} to belong to the account that signs (uid {os.geteuid()}), got uid {status.st_uid}")
    mode = stat.S_IMODE(status.st_mode)
    if mode & (0o022 if also_readable else 0o077):
        wish = "writable by its owner only" if also_readable else "mode 0600"
        raise ValueError(f"expected {what} to be {wish}, got {mode:04o}")


def _contradictions(table: Table) -> list[str]:
    """What types alone can't see: references, duplicates, networks, key files."""
    found = []
    names = [each.name for each in table.destination]
    found += [f"two destination tables are called {name!r}" for name in sorted(set(names)) if names.count(name) > 1]
    keys = [each.ca_key for each in table.destination]
    found += [f"two destinations share the key {key!r}" for key in sorted(set(keys)) if keys.count(key) > 1]
    pairs = [(row.user, row.destination) for row in table.account]
    found += [f"two account rows for {user!r} at {name!r}" for user, name in sorted(set(pairs)) if pairs.count((user, name)) > 1]
    found += [
        f"expected the name of a destination, got {row.destination!r} - at `$.account[{index}].destination`"
        for index, row in enumerate(table.account)
        if row.destination not in names
    ]
    for index, each in enumerate(table.destination):
        for source in each.source:
            try:
                ipaddress.ip_network(source)
            except ValueError:
                found.append(f"expected a network as ADDRESS/BITS, got {source!r} - at `$.destination[{index}].source`")
        try:
            _demand_private(Path(each.ca_key), "the key")
        except OSError as error:
            found.append(f"can't read the key {each.ca_key!r}: {error.strerror} - at `$.destination[{index}].ca_key`")
        except ValueError as error:
            found.append(f"{error} - at `$.destination[{index}].ca_key`")
    return found
