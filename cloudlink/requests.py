"""What a client of SFTP version 3 says: sshfs's requests taken apart and told to the server, and requests of our own. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from cloudlink.wire import (
    FSYNC,
    HARDLINK,
    HEAD,
    HEAD_BYTES,
    POSIX_RENAME,
    STATVFS,
    U32,
    VERSION,
    Buffer,
    Cursor,
    Kind,
    WireError,
    kind_and_id,
    packet,
    string,
)

_BY_PATH = {
    Kind.OPEN, Kind.LSTAT, Kind.SETSTAT, Kind.OPENDIR, Kind.REMOVE, Kind.MKDIR, Kind.RMDIR, Kind.REALPATH, Kind.STAT, Kind.READLINK,
}  # fmt: skip
_BY_HANDLE = {Kind.CLOSE, Kind.READ, Kind.WRITE, Kind.FSTAT, Kind.FSETSTAT, Kind.READDIR}
_BY_PAIR = {Kind.RENAME, Kind.SYMLINK}


@dataclass(slots=True)
class Request:
    """One request of sshfs.

    `path` is its first path, `target` the second of rename, symlink and hardlink. `handle` is our own number of an open file;
    `handle_at` says where it stands in `frame`, so that the server's can be put there. `extension` is empty but for EXTENDED.
    """

    kind: Kind
    id: int
    frame: bytearray
    path: bytes = b""
    target: bytes = b""
    handle: int = -1
    handle_at: int = 0
    offset: int = 0
    length: int = 0
    flags: int = 0
    extension: bytes = b""
    attrs: bytes = b""


def parse_request(frame: bytearray) -> Request:
    """A request of sshfs, its handle being one of ours (4 bytes). Raises WireError."""
    number, request_id = kind_and_id(frame)
    try:
        kind = Kind(number)
    except ValueError as error:
        raise WireError(f"a packet of unknown kind {number}") from error
    at = Cursor(frame, HEAD_BYTES)
    request = Request(kind, request_id, frame)
    if kind in _BY_HANDLE:
        _by_handle(at, request)
    elif kind in _BY_PATH:
        _by_path(at, request)
    elif kind in _BY_PAIR:
        request.path, request.target = at.path(), at.path()
    elif kind is Kind.EXTENDED:
        _extended(at, request)
    else:
        raise WireError(f"{kind.name} is no request")
    at.end()
    return request


def _by_handle(at: Cursor, request: Request) -> None:
    _own_handle(at, request)
    if request.kind in {Kind.READ, Kind.WRITE}:
        request.offset, request.length = at.u64(), at.u32()
    if request.kind is Kind.WRITE:
        at.take(request.length)
    elif request.kind is Kind.FSETSTAT:
        request.attrs = _raw_attrs(at)


def _by_path(at: Cursor, request: Request) -> None:
    request.path = at.path()
    if request.kind is Kind.OPEN:
        request.flags = at.u32()
    if request.kind in {Kind.OPEN, Kind.SETSTAT, Kind.MKDIR}:
        request.attrs = _raw_attrs(at)


def _extended(at: Cursor, request: Request) -> None:
    request.extension = at.string()
    if request.extension in {POSIX_RENAME, HARDLINK}:
        request.path, request.target = at.path(), at.path()
    elif request.extension == STATVFS:
        request.path = at.path()
    elif request.extension == FSYNC:
        _own_handle(at, request)
    else:
        at.rest()


def _raw_attrs(at: Cursor) -> bytes:
    begin = at.at
    at.attrs()
    return bytes(at.frame[begin : at.at])


def _own_handle(at: Cursor, request: Request) -> None:
    request.handle_at = at.at
    if at.u32() != 4:
        raise WireError("a handle that was never given")
    request.handle = at.u32()


def encode(request: Request, number: int, handle: bytes = b"") -> list[Buffer]:
    """`request` for the server, under our number and, where it is about an open file, with the server's handle."""
    frame = request.frame
    if not request.handle_at:
        return [HEAD.pack(len(frame) - 4, request.kind, number), memoryview(frame)[HEAD_BYTES:]]
    length = len(frame) - 8 + len(handle)
    head = HEAD.pack(length, request.kind, number) + frame[HEAD_BYTES : request.handle_at] + U32.pack(len(handle)) + handle
    return [head, memoryview(frame)[request.handle_at + 8 :]]


def read_packet(number: int, handle: bytes, offset: int, length: int) -> bytes:
    """A READ."""
    return packet(Kind.READ, number, string(handle), offset.to_bytes(8), length.to_bytes(4))


def open_packet(number: int, path: bytes, flags: int) -> bytes:
    """An OPEN that sets no attributes."""
    return packet(Kind.OPEN, number, string(path), flags.to_bytes(4), bytes(4))


def init_packet() -> bytes:
    """How a client begins."""
    return b"\0\0\0\5\1" + VERSION.to_bytes(4)


def parse_init(frame: Buffer) -> int:
    """The version that a client asks for. Raises WireError."""
    if len(frame) < HEAD_BYTES or frame[4] != Kind.INIT:
        raise WireError("the first packet is no INIT")
    return int.from_bytes(frame[5:9])
