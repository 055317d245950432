"""How long a handshake may take: as long as it goes on."""

from __future__ import annotations

import socket
import time

import pytest

from cloudlink import connection
from cloudlink.connection import Connection
from cloudlink.loop import Loop
from cloudlink.ssh import prepared
from tests.cloudlink.peer import PATIENCE
from tests.cloudlink.test_ssh import SSHFS, until


@pytest.fixture
def ended() -> list[str]:
    return []


@pytest.fixture
def begun(ended):
    """A connection whose server says nothing by itself, and the server's end."""
    loop = Loop()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)
        ssh = prepared([SSHFS[0], "-oHostName=127.0.0.1", f"-p{server.getsockname()[1]}", *SSHFS[1:]])
        made = Connection(
            loop, ssh, lambda _: None, ready=lambda _: None, ended=lambda _, ending: ended.append(ending.why), drained=lambda: None
        )
        made.dial(patient=False)
        accepted, _ = server.accept()
        with accepted:
            yield loop, accepted
        made.close("the test is over")
        made.abort()
    loop.close()


def test_a_handshake_that_goes_on_may_take_its_time_and_one_that_does_not_is_ended(begun, ended, monkeypatch):
    monkeypatch.setattr(connection, "GREETING_SECONDS", 1.0)
    loop, server = begun
    for _ in range(6):
        # sshd may say what it likes before its version.
        server.sendall(b"one moment please\r\n")
        end = time.monotonic() + 0.25
        until(loop, lambda end=end: time.monotonic() > end)
    assert ended == []

    until(loop, lambda: bool(ended))
    assert ended == ["the connection timed out in its handshake"]


def test_an_ssh_that_waits_to_be_told_has_no_time_limit(ended, monkeypatch):
    monkeypatch.setattr(connection, "GREETING_SECONDS", 0.2)
    loop = Loop()
    ssh = prepared([SSHFS[0], "-oHostName=127.0.0.1", "-p1", *SSHFS[1:]])
    waiting = Connection(
        loop, ssh, lambda _: None, ready=lambda _: None, ended=lambda _, ending: ended.append(ending.why), drained=lambda: None
    )
    end = time.monotonic() + 1
    until(loop, lambda: time.monotonic() > end)

    assert ended == []
    waiting.close("the test is over")
    loop.close()
