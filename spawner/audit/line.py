"""One line of the record: its number, the hash of the line before, what happened, and at the end its own hash.

The hash is SHA-256 over the line's bytes up to `,"hash":`, so that what is checked is what was written, and no rule about
spaces or the order of keys is needed. A line's number is one more than the number of the line before.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re

import msgspec

Field = str | int | float | bool | None

ZERO = "0" * 64
"""Stands for the line before the first."""

LONGEST = 16 * 1024
"""Bytes that a line may have; an event is a few short words."""

TORN = "line-torn"
"""The event that tells of a line which its writer did not live to finish: how many bytes, and their hash."""

OWN = frozenset({"seq", "prev", "time", "event", "hash"})
"""What stands in every line, and can't be a field of an event."""

_FORM = re.compile(rb'(\{"seq":.*),"hash":"([0-9a-f]{64})"\}', re.DOTALL)


class BadLineError(Exception):
    """These bytes are no line of a record, or were changed."""


class Head(msgspec.Struct, frozen=True):
    """Where a chain stands: the last line's number and hash. As text `NUMBER:HASH`, for an anchor kept elsewhere."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


START = Head(0, ZERO)


class Line(msgspec.Struct, frozen=True):
    """What a reader of the chain needs of a line."""

    seq: int
    prev: str
    event: str
    hash: str
    bytes: int = 0
    """Of the event TORN: how many bytes lie between this line and the one before, and their hash."""
    sha256: str = ""

    @property
    def head(self) -> Head:
        """The chain's head while this is its last line."""
        return Head(self.seq, self.hash)

    def follows(self, head: Head) -> bool:
        """Whether it is the next line after `head`."""
        return (self.seq, self.prev) == (head.seq + 1, head.hash)


def compose(head: Head, event: str, fields: dict[str, Field]) -> tuple[bytes, Head]:
    """The line (without its end) that follows `head`, with the time now (UTC, ISO 8601), and the head after it.

    Raises ValueError for an event that is too long, or has a field called like one of OWN.
    """
    if not OWN.isdisjoint(fields):
        raise ValueError(f"an event can't have the fields {sorted(OWN & set(fields))}")
    time = dt.datetime.now(dt.UTC).isoformat(timespec="microseconds")
    content = msgspec.json.encode({"seq": head.seq + 1, "prev": head.hash, "time": time, "event": event, **fields})[:-1]
    if len(content) > LONGEST - 100:
        raise ValueError(f"an event of {len(content)} bytes")
    own = hashlib.sha256(content).hexdigest()
    return content + b',"hash":"' + own.encode() + b'"}', Head(head.seq + 1, own)


def parse(text: bytes) -> Line:
    """The line that `text` (without its end) is, with the hash that its bytes have. Raises BadLineError."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise BadLineError("it is no line of this record")
    if hashlib.sha256(found[1]).hexdigest().encode() != found[2]:
        raise BadLineError("its bytes do not have the hash that it says")
    try:
        return msgspec.json.decode(text, type=Line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadLineError(f"it is no line of this record: {error}") from error


def parse_head(text: str) -> Head:
    """The head that `text` (`NUMBER:HASH`) names. Raises ValueError."""
    found = re.fullmatch(r"([0-9]{1,18}):([0-9a-f]{64})\s*", text)
    if found is None:
        raise ValueError(f"expected NUMBER:HASH, got {text[:100]!r}")
    return Head(int(found[1]), found[2])
