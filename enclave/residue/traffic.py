"""How many bytes went over the mount, by the kernel's own count of each TCP connection that ssh has to the gateway.

A process may look at the sockets of those below it (pidfd_getfd); the copy is closed at once, so that no connection lives longer
for being counted. What a connection carried between the last look and its death is not counted.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
from pathlib import Path

from enclave.children import inner_ids
from enclave.messages import Traffic

SECONDS = 5.0
"""Between two looks while the session goes on."""
_PIDFD_GETFD = 438
"""<asm/unistd.h>: the same number on every architecture. Linux 5.6."""
_BYTES = struct.Struct("=QQ")
_BYTES_OFFSET = 120
"""<linux/tcp.h>: tcpi_bytes_acked and tcpi_bytes_received in struct tcp_info."""

_libc = ctypes.CDLL(None, use_errno=True)


class Meter:
    """Counts what the processes below this one exchange with `port` of any other host.

    Below this one, not below sshfs: it starts ssh by way of a process that ends at once, and ssh falls to the first process.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._seen: dict[tuple[object, ...], tuple[int, int]] = {}

    def look(self) -> None:
        """Reads the counters of every connection that there is now."""
        for each in descendants(os.getpid()):
            for number in _sockets(each):
                with contextlib.suppress(OSError), _borrow(each, number) as line:
                    if line.type is not socket.SOCK_STREAM or line.family not in {socket.AF_INET, socket.AF_INET6}:
                        continue
                    ends = (*line.getsockname()[:2], *line.getpeername()[:2])
                    if ends[3] == self._port:
                        self._seen[ends] = parse_tcp_info(line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256))

    def total(self) -> Traffic | None:
        """All that was counted; None when there never was a connection that could be looked at."""
        if not self._seen:
            return None
        sent, received = (sum(counts) for counts in zip(*self._seen.values(), strict=True))
        return Traffic(received=received, sent=sent, connections=len(self._seen))


def parse_tcp_info(raw: bytes) -> tuple[int, int]:
    """Bytes (sent and acknowledged, received) out of struct tcp_info. Raises OSError when the kernel is too old to say."""
    if len(raw) < _BYTES_OFFSET + _BYTES.size:
        raise OSError("no byte counts in tcp_info")
    sent, received = _BYTES.unpack_from(raw, _BYTES_OFFSET)
    # The kernel counts the connection's own first step as one byte.
    return max(0, sent - 1), received


def descendants(pid: int) -> list[int]:
    """Every process below `pid` in its pid namespace: a cell could open connections to the same port, and processes without end."""
    found, waiting = [], [pid]
    while waiting:
        folder = Path(f"/proc/{waiting.pop()}/task")
        with contextlib.suppress(OSError, ValueError):
            for task in folder.iterdir():
                words = (task / "children").read_text(encoding="ascii").split()
                children = [child for child in map(int, words) if not inner_ids(child)]
                found += children
                waiting += children
    return found


def _sockets(pid: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if str(entry.readlink()).startswith("socket:"):
                    found.append(int(entry.name))
    return found


def _borrow(pid: int, number: int) -> socket.socket:
    """A copy of descriptor `number` of the process `pid`. Raises OSError."""
    handle = os.pidfd_open(pid)
    try:
        copy = _libc.syscall(_PIDFD_GETFD, handle, number, 0)
    finally:
        os.close(handle)
    if copy < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return socket.socket(fileno=copy)
