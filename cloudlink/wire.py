"""SFTP version 3 as it lies on the wire (draft-ietf-secsh-filexfer-02, extensions by OpenSSH's PROTOCOL file): pure functions.

A frame is one packet with its length field: `length:u32 kind:u8 id:u32 body`. Whatever is not exactly that raises WireError, and
the session with whoever sent it ends.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence
from dataclasses import dataclass

LIMIT = 262_144
"""Bytes of the largest packet without its length field: SFTP_MAX_MSG_LENGTH of OpenSSH and sshfs."""
VERSION = 3

_HEAD = struct.Struct(">IBI")
_U32 = struct.Struct(">I")
_READ = struct.Struct(">IBIIIQI")
_WRITE = struct.Struct(">IBIIIQI")
_DATA = struct.Struct(">IBII")
HEAD_BYTES = _HEAD.size
READ_BYTES = _READ.size
DATA_HEAD_BYTES = _DATA.size

Buffer = bytes | bytearray | memoryview


class WireError(Exception):
    """A packet that is none."""


class Kind(enum.IntEnum):
    """Packet kinds of version 3."""

    INIT = 1
    VERSION = 2
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    LSTAT = 7
    FSTAT = 8
    SETSTAT = 9
    FSETSTAT = 10
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    RMDIR = 15
    REALPATH = 16
    STAT = 17
    RENAME = 18
    READLINK = 19
    SYMLINK = 20
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED = 200
    EXTENDED_REPLY = 201


class Status(enum.IntEnum):
    """What a STATUS says. UNSAID is none of version 3, which sshfs hands to programs as EIO."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    FAILURE = 4
    BAD_MESSAGE = 5
    OP_UNSUPPORTED = 8
    UNSAID = 31


class Open(enum.IntFlag):
    """Flags of OPEN."""

    READ = 1
    WRITE = 2
    APPEND = 4
    CREAT = 8
    TRUNC = 16
    EXCL = 32


EXTENSIONS = {
    b"posix-rename@openssh.com": b"1",
    b"statvfs@openssh.com": b"2",
    b"hardlink@openssh.com": b"1",
    b"fsync@openssh.com": b"1",
}
"""Those that sshfs uses, with their version. Any other is refused: what its repetition after a cut would do is not known."""
POSIX_RENAME, STATVFS, HARDLINK, FSYNC = EXTENSIONS

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


@dataclass(frozen=True, slots=True)
class Attrs:
    """What is known of a file; None where the server did not say. Times are whole seconds since the epoch."""

    size: int | None = None
    mode: int | None = None
    mtime: int | None = None
    uid: int | None = None

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return self.mode is not None and self.mode & 0o170000 == 0o100000

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.mode is not None and self.mode & 0o170000 == 0o040000


@dataclass(frozen=True, slots=True)
class Entry:
    """One name of a listing; `raw` is it as it came."""

    name: bytes
    attrs: Attrs
    raw: bytes
    names: int | None = None
    """How many names the file has (hard links), where the line for people that OpenSSH sends along says it."""


class Cursor:
    """Reads fields off a frame; WireError at the first that does not fit."""

    def __init__(self, frame: Buffer, at: int) -> None:
        self.frame, self.at = memoryview(frame), at

    def u32(self) -> int:
        """A number of 32 bits."""
        return int.from_bytes(self.take(4))

    def u64(self) -> int:
        """A number of 64 bits."""
        return int.from_bytes(self.take(8))

    def take(self, size: int) -> memoryview:
        """The next `size` bytes."""
        end = self.at + size
        if end > len(self.frame):
            raise WireError("a packet ends before its fields do")
        piece = self.frame[self.at : end]
        self.at = end
        return piece

    def string(self) -> bytes:
        """A string with its length before it."""
        return bytes(self.take(self.u32()))

    def path(self) -> bytes:
        """A string that names a file."""
        name = self.string()
        if b"\0" in name:
            raise WireError("a path holds a zero byte")
        return name

    def rest(self) -> bytes:
        """All that is left."""
        piece = bytes(self.frame[self.at :])
        self.at = len(self.frame)
        return piece

    def end(self) -> None:
        """WireError if anything is left."""
        if self.at != len(self.frame):
            raise WireError("a packet goes on after its last field")

    def attrs(self) -> Attrs:
        """The ATTRS structure."""
        flags = self.u32()
        if flags & ~0x8000000F:
            raise WireError(f"attributes with unknown flags {flags:#x}")
        size = self.u64() if flags & 1 else None
        uid = self.u32() if flags & 2 else None
        if flags & 2:
            self.u32()
        mode = self.u32() if flags & 4 else None
        mtime = None
        if flags & 8:
            self.u32()
            mtime = self.u32()
        if flags & 0x80000000:
            for _ in range(self.u32()):
                self.string()
                self.string()
        return Attrs(size, mode, mtime, uid)


def kind_and_id(frame: Buffer) -> tuple[int, int]:
    """Kind and number of a frame. Raises WireError when it is too short to have them."""
    if len(frame) < _HEAD.size:
        raise WireError("a packet without a number")
    _, kind, number = _HEAD.unpack_from(frame)
    return kind, number


def parse_request(frame: bytearray) -> Request:
    """A request of sshfs, its handle being one of ours (4 bytes). Raises WireError."""
    number, request_id = kind_and_id(frame)
    try:
        kind = Kind(number)
    except ValueError as error:
        raise WireError(f"a packet of unknown kind {number}") from error
    at = Cursor(frame, _HEAD.size)
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


