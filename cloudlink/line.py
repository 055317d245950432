"""The connection that orders everything: made, noticed dead, made again, until the time for that is up."""

from __future__ import annotations

import contextlib
import functools
import random
import re
import time
from collections.abc import Callable

from cloudlink.connection import Connection, Ending
from cloudlink.loop import Loop, Timer
from cloudlink.ssh import Ssh, versions

_REFUSED = re.compile(r"permission denied|too many authentication|host key verification|identification has changed", re.IGNORECASE)
_LONGEST_REFUSED = 30.0
"""Seconds between attempts that the destination refuses: sshd holds failures against the address that they come from, which behind
a gateway is everybody's."""
_LONGEST = 1.0
_LOOK_SECONDS = 0.5
"""Between two looks: whether a key or certificate has been renewed, while the destination refuses; whether the line is silent."""
_SETTLED_SECONDS = 2.0
"""A connection that lived as long makes the next failure a first one."""
_HANG_UPS = 5
"""So many times in a row a server may hang up, over an unbroken line and as soon as it was asked something, before that is taken
for its answer: a program that reads a damaged file must not keep everybody waiting for as long as a cut may last."""
SLOW_SECONDS = 30.0
"""Between attempts when the time is up."""
SILENT_SECONDS = 2.5
"""The other side's kernel is heard every second (`cloudlink.dial`). After so much silence another connection is tried beside this
one, which is given up when the other gets through and it is silent still: it waits for TCP's own next attempt, which comes the
later the longer the outage was."""
_SPARE_SECONDS = 5.0
"""After a connection is up, the ssh of the next one is started: when programs have gone on, and a processor has time for it."""


def pause(failures: int, *, refused: bool, dice: float) -> float:
    """Seconds before the next attempt, after so many in a row that failed; `dice` is a random number from 0 to 1."""
    if not failures and not refused:
        return 0.0
    longest = _LONGEST_REFUSED if refused else _LONGEST
    return min(longest, 0.25 * 2.0 ** min(failures, 10)) * (0.5 + dice / 2)


