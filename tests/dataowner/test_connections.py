"""Whose connection a process of sshd's is, as the watcher reads it from /proc."""

import contextlib
import errno
import json
import os
import pwd
import signal
import subprocess
import sys

import pytest

from dataowner import connections, revocations, watcher
from dataowner.places import UnusableError
from tests.dataowner.owners import SESSION, text

SSHD_THAT_ASKS = """
import os, sys
with open("/proc/self/comm", "w") as name: name.write("sshd")
if os.getuid() == 0: os.seteuid(65534)
print("asks", flush=True)
sys.stdin.read()
"""
"""sshd's process as it is while AuthorizedPrincipalsCommand runs: it goes by the uid of that command's account meanwhile."""


CLAIM = connections.Claim("jrs0017", SESSION, "7", "read-write")


@pytest.fixture
def asking(side, monkeypatch):
    """sshd's process that lets somebody in, written down; its number."""
    # An account of the cloud's, which this machine has not.
    monkeypatch.setattr(pwd, "getpwnam", lambda _: pwd.getpwuid(1))
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", SSHD_THAT_ASKS], stdin=pipe, stdout=pipe, text=True) as sshd:
        assert sshd.stdin is not None
        assert sshd.stdout is not None
        assert sshd.stdout.readline() == "asks\n"
        monitor = connections.process(sshd.pid)
        assert monitor is not None
        assert monitor.uid == os.getuid()
        connections.record(side.places, monitor, CLAIM)
        yield sshd.pid
        sshd.stdin.close()


def sessions(side) -> list[str]:
    return [each.claim.session for each in connections.live(side.places)]


def test_a_connection_that_sshd_is_just_letting_in_stays_written_down(side, asking):
    assert sessions(side) == [SESSION]
    assert json.loads((side.places.connections / str(asking)).read_text())["session"] == SESSION


def test_a_connection_is_known_also_while_nobody_can_say_who_has_which_account(side, asking, monkeypatch):
    def nobody(name: str) -> pwd.struct_passwd:
        raise KeyError(name)

    monkeypatch.setattr(pwd, "getpwnam", nobody)
    assert sessions(side) == [SESSION]
    with pytest.raises(OSError, match="no account jrs0017"):
        connections.record(side.places, connections.Process(1, 0, 0, "sshd", "S", 0), CLAIM)


@pytest.mark.parametrize("what", ["process", "read"])
def test_a_record_is_taken_away_only_when_its_connection_is_known_to_be_over(side, asking, monkeypatch, what):
    error = OSError(errno.EMFILE, "Too many open files") if what == "process" else UnusableError("too many open files")

    def fails(*_: object) -> None:
        raise error

    with monkeypatch.context() as here:
        here.setattr(connections, what, fails)
        assert sessions(side) == []
    assert sessions(side) == [SESSION]


def test_a_connection_that_is_over_is_forgotten(side, asking):
    os.kill(asking, signal.SIGKILL)
    os.waitpid(asking, 0)
    assert sessions(side) == []
    assert list(side.places.connections.iterdir()) == []


@pytest.mark.parametrize(("kind", "what"), [("serial", "7"), ("account", "jrs0017")])
def test_who_was_being_let_in_when_the_owner_said_no_does_not_come_back_by_the_next_serial(side, asking, monkeypatch, kind, what):
    written_down = side.places.connections / str(asking)
    record = written_down.read_text()
    written_down.unlink()
    side.push(text())
    monkeypatch.setattr(os, "chown", lambda *_: None)
    monkeypatch.setattr(os, "fchown", lambda *_: None)

    assert watcher.revoke(side.places, kind, what) == []
    written_down.write_text(record)
    watcher.Watcher(side.places).look()

    assert revocations.load(side.places).sessions == {SESSION}


def test_what_the_watcher_ends_at_the_owner_s_word_before_anybody_has_looked_is_told_as_ended(side, asking, monkeypatch):
    add = revocations.add

    def ends(*given):
        add(*given)
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(asking, signal.SIGKILL)
            os.waitpid(asking, 0)

    monkeypatch.setattr(revocations, "add", ends)
    monkeypatch.setattr(os, "chown", lambda *_: None)
    monkeypatch.setattr(os, "fchown", lambda *_: None)

    assert watcher.revoke(side.places, "session", SESSION) == [SESSION]
