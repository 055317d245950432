"""What ssh runs as its ProxyCommand (with ProxyUseFdpass): connects, and hands the socket to ssh and to the link.

So the link holds the socket beside ssh, and can end the flow for good before it says anything again on another one. ssh starts this
with nothing inherited but standard error, which the link has made a socket: text goes through it, and the descriptor too.
"""

from __future__ import annotations

import array
import socket
import sys

CONNECT_SECONDS = 3.0
"""The kernel sends its SYN at 0, 1 and 3 s: later ones would hold up the next attempt."""
_STDOUT, _STDERR = 1, 2


def hand_over(connection: socket.socket, to: int) -> None:
    """Send `connection` through the unix socket that descriptor `to` is."""
    with socket.socket(fileno=socket.dup(to)) as channel:
        rights = array.array("i", [connection.fileno()])
        channel.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def main() -> int:
    """`dial.py HOST PORT SECONDS`."""
    host, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    try:
        connection = socket.create_connection((host, port), timeout=seconds)
    except OSError as error:
        # ssh's own words for the same, which people and programs know.
        sys.stderr.write(f"ssh: connect to host {host} port {port}: {_reason(error)}\n")
        return 1
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    hand_over(connection, _STDERR)
    hand_over(connection, _STDOUT)
    return 0


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "Connection timed out"
    return error.strerror or str(error)


if __name__ == "__main__":
    sys.exit(main())
