"""An SFTP server without a disk, for the link to start in place of ssh: `python3 -I -S sink.py`, on standard input and output.

It takes requests in pieces as large as ssh takes them. What is written is acknowledged and forgotten; what is read is zeros.
"""

from __future__ import annotations

import os
import sys

_PIECE = 32_768
"""Bytes that OpenSSH 9.2 takes from its standard input at once."""
_INIT, _OPEN, _READ, _WRITE, _FSTAT = 1, 3, 5, 6, 8
_STATUS, _HANDLE, _DATA, _ATTRS, _EXTENDED_REPLY = 101, 102, 103, 105, 201
_VERSION = b"\2\0\0\0\3" + b"\0\0\0\x11fsync@openssh.com\0\0\0\x011" + b"\0\0\0\x12limits@openssh.com\0\0\0\x011"
_LIMITS = (262_144).to_bytes(8) + (261_120).to_bytes(8) * 2 + bytes(8)
"""OpenSSH's: of a packet, a READ, a WRITE; of open files none."""
_OK = bytes(12)
_OPENED = b"\0\0\0\4open"
_ATTRIBUTES = b"\0\0\0\5" + (2**40).to_bytes(8) + (0o100600).to_bytes(4)
"""Of an ordinary file that nobody gets to the end of."""


def answer(request: bytes) -> bytes:
    """The packet that answers a request, of which a WRITE need not be whole."""
    kind, number = request[4], request[5:9]
    if kind == _INIT:
        body = _VERSION
    elif kind == _OPEN:
        body = bytes([_HANDLE]) + number + _OPENED
    elif kind == _FSTAT:
        body = bytes([_ATTRS]) + number + _ATTRIBUTES
    elif kind == _READ:
        body = bytes([_DATA]) + number + request[-4:] + bytes(int.from_bytes(request[-4:]))
    elif request.endswith(b"limits@openssh.com"):
        body = bytes([_EXTENDED_REPLY]) + number + _LIMITS
    else:
        body = bytes([_STATUS]) + number + _OK
    return len(body).to_bytes(4) + body


def main() -> int:
    """Until the input ends."""
    pending, skip = b"", 0
    while piece := os.read(0, _PIECE):
        if skip >= len(piece):
            # The middle of something written.
            skip -= len(piece)
            continue
        pending += piece[skip:]
        at, answers = 0, []
        while len(pending) - at >= 9:
            size = int.from_bytes(pending[at : at + 4]) + 4
            whole = pending[at : at + size]
            if len(whole) < size and whole[4] != _WRITE:
                break
            answers.append(answer(whole))
            at += size
        skip = max(0, at - len(pending))
        pending = pending[at:]
        out = b"".join(answers)
        while out:
            out = out[os.write(1, out) :]
    return 0


if __name__ == "__main__":
    sys.exit(main())
