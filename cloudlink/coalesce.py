"""Writing: what sshfs writes in pieces of 64 KiB, one after the other, is told to the server in larger ones.

Each piece is still a request of its own: it gets the answer to the one in which it went, and after a cut it is made again. Fewer
answers are less work for everybody on the way.
"""

from __future__ import annotations

from typing import Protocol

from cloudlink.requests import Request, encode, write_head, written
from cloudlink.wire import Buffer


class Write(Protocol):
    """A WRITE that waits for its answer (`connection.Ask`)."""

    request: Request

    def answered(self, kind: int, frame: bytearray) -> None:
        """The answer."""

    def lost(self) -> None:
        """The connection is gone."""


class Coalesced:
    """Writes of one open file, each beginning where the one before ends. It waits for their one answer."""

    __slots__ = ("_end", "_handle", "_length", "_writes")

    def __init__(self, first: Write, handle: bytes) -> None:
        self._writes, self._handle = [first], handle
        self._length = first.request.length
        self._end = first.request.offset + self._length

    def take(self, write: Write, handle: bytes, most: int) -> bool:
        """Whether `write` goes on where this ends, and both together are no longer than `most` bytes; it is added then."""
        request = write.request
        if request.offset != self._end or handle != self._handle or self._length + request.length > most:
            return False
        self._writes.append(write)
        self._length += request.length
        self._end += request.length
        return True

    def encode(self, number: int) -> list[Buffer]:
        """The one WRITE for the server."""
        first = self._writes[0].request
        if len(self._writes) == 1:
            return encode(first, number, self._handle)
        head = write_head(number, self._handle, first.offset, self._length)
        return [head, *(written(write.request) for write in self._writes)]

    def answered(self, kind: int, frame: bytearray) -> None:
        """All of it is there, or it is not known how much: then each of them failed."""
        for write in self._writes:
            write.answered(kind, frame[:])

    def lost(self) -> None:
        """The connection is gone."""
        for write in self._writes:
            write.lost()
