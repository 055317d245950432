"""What the server said of a folder's files when it listed them: an answer to whoever looks at their names within a second.

On such a mount Linux looks at one name of a folder after the other, and waits for each, also when many threads open its files: a
round trip a file, one after the other. While somebody goes on looking, the folder is listed again by the link itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cloudlink import responses, wire
from cloudlink.connection import Question, failed_with
from cloudlink.fetch import ATTRS_BYTES, FRESH
from cloudlink.responses import Entry
from cloudlink.wire import Kind

if TYPE_CHECKING:
    from cloudlink.connection import Connection

LONGEST = 2_000
"""Names of a folder that is listed again: OpenSSH tells a hundred in a round trip."""
LONGEST_NAME = 255
"""Bytes: Linux knows no longer one, and names are kept."""
_AGAIN = FRESH / 2


class Listing:
    """One folder's. Not older than a second, and nothing of it is from before a change through this mount."""

    def __init__(self) -> None:
        self._found: dict[bytes, tuple[bytes, float]] = {}
        self._asked = 0.0
        """When the newest part of it was."""
        self._under_way = False

    def put(self, entries: Sequence[Entry], asked: float) -> None:
        """A part of the folder's listing that was asked for then."""
        self._asked = max(self._asked, asked)
        for entry in entries:
            if len(self._found) < LONGEST and _kept(entry):
                self._found[entry.name] = (entry.told, asked)

    def forget(self) -> None:
        """Something in the folder is about to be changed."""
        self._found.clear()

    def get(self, name: bytes) -> bytes:
        """The attributes of `name` as the server sent them; empty where it has to be asked."""
        told, asked = self._found.get(name, (b"", 0.0))
        return told if time.monotonic() - asked < FRESH else b""

    def renew(self, connection: Connection, path: bytes, put: Callable[[Sequence[Entry], float], None]) -> None:
        """Lists the folder again when that is due; `put` gets the parts."""
        if self._under_way or len(self._found) >= LONGEST or time.monotonic() - self._asked < _AGAIN:
            return
        self._under_way = True

        def over() -> None:
            self._under_way = False

        Again(connection, path, put, over)


def _kept(entry: Entry) -> bool:
    """Whether it is a file of one name, as people have them: one of two names may be changed by the other."""
    return entry.attrs.is_file and entry.names == 1 and len(entry.name) <= LONGEST_NAME and len(entry.told) <= ATTRS_BYTES


class Again:
    """Lists a folder; `over` is called at the end, whatever came of it."""

    def __init__(
        self, connection: Connection, path: bytes, put: Callable[[Sequence[Entry], float], None], over: Callable[[], None]
    ) -> None:
        self._connection, self._put, self._over = connection, put, over
        self._handle, self._asked, self._names = b"", 0.0, 0
        self._send(self._opened, Kind.OPENDIR, wire.string(path))

    def _send(self, then: Callable[[int | None, bytearray], None], kind: Kind, body: bytes) -> None:
        self._connection.send(wire.packet(kind, self._connection.number(Question(then)), body))

    def _opened(self, kind: int | None, frame: bytearray) -> None:
        if kind is None or failed_with(kind, frame, Kind.HANDLE) is not None:
            self._over()
            return
        self._handle = wire.string(responses.parse_handle(frame))
        self._next()

    def _next(self) -> None:
        self._asked = time.monotonic()
        self._send(self._listed, Kind.READDIR, self._handle)

    def _listed(self, kind: int | None, frame: bytearray) -> None:
        if kind is not None and failed_with(kind, frame, Kind.NAME) is None:
            entries = responses.parse_names(frame)
            self._names += len(entries)
            self._put(entries, self._asked)
            if entries and self._names < LONGEST:
                self._next()
                return
        if kind is not None:
            self._send(lambda *_: None, Kind.CLOSE, self._handle)
        self._over()
