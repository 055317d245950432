"""SFTP version 3 as it lies on the wire (draft-ietf-secsh-filexfer-02, OpenSSH's PROTOCOL file): its words and fields, pure.

A frame is one packet with its length field: `length:u32 kind:u8 id:u32 body`. Whatever is not exactly that raises WireError, and
the session with whoever sent it ends. What clients say is in `requests`, what servers say in `responses`.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

LIMIT = 262_144
"""Bytes of the largest packet without its length field: SFTP_MAX_MSG_LENGTH of OpenSSH and sshfs."""
VERSION = 3

HEAD = struct.Struct(">IBI")
"""What a packet begins with: length, kind, number."""
HEAD_BYTES = HEAD.size
U32 = struct.Struct(">I")

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
    if len(frame) < HEAD.size:
        raise WireError("a packet without a number")
    _, kind, number = HEAD.unpack_from(frame)
    return kind, number


def with_id(frame: bytearray, number: int) -> bytearray:
    """The same frame, changed in place, under another number."""
    U32.pack_into(frame, 5, number)
    return frame


def string(value: bytes) -> bytes:
    """A string with its length before it."""
    return U32.pack(len(value)) + value


def packet(kind: Kind, number: int, *body: bytes) -> bytes:
    """A frame of these parts."""
    length = sum(map(len, body)) + 5
    return HEAD.pack(length, kind, number) + b"".join(body)
