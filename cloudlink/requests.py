"""What a client of SFTP version 3 says: sshfs's requests taken apart and told to the server, and requests of our own. Pure."""

from __future__ import annotations

import struct
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
_BY_HANDLE = {Kind.CLOSE, Kind.FSTAT, Kind.FSETSTAT, Kind.READDIR}
_BY_PAIR = {Kind.RENAME, Kind.SYMLINK}
_KINDS = {int(kind): kind for kind in Kind}
_NUMBER_AT = 5
_TRANSFER = struct.Struct(">IBIIIQI")
"""A READ, or a WRITE up to its data: length, kind, number, length of the handle, handle, offset, length of the data."""


@dataclass(slots=True)
class Request:
    """One request of sshfs.

    `path` is its first path, `target` the second of rename, symlink and hardlink. `handle` is our own number of an open file;
    `handle_at` says where it stands in `frame`, so that the server's can be put there. `extension` is empty but for EXTENDED.
    """

    kind: Kind
    id: int
    frame: bytearray
    handle: int = -1
    handle_at: int = 0
    offset: int = 0
    length: int = 0
    path: bytes = b""
    target: bytes = b""
    flags: int = 0
    extension: bytes = b""
    attrs: bytes = b""


def parse_request(frame: bytearray) -> Request:
    """A request of sshfs, its handle being one of ours (4 bytes). Raises WireError."""
    number, request_id = kind_and_id(frame)
    kind = _KINDS.get(number)
    if kind is None:
        raise WireError(f"a packet of unknown kind {number}")
    if kind is Kind.WRITE or kind is Kind.READ:
        return _transfer(frame, kind)
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


def _transfer(frame: bytearray, kind: Kind) -> Request:
    """A READ or a WRITE: of these there are many, so they are taken apart at one blow."""
    if len(frame) < _TRANSFER.size:
        raise WireError("a packet ends before its fields do")
    _, _, number, handle_bytes, handle, offset, length = _TRANSFER.unpack_from(frame)
    if handle_bytes != 4:
        raise WireError("a handle that was never given")
    if len(frame) != _TRANSFER.size + (length if kind is Kind.WRITE else 0):
        raise WireError("data of another length than it says")
    return Request(kind, number, frame, handle, HEAD_BYTES, offset, length)


def _by_handle(at: Cursor, request: Request) -> None:
    _own_handle(at, request)
    if request.kind is Kind.FSETSTAT:
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
    """`request` for the server, under our number and, where it is about an open file, with the server's handle.

    What fits is changed in its frame, which then must not wait to be sent elsewhere: OpenSSH's handles are as long as ours.
    """
    frame, begin, end = request.frame, request.handle_at + 4, request.handle_at + 8
    if not request.handle_at or len(handle) == 4:
        U32.pack_into(frame, _NUMBER_AT, number)
        if request.handle_at:
            frame[begin:end] = handle
        return [frame]
    length = len(frame) - 8 + len(handle)
    head = HEAD.pack(length, request.kind, number) + frame[HEAD_BYTES : request.handle_at] + U32.pack(len(handle)) + handle
    return [head, memoryview(frame)[end:]]


def written(request: Request) -> memoryview:
    """The data of a WRITE."""
    return memoryview(request.frame)[_TRANSFER.size :]


def write_head(number: int, handle: bytes, offset: int, length: int) -> bytes:
    """A WRITE up to its `length` bytes of data."""
    head = packet(Kind.WRITE, number, string(handle), offset.to_bytes(8), length.to_bytes(4))
    return U32.pack(len(head) - 4 + length) + head[4:]


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
