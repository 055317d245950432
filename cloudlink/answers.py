"""What an answer of the server means for the files that are open, and what sshfs is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cloudlink import repeat, responses, wire
from cloudlink.connection import Question, failed_with, status_of
from cloudlink.repeat import Verdict
from cloudlink.requests import Request
from cloudlink.wire import POSIX_RENAME, STATVFS, Kind, Open, Status, WireError

if TYPE_CHECKING:
    from cloudlink.files import OpenFile
    from cloudlink.session import Call, Session

_ANSWER = {
    Kind.OPEN: Kind.HANDLE,
    Kind.OPENDIR: Kind.HANDLE,
    Kind.READ: Kind.DATA,
    Kind.READDIR: Kind.NAME,
    Kind.REALPATH: Kind.NAME,
    Kind.READLINK: Kind.NAME,
    Kind.LSTAT: Kind.ATTRS,
    Kind.STAT: Kind.ATTRS,
    Kind.FSTAT: Kind.ATTRS,
}
"""What answers a request besides STATUS; for all others a STATUS is the only answer."""


def take(session: Session, call: Call, kind: int, frame: bytearray) -> None:
    """The server's answer to `call`. Raises WireError when it is none."""
    request = call.request
    wanted = Kind.EXTENDED_REPLY if request.extension == STATVFS else _ANSWER.get(request.kind)
    if kind == Kind.STATUS:
        status = status_of(kind, frame)
        if status == Status.OK and wanted is not None:
            raise WireError(f"success without the {wanted.name} that was asked for")
        if call.tried and not _settled(session, call, status):
            return
        if status == Status.OK:
            done(session, call)
        elif request.kind is Kind.WRITE and call.file is not None:
            end = _end(request, call.file)
            for each in session.files.same(call.file):
                each.may_have_written(end)
        forward(session, call, frame)
        return
    if kind != wanted:
        raise WireError(f"an answer of kind {kind} to {request.kind.name}")
    _TAKERS.get(request.kind, forward)(session, call, frame)


def forward(session: Session, call: Call, frame: bytearray) -> None:
    """Hand the server's own answer to sshfs."""
    if call.request.kind is Kind.CLOSE and call.file is not None:
        session.closed(call.file)
    asker = _asker(call)
    session.reply(asker, wire.with_id(frame, asker.request.id))


def refuse(session: Session, call: Call) -> None:
    """An error that nobody can help: EIO. Closing what can't be used any more succeeds."""
    if call.request.kind is Kind.CLOSE and call.file is not None:
        session.closed(call.file)
        session.reply_status(call, Status.OK)
        return
    session.reply_status(_asker(call), Status.UNSAID, "input or output error")


def _asker(call: Call) -> Call:
    """Who gets the answer to `call`: of a folder's listing whoever asked first.

    sshfs asks several times at once and believes the first end that it comes to in its own order, but after a cut a question that
    brought only names that were given before is asked again, behind the others.
    """
    if call.request.kind is Kind.READDIR and call.file is not None and call.file.asked:
        return call.file.asked.popleft()
    return call


def break_file(session: Session, file: OpenFile, why: str) -> None:
    """Every further use of `file` is an error."""
    if not file.broken:
        file.broken = why
        named = f" ({session.options.shown(file.path)})"
        session.say(f"cloudlink: an open file can't be used any more, its programs get errors: {why}{named}")


def done(session: Session, call: Call) -> None:
    """A request that answers by STATUS succeeded: what that changes for the open files."""
    request, file, files = call.request, call.file, session.files
    match request.kind:
        case Kind.WRITE if file is not None:
            end = _end(request, file)
            for each in files.same(file):
                each.wrote(end)
        case Kind.FSETSTAT | Kind.SETSTAT:
            size = wire.Cursor(request.attrs, 0).attrs().size
            for each in files.same(file) if file is not None else files.at(request.path):
                each.resized(size)
        case Kind.REMOVE:
            files.gone(request.path)
        case Kind.RENAME:
            files.renamed(request.path, request.target)
        case Kind.EXTENDED if request.extension == POSIX_RENAME:
            files.renamed(request.path, request.target)


def _end(request: Request, file: OpenFile) -> int:
    """Where a WRITE ends, at least."""
    return (file.low if file.appends else request.offset) + request.length


def _read(session: Session, call: Call, frame: bytearray) -> None:
    if len(responses.parse_data(frame)) > call.request.length:
        raise WireError("more data than were asked for")
    forward(session, call, frame)


def _named(session: Session, call: Call, frame: bytearray) -> None:
    responses.parse_names(frame)
    forward(session, call, frame)


