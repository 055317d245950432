"""The host's syslog: what programs send to a socket, appended to one file, as rsyslog writes it on a real host.

Run as `python3 -I -S syslog.py SOCKET FILE HOST`; standard library only.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import socket
import sys
from pathlib import Path

_MESSAGE = re.compile(r"<\d{1,3}>(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d )?(.*)", re.DOTALL)


def line(raw: bytes, now: dt.datetime, host: str) -> str:
    """The line for one datagram of syslog(3)."""
    text = raw.decode(errors="replace").rstrip("\n\0")
    found = _MESSAGE.fullmatch(text)
    said = (found[1] if found else text).replace("\n", " ")
    return f"{now.isoformat()} {host} {said}\n"


def main(where: str, file: str, host: str) -> None:
    """Write until killed."""
    Path(where).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(where)
        Path(where).chmod(0o666)
        while True:
            raw = listening.recv(65_536)
            # Opened anew for each line: a log may be taken away.
            handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
            os.write(handle, line(raw, dt.datetime.now().astimezone(), host).encode())
            os.close(handle)


if __name__ == "__main__":
    main(*sys.argv[1:])
