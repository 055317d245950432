"""What the hub and the authority say to each other: one JSON line each way over a unix socket, then the connection closes."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from enclave.messages import SessionId

LINE_LIMIT = 65_536
"""No request and no answer is longer, in bytes, its newline included."""

# `\Z`, not `$`: that would let a line break follow.
_NAME = Meta(pattern=r"^[a-z][a-z0-9-]{0,30}\Z", description="a lower-case letter, then at most 30 letters, digits or hyphens")
UserName = Annotated[str, _NAME]
DestinationName = Annotated[str, _NAME]
AccountName = Annotated[str, Meta(pattern=r"^[a-z_][a-z0-9_.-]{0,31}\Z", description="the name of a Unix account")]
Folder = Annotated[
    str,
    Meta(
        pattern=r"^(?!\.{1,2}(/|\Z))[^/\0\n]+(/(?!\.{1,2}(/|\Z))[^/\0\n]+)*\Z",
        max_length=255,
        description="a folder below the destination's path, as in people/NAME",
    ),
]
"""Relative to the destination's path: no slash at either end, no `.` or `..` on the way."""


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every request and answer has in common."""


class Account(_Line, frozen=True, kw_only=True):
    """Who a person is at one destination, and which folder there is theirs."""

    destination: DestinationName
    account: AccountName
    folder: Folder


class AccountsRequest(_Line, frozen=True, kw_only=True, tag_field="ask", tag="accounts"):
    """Where has this person an account?"""

    user: UserName


class SignRequest(_Line, frozen=True, kw_only=True, tag_field="ask", tag="sign"):
    """A certificate for this person's account at one destination, for the length of one session's next stretch."""

    user: UserName
    destination: DestinationName
    session: SessionId
    public_key: Annotated[str, Meta(max_length=256)]


Request = AccountsRequest | SignRequest


class Accounts(_Line, frozen=True, kw_only=True, tag_field="answer", tag="accounts"):
    """Every row of the table that is this person's; none is an answer too."""

    accounts: tuple[Account, ...]


class Signed(_Line, frozen=True, kw_only=True, tag_field="answer", tag="signed"):
    """The certificate in OpenSSH's one-line form, its serial, and when it ends (seconds since the epoch)."""

    certificate: str
    serial: Annotated[int, Meta(gt=0)]
    expires: float


class Refused(_Line, frozen=True, kw_only=True, tag_field="answer", tag="refused"):
    """Not for this caller, this person or this key; asking again changes nothing. `reason` is for the log."""

    reason: str


class Unable(_Line, frozen=True, kw_only=True, tag_field="answer", tag="unable"):
    """No decision: the authority's own table, log or tool is broken. `reason` is for the log."""

    reason: str


Answer = Accounts | Signed | Refused | Unable
