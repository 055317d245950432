"""Frames over a pair of non-blocking descriptors: cut to measure when they come in, gathered when they go out."""

from __future__ import annotations

import collections
import itertools
import os
import select
from collections.abc import Callable

from cloudlink.loop import Loop
from cloudlink.wire import LIMIT, U32, Buffer, WireError

_SCRATCH = 66_560
"""Bytes of one read where no large frame is under way: a piece of sshfs (64 KiB) with its head, so that it comes in one."""
_BUSY = 32_768
"""Bytes of a read after which there is probably more."""
_BESIDE = 4096
"""Bytes that are read beyond a large frame: what comes next may be small, and a large one gets a buffer of its own size as well."""
_GATHER = 64
"""Buffers that one writev takes."""
_READS = 8
"""Reads in a row from one side, before the others have their turn."""


class Frames:
    """Cuts a stream of bytes into frames.

    A large frame is read into a buffer of its own size, so that whoever keeps its data keeps nothing else.
    """

    def __init__(self) -> None:
        self._scratch = bytearray(_SCRATCH)
        self._view = memoryview(self._scratch)
        self._beside = self._view[:_BESIDE]
        self._kept = 0
        self._frame: bytearray | None = None
        self._filled = 0

    def read(self, descriptor: int, sink: Callable[[bytearray], None]) -> int:
        """One read; whole frames go to `sink`. How many bytes came: 0 is the end.

        Raises OSError (BlockingIOError when there is nothing now) and WireError for a length that no frame has.
        """
        frame = self._frame
        if frame is None:
            count = os.readv(descriptor, [self._view[self._kept :]])
            self._cut(self._kept + count, sink)
            return count
        count = os.readv(descriptor, [memoryview(frame)[self._filled :], self._beside])
        missing = len(frame) - self._filled
        if count < missing:
            self._filled += count
            return count
        self._frame = None
        sink(frame)
        self._cut(count - missing, sink)
        return count

    def _cut(self, end: int, sink: Callable[[bytearray], None]) -> None:
        scratch, at = self._scratch, 0
        while end - at >= 4:
            size = U32.unpack_from(scratch, at)[0] + 4
            if not 5 <= size <= LIMIT + 4:
                raise WireError(f"a packet of {size - 4} bytes")
            if at + size > end:
                frame = bytearray(size)
                frame[: end - at] = self._view[at:end]
                self._frame, self._filled = frame, end - at
                self._kept = 0
                return
            frame = scratch[at : at + size]
            at += size
            sink(frame)
        # Less than a length field: it waits at the scratch's beginning.
        self._kept = end - at
        if self._kept and at:
            scratch[: self._kept] = scratch[at:end]


class Stream:
    """One side.

    `take` gets each frame, `ended` is called once, with what went wrong (an empty text for the end of the stream) and whether
    it was no SFTP that came, and `drained` whenever some of what waited went out.
    """

    def __init__(
        self,
        loop: Loop,
        incoming: int,
        outgoing: int,
        *,
        take: Callable[[bytearray], None],
        ended: Callable[[str, bool], None],
        drained: Callable[[], None] = lambda: None,
    ) -> None:
        self._loop, self._incoming, self._outgoing = loop, incoming, outgoing
        self._take, self._ended, self._drained = take, ended, drained
        self._frames = Frames()
        self._queue: collections.deque[Buffer] = collections.deque()
        self._reading = True
        self._flushing = False
        self._stuck = False
        self.open = True
        self.queued = 0
        """Bytes that wait to go out."""
        self.received = self.sent = 0
        for descriptor in {incoming, outgoing}:
            os.set_blocking(descriptor, False)
        self._watch()

    def send(self, *parts: Buffer) -> None:
        """Put these behind what waits; they go out at the end of the loop's round."""
        for part in parts:
            if part:
                self._queue.append(part)
                self.queued += len(part)
        if not self._flushing and not self._stuck:
            self._flushing = True
            self._loop.soon(self._flush)

    def pause(self, *, reading: bool) -> None:
        """Read no more for now, or again."""
        if reading is not self._reading and self.open:
            self._reading = reading
            self._watch()

    def close(self) -> None:
        """Close both descriptors; nothing is called any more."""
        if not self.open:
            return
        self.open = False
        for descriptor in {self._incoming, self._outgoing}:
            self._loop.forget(descriptor)
            os.close(descriptor)
        self._queue.clear()
        self.queued = 0

    def _watch(self) -> None:
        reading = select.EPOLLIN if self._reading else 0
        writing = select.EPOLLOUT if self._stuck else 0
        if self._incoming == self._outgoing:
            self._loop.watch(self._incoming, self._ready, reading | writing)
            return
        self._loop.watch(self._incoming, self._ready, reading)
        if writing:
            self._loop.watch(self._outgoing, self._ready, writing)
        else:
            self._loop.forget(self._outgoing)

    def _ready(self, events: int) -> None:
        if events & select.EPOLLOUT:
            self._stuck = False
            self._flush()
            if self.open and not self._stuck:
                self._watch()
        if self.open and events & ~select.EPOLLOUT:
            # An error or the end has to be read to be known, also while reading is paused.
            self._read()

    def _read(self) -> None:
        try:
            for _ in range(_READS):
                count = self._frames.read(self._incoming, self._take)
                if not count:
                    self._end("")
                    return
                self.received += count
                if not self.open or not self._reading or count < _BUSY:
                    return
        except BlockingIOError:
            return
        except OSError as error:
            self._end(str(error))
        except WireError as error:
            self._end(str(error), malformed=True)

    def _flush(self) -> None:
        self._flushing = False
        queue = self._queue
        try:
            while queue and self.open and not self._stuck:
                count = os.writev(self._outgoing, list(itertools.islice(queue, _GATHER)))
                self.queued -= count
                self.sent += count
                while count:
                    first = queue[0]
                    if count < len(first):
                        # No room is left: to ask once more would only say so.
                        queue[0] = memoryview(first)[count:]
                        self._wait_for_room()
                        break
                    count -= len(first)
                    queue.popleft()
        except BlockingIOError:
            self._wait_for_room()
        except OSError as error:
            self._end(str(error))
            return
        self._drained()

    def _wait_for_room(self) -> None:
        self._stuck = True
        self._watch()

    def _end(self, why: str, *, malformed: bool = False) -> None:
        if self.open:
            self.close()
            self._ended(why, malformed)
