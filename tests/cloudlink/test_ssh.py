"""ssh below the link: a real one, as far as a listening socket leads it."""

from __future__ import annotations

import array
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from cloudlink import dial
from cloudlink.loop import Loop
from cloudlink.ssh import Child, Ssh, prepared, versions
from tests.cloudlink.peer import PATIENCE

SSHFS = ["ssh", "-x", "-a", "-oClearAllForwardings=yes", "-F/dev/null", "-2", "-s", "--", "destination", "sftp"]


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)
        yield server


def test_ssh_is_told_to_notice_a_dead_line_and_to_hand_over_its_socket():
    words = list(prepared(SSHFS).command)

    assert words[0] == "ssh"
    assert words[-len(SSHFS) + 1 :] == SSHFS[1:]
    assert {"ServerAliveInterval=2", "ServerAliveCountMax=2", "ProxyUseFdpass=yes"} <= set(words)


def test_no_argument_says_where_it_connects_to():
    made = prepared([SSHFS[0], "-oHostName=192.0.2.7", "-p2201", *SSHFS[1:]])

    (dialling,) = [word for word in made.command if word.startswith("ProxyCommand=")]
    assert dialling.endswith("dial.py'")
    assert made.address == "192.0.2.7 2201 3"


@pytest.mark.parametrize("setting", ["ProxyJump=other", "ProxyCommand=nc %h %p", "BindAddress=127.0.0.2", "AddressFamily=inet6"])
def test_where_the_configuration_says_how_to_connect_that_is_heeded(setting):
    words = prepared([SSHFS[0], f"-o{setting}", *SSHFS[1:]]).command

    assert "ServerAliveInterval=2" in words
    assert not any("ProxyUseFdpass" in word for word in words)


def test_what_is_no_ssh_is_left_as_it_is():
    assert prepared(["/opt/sftp-server", "-e"]) == Ssh(("/opt/sftp-server", "-e"))


def test_keys_and_certificates_are_known_and_a_new_one_is_noticed(tmp_path):
    key, certificate = tmp_path / "key", tmp_path / "key-cert.pub"
    key.write_text("key")
    found = prepared([SSHFS[0], f"-oIdentityFile={key}", f"-oCertificateFile={certificate}", *SSHFS[1:]]).credentials
    assert set(found) == {key, certificate}

    before = versions(found)
    assert versions(found) == before
    certificate.write_text("certificate")
    with_certificate = versions(found)
    assert with_certificate != before
    (tmp_path / "new").write_text("another")
    (tmp_path / "new").replace(certificate)
    assert versions(found) != with_certificate


def received(channel: socket.socket) -> socket.socket:
    channel.settimeout(PATIENCE)
    data, ancillary, _, _ = channel.recvmsg(100, socket.CMSG_SPACE(4))
    assert data == b"\0"
    return socket.socket(fileno=array.array("i", ancillary[0][2])[0])


def test_both_get_the_socket_that_was_dialled(listening):
    port = listening.getsockname()[1]
    (ours, out), (also_ours, error) = socket.socketpair(), socket.socketpair()
    with ours, out, also_ours, error:
        also_ours.sendall(dial.ONCE)
        environment = {**os.environ, dial.ADDRESS: f"127.0.0.1 {port} 3"}
        subprocess.run([sys.executable, dial.__file__], env=environment, stdout=out, stderr=error, check=True)
        accepted, _ = listening.accept()
        with accepted, received(ours) as one, received(also_ours) as other:
            one.sendall(b"one ")
            other.sendall(b"and the same")
            one.shutdown(socket.SHUT_WR)
            assert accepted.makefile("rb").read() == b"one and the same"


def until(loop: Loop, true: Callable[[], bool]) -> None:
    """Lets the loop run until that is true."""
    end = time.monotonic() + PATIENCE
    while not true():
        loop.later(0.05, lambda: None)
        loop.round()
        assert time.monotonic() < end


def test_the_connection_outlives_ssh_until_it_is_reset(listening):
    loop, said = Loop(), []
    port = str(listening.getsockname()[1])
    child = Child(loop, prepared([SSHFS[0], "-oHostName=127.0.0.1", f"-p{port}", *SSHFS[1:]]), said.append)
    child.dial(patient=False)
    accepted, _ = listening.accept()
    with accepted:
        until(loop, lambda: child.connection is not None)
        accepted.settimeout(PATIENCE)
        assert accepted.recv(100).startswith(b"SSH-2.0")
        assert child.connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        child.end()
        assert not child.connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), "only `abort` ends it"
        assert not select.select([accepted], [], [], 0)[0], "ssh's end is not the connection's"

        child.abort()
        with pytest.raises(ConnectionResetError):
            accepted.recv(100)
    loop.close()


def test_the_kernel_tells_how_long_nothing_came(listening):
    loop = Loop()
    port = str(listening.getsockname()[1])
    child = Child(loop, prepared([SSHFS[0], "-oHostName=127.0.0.1", f"-p{port}", *SSHFS[1:]]), lambda _: None)
    assert child.silence(data=True) == child.silence(data=False) == 0
    child.dial(patient=False)
    accepted, _ = listening.accept()
    with accepted:
        until(loop, lambda: child.connection is not None)
        until(loop, lambda: child.silence(data=True) > 1.5)
        # Nobody has read or written on the other side: its kernel alone answers.
        assert child.silence(data=False) < 1.5
        accepted.sendall(b"something\r\n")
        until(loop, lambda: child.silence(data=True) < 0.5)
    child.end()
    child.abort()
    loop.close()


def test_what_ssh_says_is_handed_on_to_the_last_word(listening):
    loop, said = Loop(), []
    port = str(listening.getsockname()[1])
    listening.close()
    child = Child(loop, prepared([SSHFS[0], "-oHostName=127.0.0.1", f"-p{port}", *SSHFS[1:]]), said.append)
    child.dial(patient=False)
    until(loop, lambda: bool(said))

    assert child.end() != 0
    assert f"ssh: connect to host 127.0.0.1 port {port}: Connection refused" in said
    assert child.connection is None
    loop.close()
