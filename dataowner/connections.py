"""Live connections: which of sshd's processes serve which session, and how they are stopped, let go on, and ended.

`principals` writes down a connection's process before sshd lets anybody in; everything else is read from /proc.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pwd
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from dataowner.places import Places, UnusableError, read, write
from dataowner.statement import SESSION

_PROC = Path("/proc")
_PROGRAMS = ("sshd", "sshd-session")
"""What the kernel calls a connection's process; the second since OpenSSH 9.8."""
_LAST_WORDS_S = 1.0
"""Seconds that an SFTP server, cut from its connection, has to log what it had open."""


class Claim(NamedTuple):
    """Who a connection was let in as."""

    account: str
    session: str
    serial: str
    access: str


class Process(NamedTuple):
    """One process, as /proc has it."""

    pid: int
    parent: int
    started: int
    """Ticks since the machine's start: together with the number it names one process for ever."""
    name: str
    state: str
    uid: int


class Connection(NamedTuple):
    """A live connection: the record, and the processes that serve it."""

    claim: Claim
    monitor: Process
    """sshd's process of this connection, root's: it has no part in the bytes."""
    opened: float
    """Seconds since the epoch."""
    servants: list[Process]
    """The processes under the account: the network's end first, the SFTP server below it. Empty before login is complete."""

    @property
    def name(self) -> str:
        """Names the connection for ever on this host."""
        return f"{self.monitor.pid}-{self.monitor.started}"

    @property
    def suspended(self) -> bool:
        """Whether all that could carry a byte is stopped."""
        return bool(self.servants) and all(each.state in "Tt" for each in self.servants)


class _UntoldError(Exception):
    """Nobody can say now whether a connection lives: its record stays, and the next look asks again."""


def process(pid: int) -> Process | None:
    """The process `pid`; None when there is none. Raises OSError when nobody can say."""
    try:
        folder = _PROC / str(pid)
        text = (folder / "stat").read_text(errors="replace")
        # The real one, not the folder's owner: sshd goes by its helper's while it waits for AuthorizedPrincipalsCommand.
        uid = int((folder / "status").read_text(errors="replace").partition("\nUid:")[2].split()[0])
    except (FileNotFoundError, ProcessLookupError):
        return None
    name, fields = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :].split()
    return Process(pid, int(fields[1]), int(fields[19]), name, fields[0], uid)


def _seen(pid: int) -> Process | None:
    """The process `pid`; None also when nobody can say: the next look comes soon."""
    try:
        return process(pid)
    except OSError:
        return None


def below(pid: int) -> list[Process]:
    """The living processes that descend from `pid`, children before their own."""
    found: list[Process] = []
    looking = [pid]
    while looking:
        parent = looking.pop(0)
        try:
            words = (_PROC / f"{parent}/task/{parent}/children").read_text().split()
        except OSError:
            continue
        there = [each for each in map(_seen, map(int, words)) if each is not None and each.parent == parent]
        found += there
        looking += [each.pid for each in there]
    return found


def record(places: Places, monitor: Process, claim: Claim) -> None:
    """Write down that the connection of sshd's process `monitor` may log in as `claim`. Raises OSError, also for no account."""
    try:
        uid = pwd.getpwnam(claim.account).pw_uid
    except KeyError as error:
        raise OSError(errno.ENOENT, f"no account {claim.account}") from error
    # The number too: the directory of accounts may not answer when the connection is looked at.
    value = {"started": monitor.started, "opened": time.time(), "uid": uid, **claim._asdict()}
    write(places.connections / str(monitor.pid), json.dumps(value), 0o600)


def live(places: Places) -> list[Connection]:
    """Every connection that is written down and lives; records of those that are over are taken away. Raises UnusableError."""
    found = []
    for path in _records(places):
        try:
            connection = _connection(path)
        except (_UntoldError, OSError):
            continue
        if connection is None:
            with contextlib.suppress(OSError):
                path.unlink()
        else:
            found.append(connection)
    return found


def _records(places: Places) -> list[Path]:
    try:
        return [path for path in places.connections.iterdir() if path.name.isdigit()]
    except OSError as error:
        raise UnusableError(f"{places.connections} can't be read: {error.strerror}.") from error


def _connection(path: Path) -> Connection | None:
    """The connection whose record lies at `path`; None when its process is gone, or is not the one that was written down.

    Raises _UntoldError and OSError where that can't be told: a record that was taken away would leave a live connection to nobody.
    """
    monitor = process(int(path.name))
    if monitor is None or monitor.name not in _PROGRAMS or monitor.uid != 0:
        return None
    try:
        value = json.loads(read(path, 4096))
        claim = Claim(*(str(value[name]) for name in Claim._fields))
        uid, opened = int(value["uid"]), float(value["opened"])
        if value["started"] != monitor.started:
            return None
    except (UnusableError, ValueError, KeyError, TypeError) as error:
        raise _UntoldError(path.name) from error
    if not SESSION.fullmatch(claim.session):
        raise _UntoldError(path.name)
    return Connection(claim, monitor, opened, [each for each in below(monitor.pid) if each.uid == uid and each.state != "Z"])


def suspend(connection: Connection) -> None:
    """Stop whatever could carry a byte; nothing is lost, and `resume` goes on where it stopped."""
    _signal(connection.servants, signal.SIGSTOP)


def resume(connection: Connection) -> None:
    """Let a suspended connection go on."""
    _signal(connection.servants, signal.SIGCONT)


def end(ended: Iterable[Connection]) -> None:
    """End connections: the network's end at once; the SFTP server, which carries nothing any more, after its last log lines."""
    left: list[Process] = []
    for each in ended:
        network = [servant for servant in each.servants if servant.parent == each.monitor.pid]
        _signal([*network, each.monitor], signal.SIGKILL)
        rest = [servant for servant in each.servants if servant not in network]
        _signal(rest, signal.SIGCONT)
        left += rest
    until = time.monotonic() + _LAST_WORDS_S
    while any(map(_same, left)) and time.monotonic() < until:
        time.sleep(0.02)
    _signal(left, signal.SIGKILL)


def _same(each: Process) -> bool:
    now = _seen(each.pid)
    return now is not None and now.started == each.started and now.state != "Z"


def _signal(targets: Iterable[Process], number: signal.Signals) -> None:
    for each in targets:
        if _same(each):
            with contextlib.suppress(ProcessLookupError):
                os.kill(each.pid, number)
