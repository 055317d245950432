"""How a connection is tried for: often, cheaply, and until somebody is there or nobody waits any more."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudlink import dial
from tests.cloudlink.peer import PATIENCE
from tests.cloudlink.test_ssh import received


def begins(until: float, dice: float) -> Iterator[float]:
    """When attempts begin, on a clock of their own."""
    now = 0.0
    while now < until:
        yield now
        now += dial.pause(now, dice)


@given(st.floats(0, 1))
def test_attempts_of_a_long_outage_are_never_more_than_a_second_apart_and_never_a_flood(dice):
    times = list(begins(400, dice))
    gaps = [(later - earlier, earlier) for earlier, later in itertools.pairwise(times)]

    assert all(0.25 <= gap <= (0.5 if earlier < dial.YOUNG_SECONDS else 1.0) + 1e-9 for gap, earlier in gaps)
    assert 400 < len(times) < 1000


class Dialler:
    """The program, as ssh runs it; `heard` are its lines."""

    def __init__(self, port: int) -> None:
        (self.link, error), (self.ssh, out) = socket.socketpair(), socket.socketpair()
        environment = {**os.environ, dial.ADDRESS: f"127.0.0.1 {port} 3"}
        with error, out:
            self.process = subprocess.Popen([sys.executable, dial.__file__], env=environment, stdout=out, stderr=error)

    def close(self) -> None:
        self.link.close()
        self.ssh.close()
        self.process.wait(PATIENCE)


@pytest.fixture
def dialler() -> Iterator[Callable[[int], Dialler]]:
    started: list[Dialler] = []

    def start(port: int) -> Dialler:
        started.append(Dialler(port))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture
def port() -> int:
    """One at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_nothing_is_dialled_before_the_word_is_said(dialler):
    with socket.create_server(("127.0.0.1", 0)) as server:
        waiting = dialler(server.getsockname()[1])
        server.settimeout(0.3)
        with pytest.raises(TimeoutError):
            server.accept()
        waiting.link.sendall(dial.ONCE)
        server.settimeout(PATIENCE)
        server.accept()[0].close()


def test_who_is_refused_goes_on_and_says_so_once(dialler, port):
    patient = dialler(port)
    patient.link.sendall(dial.PATIENT)
    assert b"Connection refused" in patient.link.recv(4096)
    time.sleep(0.8)
    with socket.create_server(("127.0.0.1", port)) as server:
        begun = time.monotonic()
        server.settimeout(PATIENCE)
        accepted, _ = server.accept()
        # At most half a second on a quiet machine.
        assert time.monotonic() - begun < 3
        # The next that comes is the socket: no second refusal was told.
        with accepted, received(patient.link) as ours, received(patient.ssh) as theirs:
            ours.sendall(b"one ")
            theirs.sendall(b"and the same")
            ours.shutdown(socket.SHUT_WR)
            assert accepted.makefile("rb").read() == b"one and the same"


def test_a_packet_that_is_lost_is_not_waited_for(dialler):
    """A full queue drops what comes, without a word, as a dead line does; the kernel repeats it after 1, 3 and 7 s."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address = server.getsockname()
        with socket.create_connection(address):
            patient = dialler(address[1])
            patient.link.sendall(dial.PATIENT)
            # One attempt was lost by now, and what is lost in these seconds only the kernel's fourth packet would make good.
            time.sleep(3.3)
            begun = time.monotonic()
            for _ in range(2):
                server.settimeout(PATIENCE)
                server.accept()[0].close()
            received(patient.link).close()
            assert time.monotonic() - begun < 2.5


def test_the_kernel_asks_every_second_whether_the_other_side_is_there(dialler):
    with socket.create_server(("127.0.0.1", 0)) as server:
        once = dialler(server.getsockname()[1])
        once.link.sendall(dial.ONCE)
        with received(once.link) as connection:
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 1
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "ssh: connect to host gw port 2201: Connection refused"),
        (TimeoutError("timed out"), "ssh: connect to host gw port 2201: Connection timed out"),
        (socket.gaierror(-2, "Name or service not known"), "ssh: Could not resolve hostname gw: Name or service not known"),
    ],
)
def test_a_failure_is_told_in_ssh_s_own_words(error, said):
    assert dial.failure("gw", 2201, error) == f"{said}\n"


@pytest.mark.parametrize("word", [b"", dial.PATIENT])
def test_whoever_has_gone_is_waited_for_by_nobody(dialler, port, word):
    left = dialler(port)
    left.link.sendall(word)
    left.link.close()

    assert left.process.wait(PATIENCE) == 1


def test_an_address_that_this_node_can_not_even_try_has_its_turn_and_no_other_s(monkeypatch):
    """Where a name has two and IPv6 is switched off, say."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        none = (socket.AF_BLUETOOTH, socket.SOCK_STREAM, 77, "", ())
        found = [none, (socket.AF_INET, socket.SOCK_STREAM, 0, "", address)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        attempts = dial.Attempts("gw", address[1])
        said = []
        monkeypatch.setattr(attempts, "_say", said.append)
        monkeypatch.setattr(dial, "pause", lambda *_: 0.01 if len(said) < 20 else pytest.fail("the other one is never tried"))
        with attempts.first() as connection:
            assert connection.getpeername() == address
        assert len(said) == 1


def test_a_resolver_behind_the_line_that_is_cut_is_not_waited_for(monkeypatch, port):
    known = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))]
    answers = itertools.chain([known], itertools.repeat(None))
    over = threading.Event()

    def resolve(*_, **__):
        answer = next(answers)
        if answer is None:
            over.wait(PATIENCE)
            raise socket.gaierror(-3, "Temporary failure in name resolution")
        return answer

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    attempts = dial.Attempts("gw", port)
    begun = time.monotonic()
    listening: list[socket.socket] = []
    back = threading.Timer(1.0, lambda: listening.append(socket.create_server(("127.0.0.1", port))))
    back.start()
    try:
        with attempts.first() as connection:
            assert connection.getpeername() == ("127.0.0.1", port)
        assert time.monotonic() - begun < PATIENCE / 2
    finally:
        over.set()
        back.join()
        listening[0].close()
