"""Between live sessions and the console, which is another process: both write rows, and each reads the other's.

The hub writes what sessions do and wait for just now; the console writes messages and extensions, which a session hears of at its
next pulse.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from logging import Logger

from sqlalchemy import select

from enclave.messages import Notice
from spawner.console.tables import ActivityRow, ExtensionRow, NoticeRow
from spawner.schedulers.base import JobState
from spawner.schedulers.watcher import Watcher
from spawner.sessions import Session, Sessions
from spawner.store.database import Database, DatabaseDownError
from spawner.store.tables import SessionRow

EVERY_S = 5.0
"""Seconds between two looks; a session's own pulse comes every 30 s."""

SHOWN = 20
"""Messages of one session that are in sight at once: what `PulseAnswer` takes."""

WORD_LENGTH = 200


class Mailbox:
    """The rows of the sessions that are not over."""

    def __init__(self, database: Database, sessions: Sessions, watcher: Watcher, log: Logger) -> None:
        self._database = database
        self._sessions = sessions
        self._watcher = watcher
        self._log = log
        self._said: dict[str, tuple[object, ...]] = {}
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Look every few seconds from now on."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def close(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.turn()
            except DatabaseDownError as error:
                self._log.warning("Messages and extensions wait for the database: %s", error)
            except Exception:  # noqa: BLE001  (logged; one bad row must not stop it for everybody)
                self._log.exception("Messages and extensions could not be looked for")

    async def turn(self) -> None:
        """Write what is new of each session, and take over what the console has left. Raises DatabaseDownError."""
        live = {session.id: session for session in self._sessions}
        if not live:
            return
        now = {name: self._activity(session) for name, session in live.items()}
        news = [row for name, (said, row) in now.items() if self._said.get(name) != said]
        notices, deadlines = await asyncio.to_thread(self._exchange, tuple(live), news)
        self._said = {name: said for name, (said, _) in now.items()}
        for name, session in live.items():
            session.notices = notices.get(name, ())
            if name in deadlines:
                session.saved.deadline = deadlines[name]
                session.keep()
                self._log.info("Session %s may go on longer", name)

    def _activity(self, session: Session) -> tuple[tuple[object, ...], ActivityRow]:
        """What is to be written of `session`, and what of it is compared to know whether it is new."""
        pulse, status = session.pulse, self._watcher.status(session.saved.job)
        waits = status.state is JobState.PENDING
        row = ActivityRow(
            session=session.id,
            at=session.pulse_time if pulse is not None else time.time(),
            kernels_busy=pulse.kernels_busy if pulse is not None else None,
            gpu_busy=pulse.gpu_busy if pulse is not None else None,
            node=status.node,
            waits_for=status.reason[:WORD_LENGTH] if waits else "",
            before=status.before if waits else None,
            expected=status.starts if waits else None,
        )
        known = session.pulse_time, row.kernels_busy, row.gpu_busy, row.node, row.waits_for, row.before, row.expected
        return known, row

    def _exchange(
        self, live: Collection[str], news: Collection[ActivityRow]
    ) -> tuple[dict[str, tuple[Notice, ...]], dict[str, float]]:
        wanted = select(ExtensionRow).where(ExtensionRow.applied.is_(None), ExtensionRow.session.in_(live))
        with self._database.read() as look:
            notices: dict[str, tuple[Notice, ...]] = {}
            for row in look.scalars(select(NoticeRow).where(NoticeRow.session.in_(live)).order_by(NoticeRow.id)):
                notices[row.session] = (*notices.get(row.session, ()), Notice(id=str(row.id), text=row.text))[-SHOWN:]
            waiting = look.scalars(wanted).first() is not None
        deadlines: dict[str, float] = {}
        if not waiting and not news:
            return notices, deadlines
        with self._database.write() as change:
            for each in news:
                change.merge(each)
            for more in change.scalars(wanted):
                row_of = change.get_one(SessionRow, more.session)
                row_of.deadline += more.seconds
                more.applied = time.time()
                deadlines[more.session] = row_of.deadline
        return notices, deadlines
