"""One session: sshfs on one side, the cloud on the other, and every request in between until it is answered."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from cloudlink import answers, requests, responses, wire
from cloudlink.files import Files, OpenFile
from cloudlink.line import Line
from cloudlink.reads import BLOCK, Reads
from cloudlink.requests import Request
from cloudlink.restore import Restore
from cloudlink.small import Small
from cloudlink.state import Snapshot
from cloudlink.stream import Stream
from cloudlink.wire import EXTENSIONS, HARDLINK, Buffer, Kind, Open, Status, WireError

if TYPE_CHECKING:
    from cloudlink.connection import Connection
    from cloudlink.loop import Loop
    from cloudlink.options import Options
    from cloudlink.ssh import Ssh

_QUEUED_LIMIT = 1_048_576
"""Bytes that may wait for ssh before sshfs has to wait: whoever looks up a name waits behind them."""
_CALLS_LIMIT = 20_000


class Call:
    """A request of sshfs that is not answered yet. `tried` says that a connection was lost on which it may have been done."""

    __slots__ = ("file", "request", "sent", "session", "tried", "writing")

    def __init__(self, session: Session, request: Request, file: OpenFile | None) -> None:
        self.session, self.request, self.file, self.tried = session, request, file, False
        self.sent = 0.0
        """When a part of a folder's listing was asked for."""
        self.writing: list[OpenFile] = []
        """Files, under whatever handle, that it is about to change."""

    def answered(self, kind: int, frame: bytearray) -> None:
        """The server's answer."""
        answers.take(self.session, self, kind, frame)

    def lost(self) -> None:
        """The connection went: it is made again on the next one."""
        self.tried = True
        self.session.hold(self)


