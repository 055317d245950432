"""How much the line itself carries, without ssh: `carry.py serve PORT MEGABYTES` at one end, `… fetch HOST PORT FLOWS` beyond it.

The kernel does nearly all of it at both ends, so that what is measured is what lies between them. Standard library alone.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

_PIECE = 2**20


def _send(client: socket.socket, memory: int, size: int) -> None:
    with client:
        sent = 0
        while sent < size:
            sent += os.sendfile(client.fileno(), memory, sent % _PIECE, min(_PIECE - sent % _PIECE, size - sent))


def serve(port: int, megabytes: int) -> None:
    """Send each connection that many bytes, until killed."""
    memory = os.memfd_create("carry")
    os.write(memory, os.urandom(_PIECE))
    with socket.create_server(("", port)) as listening, ThreadPoolExecutor() as pool:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            client, _ = listening.accept()
            pool.submit(_send, client, memory, megabytes * 1_000_000)


def _take(host: str, port: int) -> int:
    with socket.create_connection((host, port)) as flow:
        memory, taken = bytearray(_PIECE), 0
        # MSG_TRUNC: the kernel throws the bytes away instead of copying them (tcp(7)).
        while size := flow.recv_into(memory, _PIECE, socket.MSG_TRUNC):
            taken += size
        return taken


def fetch(host: str, port: int, flows: int) -> float:
    """Bytes a second that came, over `flows` connections at a time."""
    begun = time.perf_counter()
    with ThreadPoolExecutor(flows) as pool:
        taken = sum(pool.map(lambda _: _take(host, port), range(flows)))
    return taken / (time.perf_counter() - begun)


def main() -> int:
    """Do what the arguments say."""
    match sys.argv[1:]:
        case ["serve", port, megabytes]:
            serve(int(port), int(megabytes))
        case ["fetch", host, port, flows]:
            sys.stdout.write(f"{fetch(host, int(port), int(flows))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
