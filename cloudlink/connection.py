"""One SFTP connection to the cloud: greeting, numbers of requests, and who waits for which answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cloudlink import requests, responses, wire
from cloudlink.coalesce import Coalesced, Write
from cloudlink.loop import Loop, Timer
from cloudlink.ssh import Child, Ssh
from cloudlink.stream import Stream
from cloudlink.wire import Buffer, Kind, Status, WireError

LIMITS = b"limits@openssh.com"
GREETING_SECONDS = 12.0
"""Silence in a handshake after which a line that carries nothing but the TCP handshake is tried anew. A handshake that goes on may
go on, however slowly; where the TCP connection is not ours to look at, the whole of it has so long."""
_DEAD_SECONDS = 4.0
"""The same for silence of the other side's kernel, which answers at once whatever its programs do."""
_LOOK_SECONDS = 0.5
SMALLEST_READ = 32_768
"""Bytes of one READ that every server answers in whole."""
_LARGEST_READ = 131_072
_LARGEST_WRITE = 261_120
"""OpenSSH's own: a packet less a KiB."""


class Ask(Protocol):
    """Whoever waits for one answer. Exactly one of the two is called, once."""

    def answered(self, kind: int, frame: bytearray) -> None:
        """The answer. Raises WireError when it is none."""

    def lost(self) -> None:
        """The connection is gone; whether the server has done it is not known."""


@dataclass(frozen=True)
class Ending:
    """How a connection ended."""

    why: str
    code: int
    """ssh's exit code."""
    greeted: bool
    """Whether the server had said VERSION."""
    connected: bool
    """Whether there was a TCP connection: without one nothing was refused by the destination itself."""
    hostile: bool
    """The server sent what is no SFTP."""
    unbroken: bool = False
    """The line was in order: the server ended this."""


