"""Reading: what was fetched ahead is given at once, and the planner says what to fetch. All else goes to the server as it is.

Blocks are given away once and then forgotten: what has been read lies in the kernel's page cache, and what is asked for again may
be new.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cloudlink import requests, responses, wire
from cloudlink.connection import failed_with
from cloudlink.meter import Meter
from cloudlink.planner import Planner
from cloudlink.pool import Pool
from cloudlink.wire import Kind, Open, Status

if TYPE_CHECKING:
    from cloudlink.connection import Connection
    from cloudlink.files import OpenFile
    from cloudlink.session import Call, Session

BLOCK = 131_072
"""Bytes; a multiple of every read that sshfs makes."""
HEADER = 16_384
"""Bytes of a first read that may be all that somebody wants of a file, its header. Linux makes it of a program's first 4 KiB; who
reads in larger pieces, as nearly everybody does who goes on, asks for 32 KiB or more."""
_OLDEST = 5.0
"""Seconds that a block is kept for a reader who does not come."""
_LARGEST_WINDOW = 33_554_432


class Block:
    """A piece of a file, asked for or there. `waiting` are the reads that need it."""

    __slots__ = ("asked", "connection", "data", "left", "number", "reader", "waiting")

    def __init__(self, reader: Reader, number: int) -> None:
        self.reader, self.number = reader, number
        self.data: memoryview | None = None
        self.left = BLOCK
        """Bytes that were not given away yet."""
        self.asked = time.monotonic()
        self.waiting: list[Waiting] = []
        self.connection: Connection | None = None

    def answered(self, kind: int, frame: bytearray) -> None:
        """Data, or an error that is not told: whoever needs the block asks for himself."""
        reads = self.reader.reads
        self._arrived()
        failed = failed_with(kind, frame, Kind.DATA)
        data = None if failed is not None else responses.parse_data(frame)
        if data is not None and len(data) > BLOCK:
            raise wire.WireError("more data than were asked for")
        reads.meter.answered(len(frame), time.monotonic() - self.asked)
        if data is None:
            self._drop()
            return
        self.data = data
        self.asked = time.monotonic()
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each.one_less()

    def lost(self) -> None:
        """The connection went."""
        self._arrived()
        self._drop()

    def _arrived(self) -> None:
        if self.connection is not None:
            self.connection.load -= BLOCK
            self.connection = None

    def _drop(self) -> None:
        self.reader.forget(self)
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each.give_up()


class Waiting:
    """A read of sshfs that waits for blocks."""

    __slots__ = ("blocks", "call", "missing", "reader")

    def __init__(self, reader: Reader, call: Call, blocks: list[Block]) -> None:
        self.reader, self.call, self.blocks = reader, call, blocks
        self.missing = 0
        for block in blocks:
            if block.data is None:
                block.waiting.append(self)
                self.missing += 1

    def one_less(self) -> None:
        """A block came."""
        self.missing -= 1
        if not self.missing:
            self.reader.give(self.call, self.blocks)

    def give_up(self) -> None:
        """A block does not come: the server is asked for exactly this."""
        for block in self.blocks:
            if self in block.waiting:
                block.waiting.remove(self)
        self.reader.reads.session.direct(self.call)


class Reader:
    """One open file's blocks."""

    __slots__ = ("_begun", "_planner", "blocks", "file", "reads")

    def __init__(self, reads: Reads, file: OpenFile) -> None:
        self.reads, self.file = reads, file
        self.blocks: dict[int, Block] = {}
        self._planner = Planner()
        self._begun = False

    def read(self, call: Call) -> None:
        """A read of sshfs."""
        request, session = call.request, self.reads.session
        offset, length = request.offset, request.length
        begun, self._begun = self._begun, True
        if self.file.writing or not length or (not begun and self._looks_in(offset + length)):
            session.direct(call)
            return
        first, last = offset // BLOCK, (offset + length - 1) // BLOCK
        window = self.reads.window()
        ahead = self._planner.note(first, last, window)
        blocks = self.blocks
        if last - first < 4 and (ahead or first in blocks):
            wanted = [self._block(number) for number in range(first, last + 1)]
            for number in ahead:
                if not self._fits(number):
                    break
                self._block(number)
            waiting = Waiting(self, call, wanted)
            if not waiting.missing:
                self.give(call, wanted)
            return
        session.direct(call)
        for number in ahead:
            if not self._fits(number):
                break
            self._block(number)

    def _looks_in(self, end: int) -> bool:
        """Whether a first read up to `end` is short for its file: nothing is planned by it, and who goes on begins then."""
        known = self.file.known
        return end <= HEADER and known is not None and known.size is not None and known.size > BLOCK

    def _fits(self, number: int) -> bool:
        size = self.file.known.size if self.file.known is not None else None
        return size is not None and number * BLOCK < size and self.reads.room(BLOCK)

    def _block(self, number: int) -> Block:
        block = self.blocks.get(number)
        if block is None:
            block = self.blocks[number] = Block(self, number)
            self.reads.held += BLOCK
            self.reads.ask(block)
        return block

    def give(self, call: Call, blocks: list[Block]) -> None:
        """Answer out of blocks that are there; a short one is the file's end."""
        at = call.request.offset - blocks[0].number * BLOCK
        left = call.request.length
        parts: list[memoryview] = []
        for block in blocks:
            data = block.data
            if data is None:
                self.reads.session.direct(call)
                return
            piece = data[at : at + left]
            if piece:
                parts.append(piece)
            left -= len(piece)
            block.left -= max(len(piece), 1)
            short = len(data) < BLOCK
            if block.left <= 0 or (short and at + len(piece) >= len(data)):
                self.forget(block)
            if short and left:
                break
            at = 0
        if left and self._goes_on(call.request.offset + call.request.length - left):
            self.reads.session.direct(call)
            return
        size = call.request.length - left
        if size:
            self.reads.session.reply(call, responses.data_head(call.request.id, size), *parts)
        else:
            self.reads.session.reply_status(call, Status.EOF)

    def _goes_on(self, end: int) -> bool:
        """Whether the file is known to have bytes from `end` on, whatever a short answer seemed to say."""
        known = self.file.known
        return known is not None and known.size is not None and end < known.size

    def forget(self, block: Block) -> None:
        """It is used up, or no longer true."""
        if self.blocks.get(block.number) is block:
            del self.blocks[block.number]
            self.reads.held -= BLOCK

    def forget_all(self) -> None:
        """Nothing that was fetched is true any more. Who waits already asked before that, and may have it."""
        for block in list(self.blocks.values()):
            self.forget(block)

    def forget_old(self, before: float) -> None:
        """Blocks that came earlier, and nobody wanted."""
        for block in [block for block in self.blocks.values() if block.data is not None and block.asked < before]:
            self.forget(block)


