"""More connections, for reading large files only: OpenSSH has 2 MiB under way on one, which a long line outgrows.

Everything that changes something, and every look at a name, keeps its order on the session's first connection. Blocks that are
fetched ahead may come by any, as long as nobody writes to the file; what a connection that breaks leaves open is asked for on the
first.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cloudlink import requests, responses, wire
from cloudlink.connection import Connection, Ending, Question, failed_with
from cloudlink.wire import Kind, Open

if TYPE_CHECKING:
    from cloudlink.files import OpenFile
    from cloudlink.session import Session

_ENOUGH = 1_703_936
"""Bytes in one round trip that one connection carries: OpenSSH's window of 2 MiB, less what its answers take."""
_RETRY_SECONDS = 15.0
_CALM_SECONDS = 5.0
"""After a cut: an ssh's handshake takes a processor for a tenth of a second, and first everybody shall go on."""


class Side:
    """One of them. `handles` holds the files that are open there: empty while that is not sure."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.handles: dict[int, bytes] = {}


class Pool:
    """Opens them when they are needed."""

    def __init__(self, session: Session, most: int) -> None:
        self._session, self._most = session, most
        self._sides: list[Side] = []
        self._connecting: Connection | None = None
        self._not_before = 0.0

    @property
    def count(self) -> int:
        """Connections besides the first."""
        return len(self._sides)

    def choose(self, file: OpenFile) -> tuple[Connection, bytes] | None:
        """The connection with the least under way on which `file` is open, and its handle there; None when there is none at all."""
        first = self._session.connection
        if first is None or not first.open:
            return None
        best, handle = first, file.remote
        for side in self._sides:
            there = side.handles.get(file.number)
            if there is None:
                self._open(side, file)
            elif there and side.connection.load < best.load:
                best, handle = side.connection, there
        return best, handle

    def consider(self, under_way: float) -> None:
        """Open one more when so many bytes are under way in a round trip."""
        if (
            under_way > _ENOUGH * (1 + len(self._sides))
            and 1 + len(self._sides) < self._most
            and self._connecting is None
            and time.monotonic() > self._not_before
        ):
            session = self._session
            try:
                self._connecting = Connection(
                    session.loop, session.ssh, lambda _: None, ready=self._ready, ended=self._ended, drained=lambda: None
                )
            except OSError:
                # It goes on by the first.
                self._not_before = time.monotonic() + _RETRY_SECONDS
                return
            self._connecting.dial(patient=False)

    def closed(self, file: OpenFile) -> None:
        """It is open no longer."""
        for side in self._sides:
            handle = side.handles.pop(file.number, b"")
            if handle:
                self._close(side, handle)

    def cut(self) -> None:
        """The first connection is gone, and these are not waited for."""
        for connection in [side.connection for side in self._sides] + ([self._connecting] if self._connecting else []):
            connection.close("the line is cut")
        self._not_before = 0.0

    def resumed(self) -> None:
        """The first connection is there again."""
        self._not_before = time.monotonic() + _CALM_SECONDS

    def _ready(self, connection: Connection) -> None:
        self._connecting = None
        self._sides.append(Side(connection))

    def _ended(self, connection: Connection, _ending: Ending) -> None:
        # They only read: nothing of them can come too late.
        connection.abort()
        self._connecting = None if self._connecting is connection else self._connecting
        self._sides = [side for side in self._sides if side.connection is not connection]
        self._not_before = time.monotonic() + _RETRY_SECONDS

    def _open(self, side: Side, file: OpenFile) -> None:
        connection = side.connection
        side.handles[file.number] = b""

        def opened(kind: int | None, frame: bytearray) -> None:
            if kind is None or failed_with(kind, frame, Kind.HANDLE) is not None:
                return
            handle = responses.parse_handle(frame)
            if file.number not in side.handles:
                self._close(side, handle)
                return

            def seen(kind: int | None, frame: bytearray) -> None:
                if kind is None or failed_with(kind, frame, Kind.ATTRS) is not None:
                    return
                attrs, known = responses.parse_attrs(frame), file.known
                same = known is not None and (attrs.size, attrs.mtime) == (known.size, known.mtime)
                if file.number not in side.handles or not same or file.orphan:
                    # Another file by now, or one that is being written: the first connection has the right one.
                    self._close(side, handle)
                else:
                    side.handles[file.number] = handle

            connection.send(wire.packet(Kind.FSTAT, connection.number(Question(seen)), wire.string(handle)))

        connection.send(requests.open_packet(connection.number(Question(opened)), file.path, Open.READ))

    def _close(self, side: Side, handle: bytes) -> None:
        connection = side.connection
        if connection.open:
            connection.send(wire.packet(Kind.CLOSE, connection.number(Question(lambda *_: None)), wire.string(handle)))
