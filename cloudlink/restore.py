"""After a cut: every file that is open for sshfs is opened again at the server, and held against what was known of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cloudlink import answers, repeat, requests, responses, wire
from cloudlink.connection import Connection, Question, failed_with
from cloudlink.wire import POSIX_RENAME, Attrs, Kind, Open, Status

if TYPE_CHECKING:
    from cloudlink.files import OpenFile
    from cloudlink.session import Call, Session


class Restore:
    """Calls `done` when each file is open again or broken for good; never, once it is cancelled."""

    def __init__(self, session: Session, connection: Connection, held: list[Call], done: Callable[[Connection], None]) -> None:
        self._session, self._connection, self._done = session, connection, done
        self.held = held
        """Calls that wait for it."""
        self._cancelled = False
        self._calls: defaultdict[int, list[Call]] = defaultdict(list)
        for call in held:
            if call.file is not None:
                self._calls[call.file.number].append(call)
        self._missing = 0

    def start(self) -> None:
        """Ask for all files at once that were open there before."""
        self.open([file for file in self._session.files if self._wanted(file)])

    def open(self, files: Sequence[OpenFile]) -> None:
        """Ask for these."""
        # One more than there are files, so that it is not over before all were begun.
        self._missing = 1
        for file in files:
            self._missing += 1
            self._open(file)
        self._one_less()

    def cancel(self) -> Sequence[Call]:
        """The connection is lost again; the calls that waited."""
        self._cancelled = True
        return self.held

    def _wanted(self, file: OpenFile) -> bool:
        if file.broken or file.lazy:
            return False
        if file.orphan:
            answers.break_file(self._session, file, "its name was gone before the cut")
            return False
        if file.folder and file.too_long:
            answers.break_file(self._session, file, "a listing as long can't be taken up again")
            return False
        return not (file.closing and all(call.request.kind is Kind.CLOSE for call in self._calls[file.number]))

    def _names(self, file: OpenFile) -> list[bytes]:
        """The paths that it may have: its own, and those that renamings give it of which nobody knows whether they were done."""
        found = [file.path]
        for call in self.held:
            old, new = call.request.path, call.request.target
            if call.tried and new and (call.request.kind is Kind.RENAME or call.request.extension == POSIX_RENAME):
                found += [new + path[len(old) :] for path in found if path == old or path.startswith(old + b"/")]
        return found

    def _open(self, file: OpenFile, names: Sequence[bytes] = ()) -> None:
        path, *others = names or self._names(file)

        def opened(kind: int | None, frame: bytearray) -> None:
            if kind is None or self._cancelled:
                return
            error = failed_with(kind, frame, Kind.HANDLE)
            if error == Status.NO_SUCH_FILE and others:
                self._open(file, others)
                return
            if error is not None:
                answers.break_file(self._session, file, f"it can't be opened again (SFTP status {error})")
                self._one_less()
                return
            file.remote, file.resumed, file.lazy = responses.parse_handle(frame), True, False
            if file.folder:
                self._one_less()
            else:
                self._check(file)

        number = self._connection.number(Question(opened))
        if file.folder:
            self._connection.send(wire.packet(Kind.OPENDIR, number, wire.string(path)))
        else:
            flags = file.flags & ~(Open.CREAT | Open.TRUNC | Open.EXCL)
            self._connection.send(requests.open_packet(number, path, flags))

    def _check(self, file: OpenFile) -> None:
        def seen(kind: int | None, frame: bytearray) -> None:
            if kind is None or self._cancelled:
                return
            if failed_with(kind, frame, Kind.ATTRS) is not None:
                answers.break_file(self._session, file, "the server does not say what it is now")
            else:
                self._compare(file, responses.parse_attrs(frame))
            self._one_less()

        number = self._connection.number(Question(seen))
        self._connection.send(wire.packet(Kind.FSTAT, number, wire.string(file.remote)))

    def _compare(self, file: OpenFile, now: Attrs) -> None:
        changing = [call for call in self.held if file in call.writing]
        if any(call.tried and _appends(call) for call in changing):
            self._resume_appending(file, now, [call for call in changing if call.tried])
            return
        if any(call.request.kind is not Kind.WRITE and call.tried for call in changing):
            # Truncated or not, by this handle, another or its name: its size may be anything until the calls are made again.
            return
        ends = [call.request.offset + call.request.length for call in changing if call.request.kind is Kind.WRITE]
        why = file.changed(now, max(ends, default=0))
        if why:
            answers.break_file(self._session, file, why)
        else:
            file.learn(now)

    def _resume_appending(self, file: OpenFile, now: Attrs, calls: Sequence[Call]) -> None:
        """Appending twice is not the same as once: the size says how much of it was done, and that is not done again."""
        opened = any(call.request.kind is Kind.OPEN for call in calls)
        count = None if opened or file.failed else repeat.appended(file.low, [_step(call) for call in calls], now.size or 0)
        if count is None:
            answers.break_file(self._session, file, "how much of what was appended is there can't be known")
            return
        there = set(calls[:count])
        self._session.withdraw(there)
        self.held = [call for call in self.held if call not in there]
        for call in calls[:count]:
            answers.done(self._session, call)
            self._session.reply_status(call, Status.OK)

    def _one_less(self) -> None:
        self._missing -= 1
        if not self._missing and not self._cancelled:
            self._done(self._connection)


def _appends(call: Call) -> bool:
    return call.request.kind is Kind.WRITE and call.file is not None and call.file.appends


def _step(call: Call) -> repeat.Step:
    request = call.request
    if _appends(call):
        return repeat.Step(more=request.length)
    if request.kind is Kind.WRITE:
        return repeat.Step(least=request.offset + request.length)
    return repeat.Step(exactly=wire.Cursor(request.attrs, 0).attrs().size)