def _opened(session: Session, call: Call, frame: bytearray) -> None:
    request, connection, remote = call.request, session.connection, responses.parse_handle(frame)
    if connection is None:
        raise WireError("an answer from nowhere")
    folder = request.kind is Kind.OPENDIR
    file = session.files.add(request.path, Open(request.flags & 0x3F), remote, folder=folder)
    # A number that sshfs has not been told of yet is not its fault: it is told below, whatever happens to the connection meanwhile.
    if folder:
        session.reply(call, responses.handle_packet(request.id, file.number))
        return
    if request.flags & Open.TRUNC:
        for each in session.files.at(file.path):
            each.resized(0)

    def learn(kind: int | None, frame: bytearray) -> None:
        if kind is not None and failed_with(kind, frame, Kind.ATTRS) is None:
            file.learn(responses.parse_attrs(frame))
        if file.appends:
            session.reply(call, responses.handle_packet(request.id, file.number))

    number = connection.number(Question(learn))
    connection.send(wire.packet(Kind.FSTAT, number, wire.string(remote)))
    if not file.appends:
        session.reply(call, responses.handle_packet(request.id, file.number))


def _listed(session: Session, call: Call, frame: bytearray) -> None:
    file = call.file
    entries = responses.parse_names(frame)
    if file is None:
        raise WireError("a listing of nothing")
    session.small.listed(file.path, entries, call.sent, begin=not file.seen)
    fresh = file.fresh([entry.name for entry in entries])
    if all(fresh):
        forward(session, call, frame)
        return
    left = [entry for entry, new in zip(entries, fresh, strict=True) if new]
    if left:
        asker = _asker(call)
        session.reply(asker, responses.names_packet(asker.request.id, left))
    elif file.closing:
        # Nobody waits for it any more, and after CLOSE the server's handle may be another's.
        asker = _asker(call)
        session.reply_status(asker, Status.EOF, "end of file")
    else:
        # All of these it has had before the cut: the next ones then.
        session.dispatch(call)


def _learn(session: Session, call: Call, frame: bytearray) -> None:
    attrs, file = responses.parse_attrs(frame), call.file
    if attrs.is_file:
        for each in session.files.same(file) if file is not None else session.files.at(call.request.path):
            each.learn(attrs)
    forward(session, call, frame)


_TAKERS: dict[Kind, Callable[[Session, Call, bytearray], None]] = {
    Kind.OPEN: _opened,
    Kind.OPENDIR: _opened,
    Kind.READ: _read,
    Kind.READDIR: _listed,
    Kind.REALPATH: _named,
    Kind.READLINK: _named,
    Kind.LSTAT: _learn,
    Kind.STAT: _learn,
    Kind.FSTAT: _learn,
}


def _settled(session: Session, call: Call, status: int) -> bool:
    """Whether the answer to a repeated request can be handed on; if not, sshfs was told something else, or will be."""
    match repeat.after_repeat(call.request, status):
        case Verdict.AS_ANSWERED:
            return True
        case Verdict.DONE:
            done(session, call)
            session.reply_status(call, Status.OK)
        case Verdict.UNKNOWN:
            _ambiguous(session, call)
        case Verdict.LOOK:
            _look(session, call, status)
    return False


def _ambiguous(session: Session, call: Call) -> None:
    name = call.request.extension.decode(errors="replace") or call.request.kind.name
    path = session.options.shown(call.request.target or call.request.path)
    session.say(f"cloudlink: whether {name} was done before the cut can't be known ({path}); its program gets an error")
    session.reply_status(call, Status.UNSAID, "not known whether it was done")


def _look(session: Session, call: Call, status: int) -> None:
    request, connection = call.request, session.connection
    if connection is None:
        session.hold(call)
        return
    kind, path = repeat.look_at(request)

    def seen(answer: int | None, frame: bytearray) -> None:
        if answer is None:
            session.hold(call)
            return
        found = _found(request, answer, frame)
        match repeat.after_look(request, found):
            case Verdict.DONE:
                done(session, call)
                session.reply_status(call, Status.OK)
            case Verdict.UNKNOWN:
                _ambiguous(session, call)
            case _:
                session.reply_status(call, Status(status))

    number = connection.number(Question(seen))
    connection.send(wire.packet(kind, number, wire.string(path)))


def _found(request: Request, answer: int, frame: bytearray) -> bytes | None:
    if request.kind is Kind.SYMLINK:
        if failed_with(answer, frame, Kind.NAME) is not None:
            return None
        names = responses.parse_names(frame)
        return names[0].name if names else None
    return None if failed_with(answer, frame, Kind.ATTRS) is not None else b"there"
