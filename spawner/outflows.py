"""What each person's sessions have sent to browsers within a day, as they told; in the database, so that no restart forgets it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from logging import Logger

from sqlalchemy import BigInteger, String, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from spawner.store.database import Database, DatabaseDownError
from spawner.store.tables import Base

DAY_S = 86_400.0


class OutflowRow(Base):
    """What one session had sent when it told last."""

    __tablename__ = "outflow"

    session: Mapped[str] = mapped_column(String(16), primary_key=True)
    user: Mapped[str]
    sent: Mapped[int] = mapped_column(BigInteger)
    """Bytes, since the session's start."""
    at: Mapped[float] = mapped_column(index=True)


class Outflows:
    """One a hub process, which alone writes the table. `load` before the first question."""

    def __init__(self, database: Database, log: Logger, clock: Callable[[], float] = time.time) -> None:
        self.total = 0
        """Bytes that this process was told of."""
        self._database = database
        self._log = log
        self._clock = clock
        self._sessions: dict[str, OutflowRow] = {}
        self._unwritten: set[str] = set()
        self._turn = asyncio.Lock()

    def load(self) -> None:
        """Take up what an earlier process was told. Blocks. Raises DatabaseDownError."""
        with self._database.read() as session:
            rows = session.scalars(select(OutflowRow).where(OutflowRow.at > self._clock() - DAY_S)).all()
        self._sessions = {row.session: row for row in rows}

    async def told(self, session: str, user: str, sent: int) -> None:
        """`session` of `user` has sent `sent` bytes so far. Counts at once; a database that is away gets it with the next word."""
        before = self._sessions.get(session)
        self.total += max(0, sent - (before.sent if before else 0))
        self._sessions[session] = OutflowRow(session=session, user=user, sent=sent, at=self._clock())
        self._unwritten.add(session)
        async with self._turn:
            names, self._unwritten = self._unwritten, set()
            rows = [_copy(self._sessions[name]) for name in names if name in self._sessions]
            try:
                await asyncio.to_thread(self._write, rows)
            except DatabaseDownError as error:
                self._unwritten |= names
                self._log.error("What %d sessions sent to browsers is not in the database: %s", len(rows), error)

    def of(self, user: str) -> int:
        """Bytes that `user`'s sessions have told of within a day."""
        since = self._clock() - DAY_S
        self._sessions = {name: each for name, each in self._sessions.items() if each.at > since}
        return sum(each.sent for each in self._sessions.values() if each.user == user)

    def _write(self, rows: list[OutflowRow]) -> None:
        with self._database.write() as session:
            for row in rows:
                session.merge(row)
            session.execute(delete(OutflowRow).where(OutflowRow.at <= self._clock() - DAY_S))


def _copy(row: OutflowRow) -> OutflowRow:
    """A row of its own for the thread that writes it."""
    return OutflowRow(session=row.session, user=row.user, sent=row.sent, at=row.at)
