"""What the kernel knows of TCP connections: bytes out and in, and when the last one went; and the way to break one at once.

NETLINK_SOCK_DIAG, which `ss` uses too. Where a kernel does not have it, nothing is known and nothing is broken.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections.abc import Iterator
from typing import NamedTuple

_SOCK_DIAG, _BY_FAMILY, _DESTROY = 4, 20, 21
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_DONE, _ERROR = 3, 2
_INFO = 2
_HEADER = struct.Struct("=IHHII")
_ASK = struct.Struct("=BBBBI48s")
_TIMES = struct.Struct("=II")
_BYTES = struct.Struct("=QQ")
_LAST_SENT, _BYTES_ACKED = 44, 120
"""Offsets in the kernel's struct tcp_info (linux/tcp.h)."""


class Traffic(NamedTuple):
    """What went over one connection, as the kernel counts it: SSH's own bytes included."""

    family: int
    identity: bytes
    """The kernel's inet_diag_sockid."""
    bytes_out: int
    """Bytes that the other side has acknowledged."""
    bytes_in: int
    last_byte: float
    """Seconds since the epoch: when data last went out or came in."""


def traffic() -> dict[int, Traffic]:
    """Every established TCP connection of this host, by the number of its socket; empty where the kernel does not tell."""
    found: dict[int, Traffic] = {}
    with contextlib.suppress(OSError), _talk() as line:
        for family in (socket.AF_INET, socket.AF_INET6):
            line.send(_request(_BY_FAMILY, _REQUEST | _DUMP, family, b"\0" * 48))
            for body in _answers(line):
                each, inode = _read(body)
                if each is not None:
                    found[inode] = each
    return found


def destroy(each: Traffic) -> bool:
    """Break a connection at once: what waits in the kernel to be sent is thrown away. Whether the kernel did it."""
    try:
        with _talk() as line:
            line.send(_request(_DESTROY, _REQUEST | _ACK, each.family, each.identity))
            answer = line.recv(65_536)
            return int(struct.unpack_from("=i", answer, _HEADER.size)[0]) == 0
    except (OSError, struct.error):
        return False


def of_process(pid: int) -> Iterator[int]:
    """The numbers of the sockets that the process `pid` holds."""
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208  (names are all that is needed)
            with contextlib.suppress(OSError, ValueError):
                target = os.readlink(f"/proc/{pid}/fd/{name}")  # noqa: PTH115  (no path: a socket's number)
                if target.startswith("socket:["):
                    yield int(target[8:-1])


@contextlib.contextmanager
def _talk() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as line:
        line.settimeout(5)
        yield line


def _request(kind: int, flags: int, family: int, identity: bytes) -> bytes:
    body = _ASK.pack(family, socket.IPPROTO_TCP, 1 << (_INFO - 1), 0, 1 << 1, identity)
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body


def _answers(line: socket.socket) -> Iterator[bytes]:
    """The bodies of a dump's messages."""
    while True:
        data = line.recv(262_144)
        while len(data) >= _HEADER.size:
            length, kind, _flags, _sequence, _port = _HEADER.unpack_from(data)
            if kind in (_DONE, _ERROR) or length < _HEADER.size:
                return
            yield data[_HEADER.size : length]
            data = data[(length + 3) & ~3 :]


def _read(body: bytes) -> tuple[Traffic | None, int]:
    """One connection of a dump, and its socket's number; None without the counters."""
    family, identity = body[0], body[4:52]
    inode = struct.unpack_from("=I", body, 68)[0]
    rest = body[72:]
    while len(rest) >= 4:
        length, kind = struct.unpack_from("=HH", rest)
        if length < 4:
            break
        if kind == _INFO and length - 4 >= _BYTES_ACKED + _BYTES.size:
            info = rest[4:length]
            sent, _ = _TIMES.unpack_from(info, _LAST_SENT)
            received = struct.unpack_from("=I", info, _LAST_SENT + 8)[0]
            out, into = _BYTES.unpack_from(info, _BYTES_ACKED)
            return Traffic(family, identity, out, into, time.time() - min(sent, received) / 1000), inode
        rest = rest[(length + 3) & ~3 :]
    return None, inode
