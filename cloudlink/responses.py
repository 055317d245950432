"""What a server of SFTP version 3 says: the cloud's answers taken apart, and answers of our own. Pure."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from cloudlink.wire import EXTENSIONS, HEAD_BYTES, U32, VERSION, Attrs, Buffer, Cursor, Kind, Status, WireError, packet, string

_DATA = struct.Struct(">IBII")
DATA_HEAD_BYTES = _DATA.size


@dataclass(frozen=True, slots=True)
class Entry:
    """One name of a listing; `raw` is it as it came."""

    name: bytes
    attrs: Attrs
    raw: bytes
    names: int | None = None
    """How many names the file has (hard links), where the line for people that OpenSSH sends along says it."""

    @property
    def told(self) -> bytes:
        """The attributes as they came."""
        line = 4 + len(self.name)
        return self.raw[line + 4 + U32.unpack_from(self.raw, line)[0] :]


def status_packet(number: int, status: Status, text: str = "") -> bytes:
    """A STATUS."""
    return packet(Kind.STATUS, number, status.to_bytes(4), string(text.encode()), string(b""))


def handle_packet(number: int, handle: int) -> bytes:
    """A HANDLE of ours."""
    return packet(Kind.HANDLE, number, string(handle.to_bytes(4)))


def data_head(number: int, length: int) -> bytes:
    """What stands before the `length` bytes of a DATA."""
    return _DATA.pack(9 + length, Kind.DATA, number, length)


def names_packet(number: int, entries: Sequence[Entry]) -> bytes:
    """A NAME of these entries."""
    return packet(Kind.NAME, number, U32.pack(len(entries)), *(entry.raw for entry in entries))


def version_packet(extensions: Sequence[bytes]) -> bytes:
    """How a server answers INIT: version 3 and those of EXTENSIONS that are named."""
    body = VERSION.to_bytes(4) + b"".join(string(name) + string(EXTENSIONS[name]) for name in extensions)
    return U32.pack(len(body) + 1) + bytes([Kind.VERSION]) + body


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
    if len(frame) < HEAD_BYTES + 4:
        raise WireError("a packet ends before its fields do")
    code: int = U32.unpack_from(frame, HEAD_BYTES)[0]
    return code


def parse_handle(frame: Buffer) -> bytes:
    """The server's handle out of a HANDLE. Raises WireError; 256 bytes are the most that the protocol allows."""
    at = Cursor(frame, HEAD_BYTES)
    handle = at.string()
    at.end()
    if not 0 < len(handle) <= 256:
        raise WireError(f"a handle of {len(handle)} bytes")
    return handle


def parse_attrs(frame: Buffer) -> Attrs:
    """The attributes out of an ATTRS. Raises WireError."""
    return Cursor(frame, HEAD_BYTES).attrs()


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
    at = Cursor(frame, HEAD_BYTES)
    count = at.u32()
    if count * 12 > len(frame):
        raise WireError("more names than fit")
    found = []
    for _ in range(count):
        begin = at.at
        name, line = at.string(), at.string()
        attrs = at.attrs()
        words = line.split(None, 2)
        # A number as long as a packet is none that int() takes.
        names = int(words[1]) if len(words) > 2 and words[1].isdigit() and len(words[1]) < 10 else None
        found.append(Entry(name, attrs, bytes(at.frame[begin : at.at]), names))
    at.end()
    return found
