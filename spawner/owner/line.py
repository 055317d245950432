"""One ssh connection to a destination's control account, made again whenever it breaks; one question at a time.

Its time-outs are its own: the answer to a small question is a matter of milliseconds, so a line that is silent for a second
and a half is given up, and from then on a connection is tried every half second until one comes through.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from enclave.messages import Reason
from spawner.owner.protocol import LINE_LIMIT, Answer, Refused, Request, Unable

ANSWER_S = 1.5
"""Seconds for one answer over a connection that works."""
LOGIN_S = 5.0
"""The same for the first one, which ssh's handshake and the other side's start come before."""
KNOCK_S = 0.5
"""Seconds for one attempt to reach the gateway's port: the first that is made when the line is back gets through."""
PAUSE_S = 0.3
"""Seconds before the next attempt."""


_REASONS = (
    (r"host key verification failed|host identification has changed|no \S+ host key is known", Reason.HOST_KEY_CHANGED),
    (r"connection refused|network is unreachable", Reason.GATEWAY_REFUSED),
    (r"timed out|no route to host|host is down|connection (closed|reset) by", Reason.DESTINATION_DOWN),
)
"""What ssh says, in the order in which it decides."""


class LineDownError(Exception):
    """No answer now: the line is cut, or the owner's side is in trouble. Asking again later may help."""

    def __init__(self, text: str, reason: Reason = Reason.OWNER_DOWN) -> None:
        super().__init__(text)
        self.reason = reason


class LineRefusedError(Exception):
    """The owner's side answered, and said no; the text is its reason, for the log."""


def classify(said: str) -> Reason:
    """Why there is no line, by what ssh said at its end; owner-down for anything that is not known."""
    return next((reason for pattern, reason in _REASONS if re.search(pattern, said.lower())), Reason.OWNER_DOWN)


def command(*, gateway: str, port: int, account: str, alias: str, key: str, known_hosts: Path) -> list[str]:
    """The argv of ssh: this destination, this key, this host key, no terminal, no forwarding, nothing of the account's own."""
    settings = {
        "Port": port,
        "HostKeyAlias": alias,
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": known_hosts,
        "GlobalKnownHostsFile": "/dev/null",
        "UpdateHostKeys": "no",
        "IdentityFile": key,
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "PreferredAuthentications": "publickey",
        "BatchMode": "yes",
        "ConnectTimeout": 3,
        "ControlMaster": "no",
        "ControlPath": "none",
        "ClearAllForwardings": "yes",
        "LogLevel": "ERROR",
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    # The command is the owner's (ForceCommand); what stands here only keeps ssh from asking for a shell.
    return ["/usr/bin/ssh", "-F", "none", "-T", *options, f"{account}@{gateway}", "control"]


class Line:
    """The line to one destination; `argv` is ssh's, `knock` the address and port to try before (None: none)."""

    def __init__(self, argv: Sequence[str], knock: tuple[str, int] | None = None) -> None:
        self._argv = tuple(argv)
        self._knock = knock
        self._ssh: asyncio.subprocess.Process | None = None
        self._alone = asyncio.Lock()

    async def ask(self, request: Request, *, patience: float = 0.0) -> Answer:
        """The answer to `request`; while the line is down, tries again for `patience` seconds.

        Raises LineRefusedError when the other side says no, LineDownError when nobody answers or it can't.
        """
        until = asyncio.get_running_loop().time() + patience
        while True:
            try:
                async with self._alone:
                    return await self._ask(request)
            except LineDownError as error:
                # Another host key is no matter of time.
                if error.reason is Reason.HOST_KEY_CHANGED or asyncio.get_running_loop().time() >= until:
                    raise
                await asyncio.sleep(PAUSE_S)

    async def _ask(self, request: Request) -> Answer:
        try:
            line = await self._exchange(msgspec.json.encode(request) + b"\n")
        except TimeoutError as error:
            await self.close()
            raise LineDownError("no answer in time", Reason.DESTINATION_DOWN) from error
        except (OSError, ValueError) as error:  # ValueError: a line longer than the limit
            # Where ssh has begun, it knows more than that its pipe is broken.
            said = await self._last_words() if self._ssh else os.strerror(getattr(error, "errno", None) or 0)
            await self.close()
            raise LineDownError(f"no answer: {error}; {said}", classify(said)) from error
        except BaseException:
            # The answer that is still to come would be taken for the next question's.
            await self.close()
            raise
        if not line.endswith(b"\n"):
            said = await self._last_words()
            await self.close()
            raise LineDownError(f"the connection ended{': ' if said else ''}{said}", classify(said))
        try:
            answer: Answer = msgspec.json.decode(line, type=Answer)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            await self.close()
            raise LineDownError(f"not an answer: {error}") from error
        if isinstance(answer, Refused):
            raise LineRefusedError(answer.reason)
        if isinstance(answer, Unable):
            raise LineDownError(answer.reason)
        return answer

    async def _exchange(self, line: bytes) -> bytes:
        limit = ANSWER_S
        if self._ssh is None or self._ssh.returncode is not None:
            await self._reach()
            pipe, limit = asyncio.subprocess.PIPE, LOGIN_S
            self._ssh = await asyncio.create_subprocess_exec(
                *self._argv, stdin=pipe, stdout=pipe, stderr=pipe, limit=LINE_LIMIT, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
            )
        source, target = self._ssh.stdin, self._ssh.stdout
        assert source is not None  # noqa: S101  (for the type checker: both are pipes)
        assert target is not None  # noqa: S101
        async with asyncio.timeout(limit):
            source.write(line)
            await source.drain()
            return await target.readline()

    async def _reach(self) -> None:
        """Return when the gateway's port can be reached: a plain connection gives up sooner than ssh, and costs nothing."""
        if self._knock is not None:
            async with asyncio.timeout(KNOCK_S):
                _, writer = await asyncio.open_connection(*self._knock)
            writer.close()

    async def _last_words(self) -> str:
        """What ssh said at its end."""
        if self._ssh is None or self._ssh.stderr is None:
            return ""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                return (await self._ssh.stderr.read(2000)).decode(errors="replace").strip()
        return ""

    async def close(self) -> None:
        """End the connection, if there is one; the next question makes another."""
        ssh, self._ssh = self._ssh, None
        if ssh is not None:
            with contextlib.suppress(ProcessLookupError):
                ssh.kill()
            await ssh.wait()
