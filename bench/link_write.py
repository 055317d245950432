"""`bin/bench link_write`: processor time of the link itself for a gigabyte written through it, without sshfs, ssh or a line.

A client that asks as sshfs does (pieces of 64 KiB, 8 MiB under way) on one side, a server that keeps nothing on the other
(`bench/sink.py`): what is left is the link's own work, which other work on the machine changes less than it changes MB/s.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec

from bench.report import Report, say
from cloudlink import requests, responses
from cloudlink.wire import FSYNC, Kind, Open, Status, packet, string

ROUNDS = 7
SIZE_MB = 512
_PIECE = 65_536
_WINDOW = 128
"""Pieces under way: sshfs waits when 8 MiB are."""
_SINK = Path(__file__).with_name("sink.py")


class Spent(msgspec.Struct, frozen=True):
    """What one writing took."""

    user: float
    """Processor seconds of the link, a gigabyte."""
    system: float
    wall: float
    memory: int
    """Bytes, the link's peak."""


class Client:
    """One link, and one file that is open in it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-S", "-P", "-m", "cloudlink", "--", sys.executable, "-I", "-S", str(_SINK)]
        environment = {**os.environ, "PYTHONPATH": str(_SINK.parents[1])}
        self.process = subprocess.Popen(command, stdin=theirs.fileno(), stdout=theirs.fileno(), env=environment)
        theirs.close()
        self._socket = ours
        self._answers = ours.makefile("rb")
        ours.sendall(requests.init_packet())
        self._answer()
        ours.sendall(packet(Kind.OPEN, 0, string(b"/file"), (Open.WRITE | Open.CREAT).to_bytes(4), bytes(4)))
        self._handle = string(responses.parse_handle(self._answer()))

    def close(self) -> None:
        """Go, as sshfs does."""
        self._answers.close()
        self._socket.close()
        self.process.wait()

    def _answer(self) -> bytes:
        head = self._answers.read(4)
        return head + self._answers.read(int.from_bytes(head))

    def write(self, pieces: int) -> None:
        """Write so many pieces, and have them made safe. Raises RuntimeError at an answer that is no success."""
        room = threading.Semaphore(_WINDOW)
        data = os.urandom(_PIECE)

        def send() -> None:
            for number in range(pieces):
                room.acquire()
                head = packet(Kind.WRITE, number, self._handle, (number * _PIECE).to_bytes(8), _PIECE.to_bytes(4))
                # The length field is of head and data.
                head = (len(head) - 4 + _PIECE).to_bytes(4) + head[4:]
                sent = self._socket.sendmsg([head, data])
                if sent < len(head) + _PIECE:
                    self._socket.sendall((head + data)[sent:])
            self._socket.sendall(packet(Kind.EXTENDED, pieces, string(FSYNC), self._handle))

        sender = threading.Thread(target=send)
        sender.start()
        for _ in range(pieces + 1):
            if responses.parse_status(self._answer()) != Status.OK:
                raise RuntimeError("a write failed that can't")
            room.release()
        sender.join()

    def spent(self) -> tuple[float, float]:
        """Processor seconds of the link so far: in its own code, and in the kernel for it."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        tick = os.sysconf("SC_CLK_TCK")
        return int(fields[11]) / tick, int(fields[12]) / tick

    def peak(self) -> int:
        """Bytes that the link held at most."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def measure(size_mb: int) -> Spent:
    """One writing by a link of its own."""
    client = Client()
    try:
        before, begun = client.spent(), time.monotonic()
        client.write(size_mb * 2**20 // _PIECE)
        took, after = time.monotonic() - begun, client.spent()
        gigabytes = size_mb * 2**20 / 1e9
        user, system = ((late - early) / gigabytes for early, late in zip(before, after, strict=True))
        return Spent(user=round(user, 3), system=round(system, 3), wall=round(took, 3), memory=client.peak())
    finally:
        client.close()


def main() -> int:
    """Some rounds; the median."""
    parser = argparse.ArgumentParser(prog="bin/bench link_write", description="What the link costs for a gigabyte written.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--megabytes", type=int, default=SIZE_MB)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    found = []
    for number in range(options.rounds):
        found.append(measure(options.megabytes))
        say(f"round {number + 1}/{options.rounds}: {found[-1]}")
    each = sorted(one.user + one.system for one in found)
    detail = {
        "user": statistics.median(one.user for one in found),
        "system": statistics.median(one.system for one in found),
        "least": round(each[0], 3),
        "most": round(each[-1], 3),
        "mb_s": round(options.megabytes * 2**20 / 1e6 / statistics.median(one.wall for one in found)),
        "memory_mb": round(max(one.memory for one in found) / 1e6, 1),
        "load": [round(load, 1), round(os.getloadavg()[0], 1)],
    }
    Report(bench="link_write", value=round(statistics.median(each), 3), unit="s/GB", better="lower", detail=detail).print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
