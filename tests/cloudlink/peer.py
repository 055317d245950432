"""sshfs's side of the link: asks, and reads answers, as a client of SFTP version 3."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from cloudlink import requests, responses, wire
from cloudlink.wire import Kind, Open, packet, string
from tests.house.test_layout import ROOT

PATIENCE = 60.0
"""Seconds; a test that waits as long has failed."""


class Peer:
    """A running link. Everything that is sent is numbered; `answer` gives the answer to a number."""

    def __init__(self, arguments: list[str], said: Path, program: tuple[str, ...] = ("-m", "cloudlink")) -> None:
        ours, theirs = socket.socketpair()
        self.said = said
        with said.open("wb") as stream:
            self.process = subprocess.Popen(
                [sys.executable, *program, *arguments],
                stdin=theirs,
                stdout=theirs,
                stderr=stream,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        theirs.close()
        ours.settimeout(PATIENCE)
        self.socket = ours
        self._stream = ours.makefile("rb")
        self._answers: dict[int, bytes] = {}
        self._number = 0

    def close(self) -> int:
        """Go, as sshfs does; the link's exit code."""
        self._stream.close()
        self.socket.close()
        return self.process.wait(PATIENCE)

    def frame(self) -> bytes:
        """The next packet; empty at the end."""
        head = self._stream.read(4)
        return head + self._stream.read(int.from_bytes(head)) if head else b""

    def greet(self) -> dict[bytes, bytes]:
        """INIT; the extensions of the answer."""
        self.socket.sendall(requests.init_packet())
        return responses.parse_version(self.frame())

    def send(self, kind: Kind, *body: bytes) -> int:
        """A request; its number."""
        self._number += 1
        self.socket.sendall(packet(kind, self._number, *body))
        return self._number

    def answer(self, number: int) -> tuple[int, bytes]:
        """Kind and frame of the answer to a number."""
        while number not in self._answers:
            frame = self.frame()
            assert frame, "the link has gone: " + self.said.read_text()
            self._answers[wire.kind_and_id(frame)[1]] = frame
        frame = self._answers.pop(number)
        return frame[4], frame

    def ask(self, kind: Kind, *body: bytes) -> tuple[int, bytes]:
        """A request and its answer."""
        return self.answer(self.send(kind, *body))

    def status(self, kind: Kind, *body: bytes) -> int:
        """A request that a STATUS answers; its code."""
        answer, frame = self.ask(kind, *body)
        assert answer == Kind.STATUS
        return responses.parse_status(frame)

    def open(self, path: Path, flags: int = Open.READ) -> bytes:
        """An open file's handle."""
        answer, frame = self.ask(Kind.OPEN, text(path), flags.to_bytes(4), bytes(4))
        assert answer == Kind.HANDLE, responses.parse_status(frame)
        return responses.parse_handle(frame)

    def read(self, handle: bytes, offset: int, length: int) -> bytes | int:
        """Data, or the status that came instead."""
        answer, frame = self.ask(Kind.READ, string(handle), offset.to_bytes(8), length.to_bytes(4))
        return bytes(responses.parse_data(frame)) if answer == Kind.DATA else responses.parse_status(frame)

    def write(self, handle: bytes, offset: int, data: bytes) -> int:
        """The status of a write."""
        return self.status(Kind.WRITE, string(handle), offset.to_bytes(8), string(data))


def text(path: Path) -> bytes:
    """A path as it goes over the wire."""
    return string(os.fsencode(path))
