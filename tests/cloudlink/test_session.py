"""The link as sshfs meets it, over a real SFTP server: what goes through, and how it ends."""

from __future__ import annotations

import os
import signal
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudlink import requests, responses
from cloudlink.wire import EXTENSIONS, HARDLINK, Kind, Open, Status, packet, string
from tests.cloudlink.conftest import SERVER
from tests.cloudlink.peer import Peer, text

CREATE = Open.WRITE | Open.CREAT


def test_what_sshfs_uses_is_offered(start):
    assert start().greet() == EXTENSIONS


def test_a_file_is_written_and_read(link, cloud):
    data = os.urandom(300_000)
    handle = link.open(cloud / "f", CREATE | Open.READ)
    numbers = [
        link.send(Kind.WRITE, string(handle), at.to_bytes(8), string(data[at : at + 50_000])) for at in range(0, 300_000, 50_000)
    ]
    assert {responses.parse_status(link.answer(number)[1]) for number in numbers} == {Status.OK}

    assert b"".join(link.read(handle, at, 60_000) for at in range(0, 300_000, 60_000)) == data
    assert link.read(handle, 300_000, 10) == Status.EOF
    assert link.status(Kind.EXTENDED, string(b"fsync@openssh.com"), string(handle)) == Status.OK
    assert link.status(Kind.CLOSE, string(handle)) == Status.OK
    assert (cloud / "f").read_bytes() == data


def test_names_are_asked_for_made_and_removed(link, cloud):
    assert link.status(Kind.MKDIR, text(cloud / "d"), bytes(4)) == Status.OK
    (cloud / "d" / "f").write_text("x")
    assert link.status(Kind.EXTENDED, string(HARDLINK), text(cloud / "d" / "f"), text(cloud / "d" / "g")) == Status.OK
    assert link.status(Kind.RENAME, text(cloud / "d" / "f"), text(cloud / "h")) == Status.OK
    assert link.status(Kind.RMDIR, text(cloud / "d")) == Status.FAILURE
    assert link.status(Kind.REMOVE, text(cloud / "d" / "g")) == Status.OK
    assert link.status(Kind.RMDIR, text(cloud / "d")) == Status.OK
    assert list(cloud.iterdir()) == [cloud / "h"]

    kind, frame = link.ask(Kind.STAT, text(cloud / "h"))
    assert kind == Kind.ATTRS
    assert responses.parse_attrs(frame).size == 1


def names(link: Peer, handle: bytes) -> set[bytes]:
    found = set()
    while True:
        kind, frame = link.ask(Kind.READDIR, string(handle))
        if kind == Kind.STATUS:
            assert responses.parse_status(frame) == Status.EOF
            return found
        found |= {entry.name for entry in responses.parse_names(frame)}


def test_a_folder_is_listed(link, cloud):
    for index in range(300):
        (cloud / f"{index}").touch()
    _, frame = link.ask(Kind.OPENDIR, text(cloud))

    assert names(link, responses.parse_handle(frame)) == {b".", b"..", *(b"%d" % index for index in range(300))}


def test_errors_are_the_servers(link, cloud):
    assert link.status(Kind.OPEN, text(cloud / "none"), bytes(3) + b"\1", bytes(4)) == Status.NO_SUCH_FILE
    assert link.status(Kind.EXTENDED, string(b"copy-data"), bytes(40)) == Status.OP_UNSUPPORTED


def test_a_file_that_is_not_open_is_an_error(link, cloud):
    (cloud / "f").touch()
    handle = link.open(cloud / "f")
    assert link.status(Kind.CLOSE, string(handle)) == Status.OK

    assert link.read(handle, 0, 1) == link.read(b"none", 0, 1) == Status.FAILURE
    assert link.status(Kind.CLOSE, string(handle)) == Status.FAILURE


def test_sshfs_going_is_the_end(start):
    peer = start()
    peer.greet()

    assert peer.close() == 0


def test_a_first_connection_that_fails_is_told_at_once(start, orders):
    orders.refuse()
    peer = start()

    assert peer.frame() == b""
    assert peer.process.wait(60) == 255
    assert peer.said.read_text() == "ssh: connect to host cloud port 22: Connection refused\n"


@pytest.mark.parametrize(
    "bad",
    [
        packet(Kind.READ, 1, string(b"a handle of another length"), bytes(12)),
        packet(Kind.HANDLE, 1, string(b"none")),
        packet(99, 1),
        (2**31).to_bytes(4),
        packet(Kind.WRITE, 1, bytes(200)),
    ],
)
def test_a_client_that_speaks_no_sftp_is_left(link, bad):
    link.socket.sendall(bad)

    assert link.frame() == b""
    assert link.process.wait(60) == 1
    assert "the session ends" in link.said.read_text()


HOSTILE = """
import os, sys
os.write(1, bytes.fromhex(sys.argv[1]))
while os.read(0, 65536):
    pass
"""
VERSION = responses.version_packet([])


@pytest.mark.parametrize(
    "sent",
    [
        packet(Kind.HANDLE, 1),
        VERSION + packet(Kind.STATUS, 77, bytes(12)),
        VERSION[:8] + b"\x07",
        VERSION + (2**31).to_bytes(4),
        b"Welcome to the cloud!\n",
    ],
)
def test_a_server_that_speaks_no_sftp_is_left(tmp_path, sent):
    peer = Peer(["--", sys.executable, "-c", HOSTILE, sent.hex()], tmp_path / "said")
    peer.socket.sendall(requests.init_packet())

    assert peer.process.wait(60) == 1
    assert "what is no SFTP" in peer.said.read_text()
    peer.close()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 255), st.integers(1, 9), st.binary(max_size=60)), min_size=1, max_size=5))
def test_whatever_a_client_sends_the_link_ends_in_order(tmp_path, parts):
    peer = Peer(["--", *SERVER], tmp_path / "said")
    peer.socket.sendall(requests.init_packet() + b"".join(packet(kind, number, body) for kind, number, body in parts))

    assert peer.close() in {0, 1}
    assert "Traceback" not in peer.said.read_text()


def test_it_heeds_the_signals_that_its_starter_heeds(link, cloud):
    link.process.terminate()

    assert link.process.wait(60) == 0


def test_and_ignores_those_that_its_starter_ignores(tmp_path, cloud):
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        peer = Peer(["--", *SERVER], tmp_path / "said")
    finally:
        signal.signal(signal.SIGTERM, before)
    peer.greet()
    peer.process.terminate()

    assert peer.status(Kind.MKDIR, text(cloud / "d"), bytes(4)) == Status.OK
    assert peer.close() == 0
