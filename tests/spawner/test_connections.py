"""One peer can't use up the hub's open files, through the call-back's port or the hub's own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest
from tornado.httpserver import HTTPServer

from enclave.messages import Event, Phase, encode
from spawner import connections, hub
from spawner.connections import A_PEER, CappedServer

NEIGHBOUR = ("127.0.0.2", 0)
"""Another address of this machine: the server knows 127.0.0.1 as its own."""


def files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@contextlib.contextmanager
def connected(port: int, count: int):
    """So many connections of a neighbour that says nothing."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection(("127.0.0.1", port), 5, NEIGHBOUR)) for _ in range(count)]


async def test_a_neighbour_with_many_connections_keeps_nobody_out(stage):
    key = await stage.started()
    before = files()
    with connected(stage.site.hub.callback_port, A_PEER + 40) as lines:
        await asyncio.sleep(0.5)
        assert files() - before - len(lines) <= A_PEER
        assert (await stage.post("event", encode(Event(phase=Phase.MOUNT)), key=key))[0] == 204
    # Those that went away make room for others.
    with connected(stage.site.hub.callback_port, 1) as [line]:
        await asyncio.sleep(0.2)
        line.setblocking(False)
        with pytest.raises(BlockingIOError):
            line.recv(1)


async def test_the_hub_s_own_host_has_a_cap_too(stage, monkeypatch):
    monkeypatch.setattr(connections, "everybody", lambda: 4)
    before = files()
    with contextlib.ExitStack() as stack:
        lines = [
            stack.enter_context(socket.create_connection(("127.0.0.1", stage.site.hub.callback_port), 5)) for _ in range(20)
        ]
        await asyncio.sleep(0.3)
        assert files() - before - len(lines) <= 4


def test_jupyterhub_s_own_server_is_such_a_one(monkeypatch):
    saved = HTTPServer._save_configuration()
    try:
        hub.cap_connections()
        assert isinstance(HTTPServer(lambda _: None), CappedServer)
    finally:
        HTTPServer._restore_configuration(saved)
