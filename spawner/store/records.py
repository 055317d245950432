"""Sessions in the database: written before what they say is done, found again by the next hub process.

One thread writes for everybody, in the order in which it was told. What has to be on the disk before the next step waits for
`now`; the rest is written `later`, again and again until the database takes it.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from logging import Logger

from sqlalchemy import select

from enclave.messages import Reason
from spawner.authority.protocol import Account
from spawner.options import Request
from spawner.sessions import Saved, State
from spawner.store.database import Database, DatabaseDownError
from spawner.store.tables import SessionRow

AGAIN_S = 2.0
"""Seconds between two attempts to write what the database did not take."""

DOUBT_S = 900.0
"""How long, in seconds, a job may still appear whose answer was lost: longer than sbatch itself tries."""

SAME = (
    "id", "user", "server", "account", "uid", "job", "address", "port", "key_hash", "ticket_hash", "ticket_shown",
    "ssh_public_key", "deadline", "began", "certificates", "first_serial", "last_serial",
)  # fmt: skip
"""What a row and a `Saved` call by the same name."""

TIMES = {state: "wished" if state is State.WISH else state.value for state in State}
"""The column of each state's time."""


class Records:
    """The sessions of `database`; a `spawner.sessions.Keeper`."""

    def __init__(self, database: Database, log: Logger) -> None:
        self._database = database
        self._log = log
        self._thread = ThreadPoolExecutor(1, "records")
        self._left: dict[str, Saved] = {}
        self._writing: asyncio.Task[None] | None = None

    def later(self, saved: Saved) -> None:
        """Write `saved` down as it is when its turn comes."""
        self._left[saved.id] = saved
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_all())

    async def now(self, saved: Saved) -> None:
        """Write `saved` down. Raises DatabaseDownError."""
        await self._write([saved])
        # Whatever was said before is in there; what was said meanwhile comes after.

    def unfinished(self) -> list[Saved]:
        """Every session that is not over, oldest first. Blocks. Raises DatabaseDownError."""
        wanted = select(SessionRow).where(SessionRow.state != State.ENDED).order_by(SessionRow.wished)
        with self._database.read() as session:
            return [saved_of(row) for row in session.scalars(wanted)]

    def doubtful(self) -> list[Saved]:
        """Those lately over that were handed in and never learnt of a job: it may yet appear. Blocks. Raises DatabaseDownError."""
        wanted = select(SessionRow).where(
            SessionRow.state == State.ENDED,
            SessionRow.job == "",
            SessionRow.submitting > time.time() - DOUBT_S,
        )
        with self._database.read() as session:
            return [saved_of(row) for row in session.scalars(wanted)]

    def last_ended(self, most: int) -> list[Saved]:
        """The sessions that are over, `most` at most, those that ended last; oldest first. Blocks. Raises DatabaseDownError."""
        wanted = select(SessionRow).where(SessionRow.state == State.ENDED).order_by(SessionRow.ended.desc()).limit(most)
        with self._database.read() as session:
            return [saved_of(row) for row in session.scalars(wanted)][::-1]

    async def _write_all(self) -> None:
        while self._left:
            left, self._left = self._left, {}
            try:
                await self._write(list(left.values()))
            except DatabaseDownError as error:
                self._log.error("%d sessions wait for the database: %s", len(left), error)
                self._left = left | self._left
                await asyncio.sleep(AGAIN_S)

    async def _write(self, sessions: list[Saved]) -> None:
        # Copied here, in the loop's thread, so that no half of a change is written.
        rows = [values_of(each) for each in sessions]
        await asyncio.get_running_loop().run_in_executor(self._thread, self._merge, rows)

    def _merge(self, rows: list[dict[str, object]]) -> None:
        with self._database.write() as session:
            for row in rows:
                session.merge(SessionRow(**row))


def values_of(saved: Saved) -> dict[str, object]:
    """The columns of `saved`."""
    request, cloud = saved.request, saved.cloud
    return {
        **{name: getattr(saved, name) for name in SAME},
        "state": saved.state.value,
        "reason": saved.reason.value if saved.reason else None,
        "words": "\n".join(saved.words),
        **{column: saved.times.get(state) for state, column in TIMES.items()},
        "wished": saved.times.get(State.WISH, 0.0),
        "resource_group": request.resource_group,
        "destination": request.destination,
        "gpus": request.gpus,
        "hours": request.hours,
        "language": request.language,
        "cloud_account": cloud.account,
        "cloud_folder": cloud.folder,
    }


def saved_of(row: SessionRow) -> Saved:
    """What `row` says."""
    times = {state: getattr(row, column) for state, column in TIMES.items()}
    return Saved(
        **{name: getattr(row, name) for name in SAME},
        state=State(row.state),
        reason=Reason(row.reason) if row.reason else None,
        words=tuple(row.words.splitlines()),
        times={state: at for state, at in times.items() if at is not None},
        request=Request(
            resource_group=row.resource_group,
            destination=row.destination,
            gpus=row.gpus,
            hours=row.hours,
            language=row.language,
        ),
        cloud=Account(destination=row.destination, account=row.cloud_account, folder=row.cloud_folder),
    )
