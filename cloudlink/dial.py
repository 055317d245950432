"""What ssh runs as its ProxyCommand (with ProxyUseFdpass): waits for a word, connects, and hands the socket to ssh and the link.

So the link holds the socket beside ssh, and can end the flow for good before it says anything again on another one; and an ssh that
has started already loses no time when the line comes back. ssh starts this with nothing inherited but standard error, which the
link has made a socket: the word comes through it, text and the descriptor go.
"""

from __future__ import annotations

import array
import errno
import math
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Sequence

ADDRESS = "CLOUDLINK_ADDRESS"
"""Environment variable: host, port, and seconds of one attempt. It is no argument, which every account of a node can read."""
ONCE, PATIENT = b"1", b"+"
"""The link's words: one attempt, whose failure is told; or attempts until there is a connection or the link hangs up."""
CONNECT_SECONDS = 3.0
"""That an attempt is given: a handshake takes one round trip, and a SYN that was lost is repeated by the next attempt."""
YOUNG_SECONDS = 60.0
_KEEPALIVE_SECONDS = 1
"""After so much silence the kernel asks the other side's: a gateway that has forgotten the connection answers with a reset."""
_RESOLVER_SECONDS = 0.1
"""That an attempt waits for the name's addresses, before it takes those that it knows."""
_STDOUT, _STDERR = 1, 2


_Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]


def pause(elapsed: float, dice: float) -> float:
    """Seconds between the begins of two attempts, `elapsed` after the first; `dice` is a random number from 0 to 1.

    An attempt is one packet, and nobody waits for its failure before the next.
    """
    return (0.5 if elapsed < YOUNG_SECONDS else 1.0) * (0.5 + dice / 2)


def hand_over(connection: socket.socket, to: int) -> None:
    """Send `connection` through the unix socket that descriptor `to` is."""
    with socket.socket(fileno=socket.dup(to)) as channel:
        rights = array.array("i", [connection.fileno()])
        channel.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


class Attempts:
    """Attempts under way at the same time: the first that succeeds is the connection.

    The name is looked up at once, and again beside the attempts: a resolver behind the line that is cut keeps its answer back, for
    longer than the line is away.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._poll = select.poll()
        # Whoever asked has gone when these hang up.
        for descriptor in (_STDOUT, _STDERR):
            self._poll.register(descriptor, 0)
        self._under_way: dict[int, tuple[float, socket.socket]] = {}
        self._count = 0
        self._said: set[str] = set()
        self._addresses: Sequence[_Address] = ()
        self._unknown: OSError | None = None
        self._resolver = self._ask_resolver()

    def _ask_resolver(self) -> threading.Thread:
        thread = threading.Thread(target=self._resolve, daemon=True)
        thread.start()
        return thread

    def _resolve(self) -> None:
        try:
            self._addresses = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except OSError as error:
            self._unknown = error

    def first(self) -> socket.socket | None:
        """The first connection that there is, however long it takes; None when nobody waits for it any more."""
        begun = following = time.monotonic()
        try:
            while True:
                now = time.monotonic()
                if now >= following:
                    self._drop(now - CONNECT_SECONDS)
                    self._begin(now)
                    following = now + pause(now - begun, os.urandom(1)[0] / 255)
                for descriptor, _ in self._poll.poll(1000 * max(0.0, following - time.monotonic())):
                    if descriptor not in self._under_way:
                        return None
                    found = self._found(descriptor)
                    if found is not None:
                        return found
        finally:
            self._drop(math.inf)

    def _begin(self, now: float) -> None:
        """One more; a name's addresses have their turns, also those that this node can't even try."""
        if not self._resolver.is_alive():
            self._resolver = self._ask_resolver()
        self._resolver.join(_RESOLVER_SECONDS)
        known = self._addresses
        if not known:
            if self._unknown is not None:
                self._say(self._unknown)
            return
        family, kind, protocol, _, address = known[self._count % len(known)]
        self._count += 1
        try:
            attempt = socket.socket(family, kind, protocol)
        except OSError as error:
            self._say(error)
            return
        attempt.settimeout(0)
        code = attempt.connect_ex(address)
        if code in {0, errno.EINPROGRESS}:
            self._under_way[attempt.fileno()] = now, attempt
            self._poll.register(attempt, select.POLLOUT)
        else:
            attempt.close()
            self._say(OSError(code, os.strerror(code)))

    def _found(self, descriptor: int) -> socket.socket | None:
        """What came of the attempt: its connection, or nothing."""
        attempt = self._taken(descriptor)
        code = attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not code:
            return attempt
        attempt.close()
        self._say(OSError(code, os.strerror(code)))
        return None

    def _taken(self, descriptor: int) -> socket.socket:
        self._poll.unregister(descriptor)
        return self._under_way.pop(descriptor)[1]

    def _drop(self, before: float) -> None:
        """Those that began before."""
        for descriptor in [each for each, (since, _) in self._under_way.items() if since < before]:
            self._taken(descriptor).close()

    def _say(self, error: OSError) -> None:
        text = failure(self._host, self._port, error)
        if text not in self._said:
            self._said.add(text)
            sys.stderr.write(text)
            sys.stderr.flush()


def failure(host: str, port: int, error: OSError) -> str:
    """What ssh itself says then, which people and programs know."""
    reason = "Connection timed out" if isinstance(error, TimeoutError) else error.strerror or str(error)
    if isinstance(error, socket.gaierror):
        return f"ssh: Could not resolve hostname {host}: {reason}\n"
    return f"ssh: connect to host {host} port {port}: {reason}\n"


def main() -> int:
    """`CLOUDLINK_ADDRESS="HOST PORT SECONDS" dial.py`."""
    host, number, patience = os.environ[ADDRESS].split(" ")
    port, seconds = int(number), float(patience)
    attempts = Attempts(host, port)
    with socket.socket(fileno=socket.dup(_STDERR)) as channel:
        word = channel.recv(1)
    if word == PATIENT:
        found = attempts.first()
        if found is None:
            return 1
        connection = found
    elif word == ONCE:
        try:
            connection = socket.create_connection((host, port), timeout=seconds)
        except OSError as error:
            sys.stderr.write(failure(host, port, error))
            return 1
    else:
        return 1
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for setting in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
        connection.setsockopt(socket.IPPROTO_TCP, setting, _KEEPALIVE_SECONDS)
    hand_over(connection, _STDERR)
    hand_over(connection, _STDOUT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