class Session:
    """Ends by calling the loop's `stop`."""

    def __init__(self, loop: Loop, options: Options, ssh: Ssh, client: tuple[int, int], say: Callable[[str], None]) -> None:
        self.loop, self.options, self.ssh, self.say = loop, options, ssh, say
        self.files = Files()
        self.reads = Reads(self, options.memory)
        self.small = Small(self, options.memory // 3)
        self._names_shared = False
        """Whether a hard link was made here."""
        self._waking: dict[OpenFile, Restore] = {}
        self.connection: Connection | None = None
        """The one that orders everything, while it can be asked."""
        self._restore: Restore | None = None
        self._held: collections.deque[Call] = collections.deque()
        self._open_calls = 0
        self._write_bytes = 0
        self._full = False
        """Whether sshfs is not read from, because too much waits."""
        self._given_up = False
        self._init_seen = False
        self._greeted = False
        self._client = Stream(loop, *client, take=self._take, ended=self._client_ended)
        self.line = Line(
            loop,
            ssh,
            options.budget,
            say,
            up=self._up,
            down=self._down,
            given_up=self._give_up,
            over=self._over,
            drained=self._throttle,
        )

    def start(self) -> None:
        """Connect."""
        self.line.start()

    def snapshot(self) -> Snapshot:
        """How the session does."""
        since = self.line.paused_since
        line = (
            "up" if self.connection is not None else "given-up" if self._given_up else "paused" if self._greeted else "connecting"
        )
        return Snapshot(
            line=line,
            paused_since=None if since is None else round(time.time() - (time.monotonic() - since), 1),
            read=self._client.sent,
            written=self._client.received,
            unwritten=self._write_bytes,
            waiting=self._open_calls,
            ahead=self.reads.held,
            files=len(self.files),
            cuts=self.line.cuts,
            round_trip=round(self.reads.meter.round_trip, 4),
            connections=int(self.connection is not None) + self.reads.pool.count,
        )

    # sshfs's side

    def _take(self, frame: bytearray) -> None:
        if not self._init_seen:
            if requests.parse_init(frame) < wire.VERSION:
                raise WireError("the client speaks an older SFTP than version 3")
            self._init_seen = True
            self._greet()
            return
        request = requests.parse_request(frame)
        file = None
        if request.handle_at:
            file = self.files.get(request.handle)
            if file is None or file.closing:
                # What a server says of a handle that is none.
                self._client.send(responses.status_packet(request.id, Status.FAILURE, "not open"))
                return
            file.closing = request.kind is Kind.CLOSE
        self._open_calls += 1
        if request.kind is Kind.WRITE:
            self._write_bytes += request.length
        call = Call(self, request, file)
        if request.kind is Kind.READDIR and file is not None:
            file.asked.append(call)
        self._foresee(call)
        if self.connection is None or self._held:
            self.hold(call)
        else:
            self.dispatch(call)
        self._throttle()

    def _foresee(self, call: Call) -> None:
        """What was fetched ahead is no longer true of what this call will change."""
        request, small, file = call.request, self.small, call.file
        match request.kind:
            case Kind.WRITE | Kind.FSETSTAT if file is not None:
                small.changed(file.path)
                self._will_write(call, self.files.same(file))
            case Kind.CLOSE if file is not None and file.flags & ~Open.READ:
                small.changed(file.path)
            case Kind.SETSTAT:
                small.changed(request.path)
                self._will_write(call, self.files.at(request.path))
            case Kind.OPEN if request.flags != Open.READ:
                small.changed(request.path)
                self._will_write(call, self.files.at(request.path) if request.flags & Open.TRUNC else ())
            case Kind.REMOVE | Kind.RMDIR:
                small.moved(request.path)
            case Kind.RENAME | Kind.SYMLINK | Kind.EXTENDED if request.target:
                small.moved(request.path)
                small.moved(request.target)
                self._names_shared = self._names_shared or request.extension == HARDLINK

    def _will_write(self, call: Call, files: Iterable[OpenFile]) -> None:
        for each in files:
            each.writing += 1
            call.writing.append(each)
            self.reads.changed(each)
        if self._names_shared:
            # One of the names of a file is written, and who reads it by another has to see that.
            self.reads.forget()

    def reply(self, call: Call, *parts: Buffer) -> None:
        """Answer sshfs."""
        self._client.send(*parts)
        self._open_calls -= 1
        if call.request.kind is Kind.WRITE:
            self._write_bytes -= call.request.length
        for each in call.writing:
            each.writing -= 1
        if self._full:
            self._throttle()

    def reply_status(self, call: Call, status: Status, text: str = "") -> None:
        """Answer sshfs with a status of our own."""
        self.reply(call, responses.status_packet(call.request.id, status, text))

    def _throttle(self) -> None:
        """Read no more from sshfs while too much waits; again when a good part of it has gone."""
        share = 0.5 if self._full else 1.0
        queued = self.connection.queued if self.connection is not None else 0
        self._full = (
            queued > _QUEUED_LIMIT * share
            or self._write_bytes > self.options.write_buffer * share
            or self._open_calls > _CALLS_LIMIT * share
        )
        self._client.pause(reading=not self._full)

    def _client_ended(self, why: str, malformed: bool) -> None:  # noqa: FBT001  (Stream's signature)
        if malformed:
            self.say(f"cloudlink: sshfs sent what is no SFTP ({why}); the session ends")
        self.line.stop()
        self.loop.stop(1 if malformed else 0)

    def _over(self, code: int) -> None:
        self._client.close()
        self.line.stop()
        self.loop.stop(code)

    # The cloud's side

    def _up(self, connection: Connection) -> None:
        self._given_up = False
        if not self._greeted:
            self.connection = connection
            self._greet()
            return
        self._restore = Restore(self, connection, list(self._held), self._restored)
        self._restore.start()

    def _greet(self) -> None:
        if self._init_seen and self.connection is not None and not self._greeted:
            self._greeted = True
            has = self.connection.extensions
            self._client.send(responses.version_packet([name for name, data in EXTENSIONS.items() if has.get(name) == data]))

    def _restored(self, connection: Connection) -> None:
        """Every file is open again: go on with what was held, in the order in which sshfs asked."""
        self._restore = None
        self.connection = connection
        self.reads.pool.resumed()
        held, self._held = self._held, collections.deque()
        for call in held:
            if self.connection is connection:
                self.dispatch(call)
            else:
                self.hold(call)
        self._throttle()

    def _down(self) -> None:
        self.connection = None
        if self._restore is not None:
            self._restore.cancel()
            self._restore = None
        self.reads.cut()
        self.small.cut()
        for waking in self._waking.values():
            for call in waking.cancel():
                self.hold(call)
        self._waking.clear()
        for file in self.files:
            file.remote, file.content = b"", None

    def hold(self, call: Call) -> None:
        """Keep it until there is a connection again, or until the time for that is up."""
        if self._given_up:
            answers.refuse(self, call)
        else:
            self._held.append(call)

    def closed(self, file: OpenFile) -> None:
        """It is open no longer."""
        self.files.remove(file)
        self.reads.closed(file)

    def withdraw(self, calls: set[Call]) -> None:
        """These are answered already, and held no longer."""
        self._held = collections.deque(call for call in self._held if call not in calls)

    def dispatch(self, call: Call) -> None:
        """Send it, or say why not."""
        request, file, connection = call.request, call.file, self.connection
        if connection is None or not connection.open:
            self.hold(call)
            return
        if file is not None and file.lazy and not file.broken:
            self._without_handle(call, file)
            return
        if file is not None and (file.broken or not file.remote):
            answers.refuse(self, call)
            return
        if (request.kind is Kind.LSTAT and self.small.stat(call)) or (request.kind is Kind.OPEN and self.small.open(call)):
            return
        if request.kind is Kind.EXTENDED and request.extension not in EXTENSIONS:
            self.reply_status(call, Status.OP_UNSUPPORTED, "not known here")
            return
        if request.kind is Kind.READ and file is not None and connection.largest_read >= BLOCK:
            self.reads.read(call, file)
            return
        self._send(connection, call)

    def _without_handle(self, call: Call, file: OpenFile) -> None:
        """A call for a file that was opened here only: it is opened at the server when what is here is not enough."""
        kind, waking = call.request.kind, self._waking.get(file)
        if waking is not None:
            waking.held.append(call)
        elif kind is Kind.CLOSE:
            self.closed(file)
            self.reply_status(call, Status.OK)
        elif (kind is not Kind.READ or not self.small.read(call, file)) and self.connection is not None:
            waking = self._waking[file] = Restore(self, self.connection, [call], lambda _: self._awake(file))
            waking.open([file])

    def _awake(self, file: OpenFile) -> None:
        for call in self._waking.pop(file).held:
            self.dispatch(call)

    def direct(self, call: Call) -> None:
        """Send it to the server exactly as sshfs asked."""
        connection = self.connection
        # A connection that has just gone says so last: whoever it leaves without an answer comes here before.
        if connection is None or not connection.open:
            self.hold(call)
        elif call.file is not None and not call.file.remote:
            answers.refuse(self, call)
        else:
            self._send(connection, call)

    def _send(self, connection: Connection, call: Call) -> None:
        remote, file = b"", call.file
        if call.request.kind is Kind.READDIR:
            call.sent = time.monotonic()
        if file is not None:
            remote = file.remote
            # Of an appending the size says after a cut how much was done, piece by piece.
            if call.request.kind is Kind.WRITE and not file.appends:
                connection.write(call, remote)
                return
            if call.request.kind is Kind.CLOSE:
                # From here on the server may give the same handle to another file.
                file.remote = b""
        connection.send(*requests.encode(call.request, connection.number(call), remote))

    def _give_up(self) -> None:
        self._given_up = True
        for file in self.files:
            file.broken = file.broken or "the line was away for too long"
        held, self._held = self._held, collections.deque()
        for call in held:
            answers.refuse(self, call)
