"""What the hub and a data owner's control account say to each other: one JSON line each way over ssh.

The other end is `dataowner.control`, which shares no code with this: the two are held against each other by a test.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

import msgspec

from enclave.messages import SessionId

LINE_LIMIT = 1_048_576
"""Bytes of an answer, its newline included; more is no answer."""
STATEMENT_NAMESPACE = "renkei-statement"
DOCUMENT_NAMESPACE = "renkei-document"
DOCUMENT_LIMIT = 65_536
"""Bytes of a document that an owner keeps; a session has eight at most."""


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    """An answer may say more than this hub knows: the owner's side is another program, perhaps a newer one."""


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """One session that is alive, as a statement names it."""

    session: SessionId
    account: str
    user: str


def statement(*, destination: str, number: int, issued: int, seconds: int, live: Iterable[Live], over: Iterable[str]) -> str:
    """The text that is signed; `dataowner.statement` says what each line means. Times in seconds, `number` ever growing."""
    lines = [
        "renkei-statement 1",
        f"destination {destination}",
        f"number {number}",
        f"issued {issued}",
        f"seconds {seconds}",
        *(f"live {each.session} {each.account} {each.user}" for each in live),
        *(f"over {each}" for each in over),
    ]
    return "\n".join(lines) + "\n"


class Push(msgspec.Struct, frozen=True, kw_only=True, tag_field="ask", tag="push"):
    """A new statement with its signature."""

    statement: str
    signature: str


class WitnessRequest(msgspec.Struct, frozen=True, kw_only=True, tag_field="ask", tag="witness"):
    """What did the cloud see of this session?"""

    session: SessionId


class Store(msgspec.Struct, frozen=True, kw_only=True, tag_field="ask", tag="store"):
    """Keep this document of a session for good; signed in the namespace `renkei-document`."""

    session: SessionId
    document: str
    signature: str


Request = Push | WitnessRequest | Store


class Why(enum.StrEnum):
    """Why a session may not go on at the destination."""

    REVOKED = "revoked"
    NO_GRANT = "no-grant"


class Ended(_Line, frozen=True, kw_only=True):
    """A session that the statement named and the owner does not have."""

    session: SessionId
    why: Why


class Seen(_Line, frozen=True, kw_only=True):
    """One live connection as the cloud sees it; bytes are TCP's, None where the cloud can't count. Times since the epoch."""

    session: SessionId
    serial: str
    access: str
    opened: float
    state: str
    """`live` or `suspended`."""
    bytes_out: int | None
    bytes_in: int | None
    last_byte: float | None


class Pushed(_Line, frozen=True, kw_only=True, tag_field="answer", tag="pushed"):
    """The statement counts."""

    number: int
    ended: tuple[Ended, ...]
    read_only: tuple[SessionId, ...] = ()
    """Sessions whose account may read and no more: their mount says so by itself, so that programs are told in plain words."""
    seen: tuple[Seen, ...]


class Witness(_Line, frozen=True, kw_only=True, tag_field="answer", tag="witness"):
    """What the cloud saw of a session: its connections, their serials, when bytes last passed, whether all are closed."""

    session: SessionId
    revoked: bool
    connections: int
    open: int
    serials: tuple[str, ...]
    opened: float | None
    last_byte: float | None
    closed: float | None
    """When the last connection ended; None while one is open, or when there was none."""
    bytes_out: int | None
    bytes_in: int | None


class Stored(_Line, frozen=True, kw_only=True, tag_field="answer", tag="stored"):
    """The document is kept; `digest` is its SHA-256 (hex) and its name."""

    digest: str
    signer: str


class Refused(_Line, frozen=True, kw_only=True, tag_field="answer", tag="refused"):
    """Not this; the same again will be refused again. `reason` is for the log."""

    reason: str


class Unable(_Line, frozen=True, kw_only=True, tag_field="answer", tag="unable"):
    """The owner's side is in trouble itself."""

    reason: str


Answer = Pushed | Witness | Stored | Refused | Unable
