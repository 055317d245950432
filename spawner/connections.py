"""An HTTP server that gives one peer only so many connections: else a neighbour of a node's could use up the hub's open files."""

from __future__ import annotations

import resource
from collections import defaultdict
from logging import getLogger
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream

A_PEER = 64
"""Connections that one address may hold: a node has a few for each session on it."""

log = getLogger("renkei.connections")


def everybody() -> int:
    """Connections that all of them, or the hub's own host, may hold: half of the files that this process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2


class CappedServer(HTTPServer):
    """Closes a connection beyond the cap before anything of it is read.

    The hub's own host, from which the proxy speaks for every browser, is one peer with the cap of everybody.
    """

    def initialize(self, *arguments: Any, **more: Any) -> None:  # noqa: ANN401  (tornado's)
        """Tornado's own, and nobody is connected."""
        super().initialize(*arguments, **more)
        self._held: defaultdict[str, set[IOStream]] = defaultdict(set)
        self._told: set[str] = set()

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """Serve `stream`, or close it."""
        peer = str(address[0])
        own = stream.socket.getsockname()[0] == peer
        # Whoever serves a stream sets its only close callback, so what is closed is found by looking.
        self._held = defaultdict(set, {name: open_ for name, held in self._held.items() if (open_ := _open(held))})
        if len(self._held[peer]) >= (everybody() if own else A_PEER) or sum(map(len, self._held.values())) >= everybody() * 1.5:
            if peer not in self._told:
                log.warning("%s has %d connections, more are closed", peer, len(self._held[peer]))
                self._told.add(peer)
            stream.close()
            return
        self._told.discard(peer)
        self._held[peer].add(stream)
        super().handle_stream(stream, address)


def _open(held: set[IOStream]) -> set[IOStream]:
    return {stream for stream in held if not stream.closed()}