class Reads:
    """The readers of all open files, and the memory that they share."""

    def __init__(self, session: Session, memory: int) -> None:
        self.session = session
        self._memory = memory
        self._readers: dict[int, Reader] = {}
        self.held = 0
        """Bytes of blocks that are there or were asked for."""
        self.meter = Meter()
        self.pool = Pool(session, session.options.connections)
        self._sweeping = False

    def read(self, call: Call, file: OpenFile) -> None:
        """A read of sshfs."""
        reader = self._readers.get(file.number)
        if reader is None:
            if not file.flags & Open.READ:
                self.session.direct(call)
                return
            reader = self._readers[file.number] = Reader(self, file)
        reader.read(call)

    def window(self) -> int:
        """Blocks that one reader may have ahead."""
        return self.meter.window(min(_LARGEST_WINDOW, self._memory // 2)) // BLOCK

    def room(self, size: int) -> bool:
        """Whether the memory has room for `size` bytes more."""
        return self.held + size <= self._memory

    def ask(self, block: Block) -> None:
        """Fetch it."""
        chosen = self.pool.choose(block.reader.file)
        if chosen is None:
            block.lost()
            return
        connection, remote = chosen
        connection.load += BLOCK
        block.connection = connection
        number = connection.number(block)
        connection.send(requests.read_packet(number, remote, block.number * BLOCK, BLOCK))
        self._sweep()
        self.pool.consider(self.meter.round_trip * self.meter.steady_rate)

    def changed(self, file: OpenFile) -> None:
        """Its content is about to change."""
        reader = self._readers.get(file.number)
        if reader is not None:
            reader.forget_all()

    def closed(self, file: OpenFile) -> None:
        """It is open no longer."""
        self.pool.closed(file)
        reader = self._readers.pop(file.number, None)
        if reader is not None:
            reader.forget_all()

    def cut(self) -> None:
        """The connection went."""
        self.pool.cut()
        self.forget()

    def forget(self) -> None:
        """Nothing of what was fetched is believed any more."""
        for reader in self._readers.values():
            reader.forget_all()

    def _sweep(self) -> None:
        if not self._sweeping:
            self._sweeping = True
            self.session.loop.later(_OLDEST / 4, self._swept)

    def _swept(self) -> None:
        self._sweeping = False
        before = time.monotonic() - _OLDEST
        for reader in self._readers.values():
            reader.forget_old(before)
        if self.held:
            self._sweep()