def with_id(frame: bytearray, number: int) -> bytearray:
    """The same frame, changed in place, under another number."""
    _U32.pack_into(frame, 5, number)
    return frame


def encode(request: Request, number: int, handle: bytes = b"") -> list[Buffer]:
    """`request` for the server, under our number and, where it is about an open file, with the server's handle."""
    frame = request.frame
    if not request.handle_at:
        return [_HEAD.pack(len(frame) - 4, request.kind, number), memoryview(frame)[_HEAD.size :]]
    length = len(frame) - 8 + len(handle)
    head = _HEAD.pack(length, request.kind, number) + frame[_HEAD.size : request.handle_at] + _U32.pack(len(handle)) + handle
    return [head, memoryview(frame)[request.handle_at + 8 :]]


def string(value: bytes) -> bytes:
    """A string with its length before it."""
    return _U32.pack(len(value)) + value


def packet(kind: Kind, number: int, *body: bytes) -> bytes:
    """A frame of these parts."""
    length = sum(map(len, body)) + 5
    return _HEAD.pack(length, kind, number) + b"".join(body)


def read_packet(number: int, handle: bytes, offset: int, length: int) -> bytes:
    """A READ."""
    return packet(Kind.READ, number, string(handle), offset.to_bytes(8), length.to_bytes(4))


def open_packet(number: int, path: bytes, flags: int) -> bytes:
    """An OPEN that sets no attributes."""
    return packet(Kind.OPEN, number, string(path), flags.to_bytes(4), bytes(4))


def status_packet(number: int, status: Status, text: str = "") -> bytes:
    """A STATUS."""
    return packet(Kind.STATUS, number, status.to_bytes(4), string(text.encode()), string(b""))


def handle_packet(number: int, handle: int) -> bytes:
    """A HANDLE of ours."""
    return packet(Kind.HANDLE, number, string(handle.to_bytes(4)))


def data_head(number: int, length: int) -> bytes:
    """What stands before the `length` bytes of a DATA."""
    return _DATA.pack(9 + length, Kind.DATA, number, length)


def init_packet() -> bytes:
    """How a client begins."""
    return b"\0\0\0\5\1" + VERSION.to_bytes(4)


def version_packet(extensions: Sequence[bytes]) -> bytes:
    """How a server answers INIT: version 3 and those of EXTENSIONS that are named."""
    body = VERSION.to_bytes(4) + b"".join(string(name) + string(EXTENSIONS[name]) for name in extensions)
    return _U32.pack(len(body) + 1) + bytes([Kind.VERSION]) + body


def parse_init(frame: Buffer) -> int:
    """The version that a client asks for. Raises WireError."""
    if len(frame) < HEAD_BYTES or frame[4] != Kind.INIT:
        raise WireError("the first packet is no INIT")
    return int.from_bytes(frame[5:9])


def parse_version(frame: Buffer) -> dict[bytes, bytes]:
    """The extensions of a server, name to data. Raises WireError, also for any version but 3."""
    if len(frame) < HEAD_BYTES or frame[4] != Kind.VERSION:
        raise WireError("the server's first packet is no VERSION")
    at = Cursor(frame, 5)
    if (version := at.u32()) != VERSION:
        raise WireError(f"the server speaks SFTP version {version}")
    found = {}
    while at.at < len(at.frame):
        name = at.string()
        found[name] = at.string()
    return found


def parse_status(frame: Buffer) -> int:
    """The code of a STATUS. Raises WireError."""
    return Cursor(frame, _HEAD.size).u32()


def parse_handle(frame: Buffer) -> bytes:
    """The server's handle out of a HANDLE. Raises WireError; 256 bytes are the most that the protocol allows."""
    at = Cursor(frame, _HEAD.size)
    handle = at.string()
    at.end()
    if not 0 < len(handle) <= 256:
        raise WireError(f"a handle of {len(handle)} bytes")
    return handle


def parse_attrs(frame: Buffer) -> Attrs:
    """The attributes out of an ATTRS. Raises WireError."""
    return Cursor(frame, _HEAD.size).attrs()


def parse_data(frame: Buffer) -> memoryview:
    """The bytes of a DATA, not copied. Raises WireError."""
    if len(frame) < DATA_HEAD_BYTES:
        raise WireError("a packet ends before its fields do")
    length = _DATA.unpack_from(frame)[3]
    if length != len(frame) - DATA_HEAD_BYTES:
        raise WireError("data of another length than it says")
    return memoryview(frame)[DATA_HEAD_BYTES:]


def parse_names(frame: Buffer) -> list[Entry]:
    """The entries of a NAME. Raises WireError."""
    at = Cursor(frame, _HEAD.size)
    count = at.u32()
    if count * 12 > len(frame):
        raise WireError("more names than fit")
    found = []
    for _ in range(count):
        begin = at.at
        name, line = at.string(), at.string()
        attrs = at.attrs()
        words = line.split(None, 2)
        names = int(words[1]) if len(words) > 2 and words[1].isdigit() else None
        found.append(Entry(name, attrs, bytes(at.frame[begin : at.at]), names))
    at.end()
    return found


def names_packet(number: int, entries: Sequence[Entry]) -> bytes:
    """A NAME of these entries."""
    return packet(Kind.NAME, number, _U32.pack(len(entries)), *(entry.raw for entry in entries))
