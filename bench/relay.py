"""A program between sshfs and ssh, given to sshfs as its `ssh_command`: what passing the stream through Python costs.

`relay.py bytes|packets SSH ARGUMENTS…`: as bytes come, or SFTP packet by SFTP packet, as whatever wants to know what is being
asked for has to.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable

_PIECE = 262_144
_HEAD = struct.Struct(">IBI")
"""An SFTP packet's length, kind and number (draft-ietf-secsh-filexfer-02, section 3)."""


def pass_bytes(source: socket.socket, sink: socket.socket) -> None:
    """Passes on whatever comes."""
    while data := source.recv(_PIECE):
        sink.sendall(data)


def pass_packets(source: socket.socket, sink: socket.socket) -> None:
    """Passes on whole packets, and looks at the head of each."""
    pending = bytearray()
    while data := source.recv(_PIECE):
        pending += data
        end = 0
        while end + _HEAD.size <= len(pending):
            length, _, _ = _HEAD.unpack_from(pending, end)
            if end + 4 + length > len(pending):
                break
            end += 4 + length
        if end:
            with memoryview(pending) as view:
                sink.sendall(view[:end])
            del pending[:end]


def main() -> int:
    """Relays until either side has gone."""
    how: Callable[[socket.socket, socket.socket], None] = {"bytes": pass_bytes, "packets": pass_packets}[sys.argv[1]]
    # sshfs gives one socket as standard input and output.
    outer = socket.socket(fileno=0)
    inner, theirs = socket.socketpair()
    with subprocess.Popen(sys.argv[2:], stdin=theirs.fileno(), stdout=theirs.fileno()) as ssh:
        theirs.close()
        threading.Thread(target=how, args=(outer, inner), daemon=True).start()
        how(inner, outer)
        ssh.terminate()
    return 0


if __name__ == "__main__":
    sys.exit(main())
