"""A small file fetched whole: opened, looked at, read and closed in two round trips."""

from __future__ import annotations

import time
from collections.abc import Callable

from cloudlink import responses, wire
from cloudlink.connection import Connection, Question, failed_with
from cloudlink.wire import Attrs, Kind, Open

LARGEST = 131_072
"""Bytes of a file that counts as small: one READ."""
ATTRS_BYTES = 32
"""Of all of version 3's attributes together: flags, size, owner, group, mode and two times."""
FRESH = 1.0
"""Seconds for which what the server said is believed; a mount itself believes attributes for a second."""


class Item:
    """One file's content. Not to be used before `data` is there."""

    __slots__ = ("asked", "attrs", "data", "path", "raw", "used")

    def __init__(self, path: bytes) -> None:
        self.path = path
        self.asked = time.monotonic()
        """When what is here was asked for: it is not older than that."""
        self.attrs = Attrs()
        self.raw = b""
        """The attributes as the server sent them."""
        self.data: memoryview | None = None
        self.used = False
        """Whether it was given to somebody who opened it."""

    @property
    def fresh(self) -> bool:
        """Whether it can be given away."""
        return self.data is not None and time.monotonic() - self.asked < FRESH


class Fetch:
    """Fills `item` and calls `done`, also when it could not be filled; never when the connection goes."""

    def __init__(self, connection: Connection, item: Item, done: Callable[[Item], None]) -> None:
        self._connection, self._item, self._done = connection, item, done
        self._send(self._opened, Kind.OPEN, wire.string(item.path), Open.READ.to_bytes(4), bytes(4))

    def _send(self, then: Callable[[int | None, bytearray], None], kind: Kind, *body: bytes) -> None:
        self._connection.send(wire.packet(kind, self._connection.number(Question(then)), *body))

    def _opened(self, kind: int | None, frame: bytearray) -> None:
        if kind is None:
            return
        if failed_with(kind, frame, Kind.HANDLE) is not None:
            self._done(self._item)
            return
        handle = wire.string(responses.parse_handle(frame))
        self._item.asked = time.monotonic()
        self._send(self._seen, Kind.FSTAT, handle)
        self._send(self._filled, Kind.READ, handle, bytes(8), LARGEST.to_bytes(4))
        self._send(lambda *_: None, Kind.CLOSE, handle)

    def _seen(self, kind: int | None, frame: bytearray) -> None:
        # Attributes with more than the protocol's own fields are left to whoever asks: what is kept is counted by its content.
        if kind is not None and failed_with(kind, frame, Kind.ATTRS) is None and len(frame) <= wire.HEAD_BYTES + ATTRS_BYTES:
            self._item.attrs, self._item.raw = responses.parse_attrs(frame), bytes(frame[wire.HEAD_BYTES :])

    def _filled(self, kind: int | None, frame: bytearray) -> None:
        if kind is None:
            return
        item = self._item
        if failed_with(kind, frame, Kind.DATA) is None:
            data = responses.parse_data(frame)
            # Anything else was changed between the two answers, or is larger than it was when its folder was listed.
            if item.attrs.is_file and item.attrs.size == len(data):
                item.data = data
        self._done(item)