class Line:
    """Calls `up` with every connection that is ready, `down` when one is lost, `given_up` when there was none for `budget` seconds.

    `over` ends the session: the first connection failed (with ssh's exit code), or the destination speaks no SFTP. `drained` is
    called whenever ssh has taken some of what waited for it.
    """

    def __init__(
        self,
        loop: Loop,
        ssh: Ssh,
        budget: float,
        say: Callable[[str], None],
        *,
        up: Callable[[Connection], None],
        down: Callable[[], None],
        given_up: Callable[[], None],
        over: Callable[[int], None],
        drained: Callable[[], None],
    ) -> None:
        self._loop, self._ssh, self._budget, self._say = loop, ssh, budget, say
        self._up, self._down, self._given_up, self._over = up, down, given_up, over
        self._drained = drained
        self._was_up = False
        self._up_since = 0.0
        self._failures = 0
        self._hang_ups = 0
        self._refused = False
        self._next: Timer | None = None
        """The next attempt, while it is waited for."""
        self._tried_with = versions(ssh.credentials)
        self._old: list[Connection] = []
        self._now: Connection | None = None
        self._spare: Connection | None = None
        """The next one: its ssh has started, and connects when it is told to."""
        self._stopped = False
        self.paused_since: float | None = None
        """time.monotonic() when the connection was lost; None while there is one."""
        self.cuts = 0

    def start(self) -> None:
        """Connect for the first time."""
        self._attempt()

    def stop(self) -> None:
        """End the connection; nothing is called any more."""
        self._stopped = True
        for connection in (self._now, self._spare):
            if connection is not None:
                connection.close("the session ends")
        for old in self._old:
            old.abort()

    def _attempt(self) -> None:
        if not self._stopped:
            self._refused = False
            self._next = None
            self._tried_with = versions(self._ssh.credentials)
            try:
                self._now, self._spare = self._spare or self._made(), None
            except OSError as error:
                self._not_made(error)
            else:
                self._now.dial(patient=self._was_up)

    def _not_made(self, error: OSError) -> None:
        """The node gives no process or descriptor, since somebody has taken all: that is no reason to lose open files."""
        self._hear(f"cloudlink: ssh can't be started: {error}")
        if self._was_up:
            self._try_later()
        else:
            self._over(255)

    def _made(self) -> Connection:
        return Connection(
            self._loop, self._ssh, self._hear, ready=self._ready, ended=self._ended, drained=self._drained, connected=self._reached
        )

    def _prepare(self, beside: Connection) -> None:
        """Start the next one's ssh, if `beside` is still the connection."""
        if beside is self._now and self._spare is None and not self._stopped:
            with contextlib.suppress(OSError):
                # It is made when it is needed then.
                self._spare = self._made()

    def _listen(self, to: Connection) -> None:
        """Whether the line is silent."""
        if to is not self._now or self._stopped:
            return
        if to.silence > SILENT_SECONDS:
            self._prepare(to)
            if self._spare is not None:
                self._spare.dial(patient=True)
        self._loop.later(_LOOK_SECONDS, functools.partial(self._listen, to))

    def _reached(self, connection: Connection) -> None:
        """There is a TCP connection: ssh reads key and certificate after that."""
        self._tried_with = versions(self._ssh.credentials)
        if connection is not self._spare or self._now is None:
            return
        if self._now.silence > SILENT_SECONDS:
            self._now.close("it is silent, and another connection gets through")
        else:
            connection.close("the line is back")

    def _hear(self, text: str) -> None:
        if _REFUSED.search(text):
            self._refused = True
        # What ssh says of every attempt of a long cut would drown what it said first.
        if text and (not self._was_up or self._failures <= 1):
            self._say(text)

    def _ready(self, connection: Connection) -> None:
        for old in self._old:
            # Only now: a reset that is sent while the line is dead is lost, and what was under way before it could still arrive.
            old.abort()
        self._old.clear()
        self._was_up, self._up_since = True, time.monotonic()
        if self.paused_since is not None:
            self._say(f"cloudlink: the line is back after {time.monotonic() - self.paused_since:.1f} s")
            self.paused_since = None
        self._up(connection)
        if self._ssh.dials:
            self._loop.later(_SPARE_SECONDS, functools.partial(self._prepare, connection))
            self._listen(connection)

    def _ended(self, connection: Connection, ending: Ending) -> None:
        if connection is self._spare:
            # It never said anything that could come too late.
            self._spare = None
            connection.abort()
            return
        self._now = None
        self._old.append(connection)
        if self._stopped:
            return
        if ending.hostile:
            self._say(f"cloudlink: the destination sent what is no SFTP ({ending.why}); the session ends")
            self._over(1)
        elif not self._was_up:
            if ending.why:
                # Where it was not ssh that gave up, nobody has said why yet.
                self._say(f"cloudlink: {ending.why}")
            self._over(ending.code if ending.code > 0 else 255)
        else:
            self._again(connection, ending)

    def _again(self, connection: Connection, ending: Ending) -> None:
        """Make the next one, at once or after a pause."""
        now = time.monotonic()
        if ending.greeted:
            settled = now - self._up_since > _SETTLED_SECONDS
            if settled:
                self._failures = 0
            self._hang_ups = self._hang_ups + 1 if ending.unbroken and not settled else 0
            if self._hang_ups >= _HANG_UPS:
                self._say("cloudlink: the destination hangs up whenever it is asked; who waits gets an error, the session ends")
                self._over(1)
                return
            self.cuts += 1
            self.paused_since = now
            self._say("cloudlink: the line is cut; everybody waits, nothing is lost")
            self._loop.later(self._budget, functools.partial(self._check_budget, now))
            self._down()
        elif not ending.connected:
            # Nothing to abort.
            self._old.remove(connection)
        if self._spare is not None and self._spare.dialled:
            # It has begun already, when the line fell silent.
            self._failures += 1
            self._attempt()
            return
        self._try_later()
        if self._refused:
            self._loop.later(_LOOK_SECONDS, self._look)

    def _try_later(self) -> None:
        """Wait, the longer the more attempts have failed."""
        given_up = self.paused_since is not None and time.monotonic() - self.paused_since > self._budget
        wait = SLOW_SECONDS if given_up else pause(self._failures, refused=self._refused, dice=random.random())  # noqa: S311  (to spread attempts)
        self._failures += 1
        self._next = self._loop.later(wait, self._attempt)

    def _look(self) -> None:
        """Whoever was refused is perhaps let in with what he has been given since."""
        if self._next is None:
            return
        if versions(self._ssh.credentials) != self._tried_with:
            self._next.cancel()
            self._failures = 0
            self._attempt()
        else:
            self._loop.later(_LOOK_SECONDS, self._look)

    def _check_budget(self, since: float) -> None:
        if self.paused_since == since:
            self._say(f"cloudlink: no line for {self._budget:.0f} s: whoever waits gets an error")
            self._given_up()
