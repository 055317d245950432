"""An SFTP server for the link to start in place of ssh: a real one behind a line that breaks when it is told to.

`lossy.py ORDERS SERVER…`: each order is a file in the folder ORDERS named `KIND-when`, removed when it is obeyed.
`when` is `before`: the first request of that kind and all after it are lost; `after`: it is done, and its answer is lost.
`refuse`, which stays, is a line that is down, `deny` a server that lets nobody in.
`delay` holds the seconds by which each answer comes later. `asked` gets one byte for each request: its kind.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path


def exactly(source: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = os.read(source, size - len(data))
        if not piece:
            os._exit(255)
        data += piece
    return data


def frame(source: int) -> bytes:
    head = exactly(source, 4)
    return head + exactly(source, int.from_bytes(head))


def write(sink: int, data: bytes) -> None:
    while data:
        data = data[os.write(sink, data) :]


def obeyed(order: Path) -> bool:
    try:
        order.unlink()
    except FileNotFoundError:
        return False
    return True


class Line:
    """Both ways between the link and a real server."""

    def __init__(self, orders: Path, server: subprocess.Popen[bytes]) -> None:
        self.orders, self.server = orders, server
        self.asked = os.open(orders / "asked", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.dropping: set[bytes] = set()
        self.under_way: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()

    def take(self) -> None:
        """The server's answers."""
        delay = float((self.orders / "delay").read_text()) if (self.orders / "delay").exists() else 0.0
        while True:
            answer = frame(self.server.stdout.fileno())
            if answer[5:9] in self.dropping:
                os._exit(255)
            self.under_way.put((time.monotonic() + delay, answer))

    def give(self) -> None:
        """The same, later."""
        while True:
            due, answer = self.under_way.get()
            time.sleep(max(0.0, due - time.monotonic()))
            write(1, answer)

    def ask(self) -> None:
        """The link's requests."""
        while True:
            request = frame(0)
            os.write(self.asked, request[4:5])
            if obeyed(self.orders / f"{request[4]}-before"):
                os._exit(255)
            if obeyed(self.orders / f"{request[4]}-after"):
                self.dropping.add(request[5:9])
            write(self.server.stdin.fileno(), request)


def main() -> None:
    orders = Path(sys.argv[1])
    if (orders / "refuse").exists():
        sys.stderr.write("ssh: connect to host cloud port 22: Connection refused\n")
        sys.exit(255)
    if (orders / "deny").exists():
        sys.stderr.write("me@cloud: Permission denied (publickey).\n")
        sys.exit(255)
    (orders / "connections").open("a").write("x")
    line = Line(orders, subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    for work in (line.take, line.give):
        threading.Thread(target=work, daemon=True).start()
    line.ask()


if __name__ == "__main__":
    main()