class Connection:
    """Ready once `ready` was called; over once `ended` was. `pending` is in the order in which requests went out."""

    def __init__(
        self,
        loop: Loop,
        ssh: Ssh,
        say: Callable[[str], None],
        *,
        ready: Callable[[Connection], None],
        ended: Callable[[Connection, Ending], None],
        drained: Callable[[], None],
        connected: Callable[[Connection], None] = lambda _: None,
    ) -> None:
        self._loop, self._ready, self._ended, self._connected = loop, ready, ended, connected
        self._child = Child(loop, ssh, say, self._reached)
        self._stream = Stream(loop, *self._child.descriptors, take=self._take, ended=self._stop, drained=drained)
        self._number = 0
        self._limits_number = -1
        self.pending: dict[int, Ask] = {}
        self.extensions: dict[bytes, bytes] = {}
        self.greeted = False
        self.load = 0
        """Bytes that were asked for by blocks and have not come."""
        self.largest_read = SMALLEST_READ
        self.largest_write = 0
        """Bytes of one WRITE that the server says it takes; 0 while it has not said."""
        self._writes: Coalesced | None = None
        """What is still added to before it is sent."""
        self.heard = time.monotonic()
        self._deadline: Timer | None = None
        self.dialled = not ssh.dials
        """Whether it connects, or has."""
        if not ssh.dials:
            self._deadline = loop.later(GREETING_SECONDS, lambda: self.close("the connection timed out in its handshake"))
        self._stream.send(requests.init_packet())

    def dial(self, *, patient: bool) -> None:
        """Connect, unless that is done: once, or until there is a connection. Until then ssh has started and waits."""
        if not self.dialled:
            self.dialled = True
            self._child.dial(patient=patient)

    @property
    def silence(self) -> float:
        """Seconds since anything was heard on the TCP connection, be it the other side's kernel; 0 when that can't be known."""
        return self._child.silence(data=False)

    def _reached(self) -> None:
        if self._stream.open:
            self._watch_greeting()
            self._connected(self)

    def _watch_greeting(self) -> None:
        if self._child.silence(data=True) > GREETING_SECONDS or self.silence > _DEAD_SECONDS:
            self.close("the connection timed out in its handshake")
        elif not self.greeted:
            self._deadline = self._loop.later(_LOOK_SECONDS, self._watch_greeting)

    @property
    def queued(self) -> int:
        """Bytes that ssh has not taken yet."""
        return self._stream.queued

    @property
    def open(self) -> bool:
        """Whether it can be asked."""
        return self.greeted and self._stream.open

    @property
    def received(self) -> int:
        """Bytes that came, packets' heads included."""
        return self._stream.received

    @property
    def sent(self) -> int:
        """Bytes that ssh took."""
        return self._stream.sent

    def number(self, ask: Ask) -> int:
        """A number under which `ask` waits from now on; whoever takes it sends the packet next."""
        if self._writes is not None:
            self._send_writes()
        return self._next(ask)

    def _next(self, ask: Ask) -> int:
        self._number = (self._number + 1) & 0xFFFFFFFF
        self.pending[self._number] = ask
        return self._number

    def send(self, *parts: Buffer) -> None:
        """Send a packet."""
        self._stream.send(*parts)

    def write(self, write: Write, handle: bytes) -> None:
        """Send a WRITE, together with its neighbours if those come in the same round of the loop."""
        if self._writes is not None:
            if self._writes.take(write, handle, self.largest_write):
                return
            self._send_writes()
        else:
            self._loop.soon(self._send_writes)
        self._writes = Coalesced(write, handle)

    def _send_writes(self) -> None:
        writes, self._writes = self._writes, None
        if writes is not None:
            self._stream.send(*writes.encode(self._next(writes)))

    def close(self, why: str) -> None:
        """End ssh and tell `ended`. The TCP connection is left as it is until `abort`."""
        if self._stream.open:
            self._stream.close()
            self._stop(why, malformed=False)

    def abort(self) -> None:
        """Reset the TCP connection, so that nothing of it is delivered any more."""
        self._child.abort()

    def _take(self, frame: bytearray) -> None:
        if not self.greeted:
            self._greet(frame)
            return
        kind, number = wire.kind_and_id(frame)
        if number == self._limits_number:
            self._limits_number = -1
            self._take_limits(kind, frame)
            return
        self._asked(number).answered(kind, frame)

    def _asked(self, number: int) -> Ask:
        ask = self.pending.pop(number, None)
        if ask is None:
            raise WireError("an answer to a request that was never made")
        return ask

    def _greet(self, frame: bytearray) -> None:
        self.extensions = responses.parse_version(frame)
        self.greeted = True
        self._stop_waiting()
        if LIMITS in self.extensions:
            self._number += 1
            self._limits_number = self._number
            self._stream.send(wire.packet(Kind.EXTENDED, self._number, wire.string(LIMITS)))
        self._ready(self)

    def _take_limits(self, kind: int, frame: bytearray) -> None:
        if kind == Kind.EXTENDED_REPLY:
            at = wire.Cursor(frame, wire.HEAD_BYTES)
            at.u64()
            largest = at.u64()
            # 0 stands for "no limit known".
            self.largest_read = max(SMALLEST_READ, min(_LARGEST_READ, largest)) if largest else SMALLEST_READ
            self.largest_write = min(_LARGEST_WRITE, at.u64())

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def _stop(self, why: str, malformed: bool) -> None:  # noqa: FBT001  (Stream's signature)
        self._stop_waiting()
        unbroken = self._child.unbroken
        code = self._child.end()
        pending, self.pending = self.pending, {}
        unsent, self._writes = self._writes, None
        for ask in [*pending.values(), *([unsent] if unsent is not None else [])]:
            ask.lost()
        connected = self._child.connection is not None
        self._ended(self, Ending(why, code, self.greeted, connected, malformed, unbroken))


class Question:
    """An own request: `then` gets kind and frame of the answer, or None and an empty frame when the connection went."""

    __slots__ = ("then",)

    def __init__(self, then: Callable[[int | None, bytearray], None]) -> None:
        self.then = then

    def answered(self, kind: int, frame: bytearray) -> None:
        """The answer."""
        self.then(kind, frame)

    def lost(self) -> None:
        """None came."""
        self.then(None, bytearray())


def status_of(kind: int, frame: bytearray) -> int:
    """The code of an answer that should be a STATUS. Raises WireError."""
    if kind != Kind.STATUS:
        raise WireError(f"an answer of kind {kind} where a status belongs")
    return responses.parse_status(frame)


def failed_with(kind: int, frame: bytearray, wanted: Kind) -> int | None:
    """None when the answer is of the kind that was wanted, else the error's code. Raises WireError for anything else."""
    if kind == wanted:
        return None
    code = status_of(kind, frame)
    if code == Status.OK:
        raise WireError(f"success without the {wanted.name} that was asked for")
    return code
