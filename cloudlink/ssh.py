"""One `ssh … -s sftp` (or whatever else speaks SFTP) as a child, with the TCP connection under it where that can be had."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cloudlink.dial import ADDRESS, CONNECT_SECONDS, ONCE, PATIENT
from cloudlink.loop import Loop

_PIPE_BYTES = 1_048_576
_QUEUE_BYTES = 212_992
"""What a kernel gives everybody (net.core.wmem_max), and doubles for its own bookkeeping."""
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_RIGHTS = socket.CMSG_SPACE(struct.calcsize("i") * 4)
KEEPALIVE_SECONDS, KEEPALIVE_COUNT = 2, 2
"""ssh asks after so many seconds of silence, so many times, and then gives up: 6 s. sshd answers this also while a slow disk holds
up its SFTP server; silence after an SFTP request of our own would not tell the two apart."""
_ESTABLISHED, _CLOSE_WAIT = 1, 8
"""States of a TCP connection that nothing has broken: as it was, or ended in order by the other side (linux/tcp_states.h)."""
_LAST_DATA, _LAST_ACK = 52, 56
"""Where struct tcp_info (linux/tcp.h) has the milliseconds since data came, tcpi_last_data_recv, and since any packet did,
tcpi_last_ack_recv."""


@dataclass(frozen=True)
class Ssh:
    """How ssh will be run."""

    command: tuple[str, ...]
    credentials: tuple[Path, ...] = ()
    """Keys and certificates that it will use: when one is another, a refusal may be over."""
    dials: bool = False
    """Whether it waits for our word before it connects (`cloudlink.dial`), and the socket is ours too."""
    address: str = ""
    """Where it connects to then, for `cloudlink.dial.ADDRESS`."""


_ELSEWHERE = ("proxycommand ", "proxyjump ", "bindaddress ", "bindinterface ", "addressfamily inet")
"""Settings, as `ssh -G` prints them, that say how to connect: a connection of our own would not heed them."""


def prepared(command: Sequence[str], connect_seconds: float = CONNECT_SECONDS) -> Ssh:
    """`command`, an ssh with its arguments, told to notice a dead line and to let us hold its socket.

    Where ssh's own configuration says how to connect, by a proxy or another host, say, the socket is not ours to have. A command
    that is no ssh is left as it is.
    """
    if Path(command[0]).name != "ssh":
        return Ssh(tuple(command))
    words = [word for word in command[1:] if word not in {"-s", "sftp"}]
    asked = subprocess.run([command[0], "-G", *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    lines = asked.stdout.splitlines()
    settings = [f"ServerAliveInterval={KEEPALIVE_SECONDS}", f"ServerAliveCountMax={KEEPALIVE_COUNT}"]
    dials = not any(line.startswith(_ELSEWHERE) and not line.endswith(" none") for line in lines)
    if dials:
        # ssh hands this to a shell. Where to connect stands in the environment: every account of a node can read arguments.
        words = [_quoted(sys.executable), "-I", "-S", _quoted(str(Path(__file__).with_name("dial.py")))]
        settings += [f"ProxyCommand={' '.join(words)}", "ProxyUseFdpass=yes"]
        # How long a handshake may take is for the link to say, which sees whether it goes on (`Connection`).
        settings.append("ConnectTimeout=none")
    known = dict(line.split(" ", 1) for line in lines if " " in line)
    files = [line.split(" ", 1)[1] for line in lines if line.startswith(("identityfile ", "certificatefile "))]
    return Ssh(
        # The first value counts in ssh: ours stand before what the caller says.
        (command[0], *(word for setting in settings for word in ("-o", setting)), *command[1:]),
        tuple(Path(file).expanduser() for file in files),
        dials,
        f"{known.get('hostname', '')} {known.get('port', '')} {connect_seconds:g}" if dials else "",
    )


def versions(files: Sequence[Path]) -> list[tuple[int, int] | None]:
    """What tells whether one of `files` is another than before; None for one that is not there."""
    found: list[tuple[int, int] | None] = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            found.append(None)
        else:
            found.append((status.st_ino, status.st_mtime_ns))
    return found


def _quoted(word: str) -> str:
    if not set("'%\"\\$`\n").isdisjoint(word):
        raise ValueError(f"{word!r} can't stand in ssh's ProxyCommand")
    return f"'{word}'"


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Child:
    """The process. `descriptors` are its standard output and input; what it says on standard error goes to `say`.

    `connected` is called when the TCP connection is there, of an ssh that dials. Making one raises OSError where no process or
    descriptor is to be had.
    """

    def __init__(
        self, loop: Loop, ssh: Ssh, say: Callable[[str], None], connected: Callable[[], None] = lambda: None
    ) -> None:
        self._loop, self._say, self._connected = loop, say, connected
        self.connection: socket.socket | None = None
        """The TCP connection, once ssh has it."""
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            incoming, theirs_out = os.pipe()
            ours.callback(os.close, incoming)
            theirs.callback(os.close, theirs_out)
            # A socket, as sshfs gives ssh: it asks for more when nearly empty, where a full pipe does so for every piece taken.
            outgoing, theirs_in = socket.socketpair()
            ours.push(outgoing)
            theirs.push(theirs_in)
            outgoing.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _QUEUE_BYTES)
            self._talk, theirs_error = socket.socketpair()
            ours.push(self._talk)
            theirs.push(theirs_error)
            with contextlib.suppress(OSError):
                fcntl.fcntl(incoming, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            self._process = subprocess.Popen(
                ssh.command,
                env={**os.environ, ADDRESS: ssh.address},
                stdin=theirs_in.fileno(),
                stdout=theirs_out,
                stderr=theirs_error.fileno(),
                preexec_fn=_die_with_parent,  # noqa: PLW1509  (there is one thread here)
            )
            ours.pop_all()
        self.descriptors = incoming, outgoing.detach()
        self._talk.settimeout(0)
        self._line = b""
        loop.watch(self._talk.fileno(), self._hear, select.EPOLLIN)

    def _hear(self, _events: int) -> None:
        try:
            data, ancillary, _flags, _address = self._talk.recvmsg(4096, _RIGHTS, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        for level, kind, rights in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self._adopt(rights)
        if not data and not ancillary:
            self._deaf()
            return
        *lines, self._line = (self._line + data.replace(b"\0", b"")).split(b"\n")
        self._line = self._line[-1000:]
        for line in lines:
            self._say(line.decode(errors="replace").rstrip())

    def _adopt(self, rights: bytes) -> None:
        for (descriptor,) in struct.iter_unpack("i", rights[: len(rights) - len(rights) % 4]):
            if self.connection is None:
                self.connection = socket.socket(fileno=descriptor)
                self._loop.soon(self._connected)
            else:
                os.close(descriptor)

    def _deaf(self) -> None:
        if self._talk.fileno() >= 0:
            self._loop.forget(self._talk.fileno())
            self._talk.close()
        if self._line:
            self._say(self._line.decode(errors="replace"))
            self._line = b""

    def dial(self, *, patient: bool) -> None:
        """Have it connect: once, or `patient`ly until it can or is ended. For an ssh that dials."""
        with contextlib.suppress(OSError):
            # One that has ended already says so by its end.
            self._talk.send(PATIENT if patient else ONCE)

    def silence(self, *, data: bool) -> float:
        """Seconds since the kernel heard anything on the TCP connection, or any `data`; 0 when that is not to be known.

        What the other side's kernel acknowledges is heard at once, whatever its programs do; it is asked every second.
        """
        if self.connection is None:
            return 0.0
        info = self.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_ACK + 4)
        return float(struct.unpack_from("I", info, _LAST_DATA if data else _LAST_ACK)[0]) / 1000

    @property
    def unbroken(self) -> bool:
        """Whether the line was in order until now, so that it was the server who ended a connection. False where nobody knows."""
        if self.connection is None:
            return False
        state: int = self.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        return state in {_ESTABLISHED, _CLOSE_WAIT}

    def end(self) -> int:
        """Kill it, wait for it, and hear what it said; its exit code. The TCP connection stays open until `abort`."""
        self._process.kill()
        code = self._process.wait()
        while self._talk.fileno() >= 0:
            before = self._talk.fileno()
            try:
                ready, _, _ = select.select([before], [], [], 0)
            except OSError:
                break
            if not ready:
                self._deaf()
                break
            self._hear(select.EPOLLIN)
        if self.connection is not None:
            # Else the kernel ends it when nobody answers for long, and its reset is lost where `abort`'s would come through.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)
        return code

    def abort(self) -> None:
        """End the TCP connection with a reset: what the kernel still holds of it will never be sent."""
        if self.connection is not None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.connection = None
