"""What a start asks before its job is submitted, and what settles a session's charge when it is over.

The ledger blocks, so it is asked in threads. Where the database can't be reached nobody is let in, and nobody who is in notices.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Callable, Collection, Coroutine, Mapping
from logging import Logger
from typing import Any, Protocol

import msgspec

from spawner.quota.ledger import Entry, Ledger, Source
from spawner.quota.policy import HOUR_S, Refused, Standing, Wish
from spawner.schedulers.base import UNKNOWN, JobState, JobStatus, SchedulerError, Times
from spawner.store.database import DatabaseDownError

PAUSE_S = 1.0
"""Seconds between two questions after a job's end; doubled each time, up to a minute."""

NEW_S = 120.0
"""Seconds in which a session that was reserved has been registered; before, nobody takes it for one that was lost."""

NIGHT = 3
"""The hour of the site's clock after which the day's charges are compared with the accounting."""

BACK_S = 7 * 24 * HOUR_S
"""How far back, in seconds, that comparison looks: accounting may itself have been away for some days."""


class QuotaError(Exception):
    """A rule forbids the wish; the text is for the log."""

    def __init__(self, refused: Refused) -> None:
        rule = refused.rule
        whom = f"{rule.scope} {rule.subject}".strip()
        super().__init__(
            f"rule {rule.id} ({rule.kind}, {whom}): {refused.left:g} left, {refused.wanted:g} wanted, fits {refused.when}"
        )
        self.refused = refused


class Over(msgspec.Struct, frozen=True, kw_only=True):
    """What the hub knows of a session that is over."""

    session: str
    user: str
    job: str
    """Empty: it never had one."""
    began: float | None
    """When the hub heard of its start."""
    status: JobStatus
    """What the batch system said last."""


class Lookup(Protocol):
    """Where single jobs are asked for."""

    async def query(self, jobs: Collection[str]) -> Mapping[str, JobStatus]:
        """What is known of `jobs`. Raises SchedulerError."""


class Accounts(Protocol):
    """The batch system's accounting."""

    async def times(self, jobs: Collection[str]) -> Mapping[str, Times]:
        """When each of `jobs` ran. Raises SchedulerError."""


Holding = Callable[[], Mapping[str, tuple[str, float | None]]]
"""Every session that is not over, with its job and when that began, as far as the hub knows."""


class Gate:
    """One a hub process. `open` once; what it does by itself ends with `close`."""

    def __init__(self, ledger: Ledger, lookup: Lookup, accounting: Accounts | None, holding: Holding, log: Logger) -> None:
        self._ledger = ledger
        self._lookup = lookup
        self._accounting = accounting
        self._holding = holding
        self._log = log
        self._told: set[str] = set()
        self._settling: dict[asyncio.Task[None], str] = {}
        self._nightly: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to look after charges; from here on there is a loop."""
        self._nightly = asyncio.ensure_future(self._every_night())

    def close(self) -> None:
        """Stop; what is not settled yet is found at the next start."""
        for task in (self._nightly, *self._settling):
            if task is not None:
                task.cancel()

    async def reserve(self, wish: Wish) -> None:
        """Reserve `wish`. Raises QuotaError and DatabaseDownError."""
        await self._up_to_date(wish.user)
        reserving = asyncio.ensure_future(asyncio.to_thread(self._ledger.reserve, wish))
        try:
            refused = await asyncio.shield(reserving)
        except asyncio.CancelledError:
            # The database may have it already: what belongs to no session would be nobody's to give back.
            await asyncio.wait([reserving])
            self.closed(Over(session=wish.session, user=wish.user, job="", began=None, status=UNKNOWN))
            raise
        if refused is not None:
            raise QuotaError(refused)

    async def standing(self, user: str, groups: Collection[str]) -> tuple[Standing, ...]:
        """How `user`, a member of the hub's `groups`, stands with every rule. Raises DatabaseDownError."""
        await self._up_to_date(user)
        return await asyncio.to_thread(self._ledger.standing, user, tuple(groups), time.time())

    def closed(self, over: Over) -> None:
        """A session is over: it is settled by the batch system's own times, without anybody waiting."""
        task = asyncio.ensure_future(self._logged(self._settle(over), f"session {over.session} could not be settled"))
        self._settling[task] = over.user
        task.add_done_callback(self._settling.pop)

    async def reconcile(self, now: float) -> None:
        """Settle what nobody settled, and hold the last days' charges against the accounting. Raises DatabaseDownError."""
        alive = self._holding()
        for entry in await asyncio.to_thread(self._ledger.open_charges):
            if entry.charge.session not in alive and entry.charge.at < now - NEW_S:
                await self._settle_lost(entry, now)
        if self._accounting is None:
            return
        charged = await asyncio.to_thread(self._ledger.settled_since, now - BACK_S)
        try:
            times = await self._accounting.times([each.job for each in charged])
        except SchedulerError as error:
            self._log.error("The charges were not compared with the accounting: %s", error)
            return
        for each in await asyncio.to_thread(self._ledger.reconcile, times, now - BACK_S, now):
            self._log.warning(
                "Session %s (job %s): charged %.0f s, the batch system counts %.0f s",
                each.session,
                each.job,
                each.charged_s,
                each.counted_s,
            )

    async def _up_to_date(self, user: str) -> None:
        """What `user` has ended is settled where the batch system has said so, and what has begun is known."""
        settling = [task for task, whose in self._settling.items() if whose == user]
        if settling:
            await asyncio.wait(settling, timeout=2 * PAUSE_S)
        await self._tell_begun()

    async def _tell_begun(self) -> None:
        for session, (job, began) in self._holding().items():
            if began is not None and session not in self._told:
                await asyncio.to_thread(self._ledger.began, session, job, began)
                self._told.add(session)

    async def _settle(self, over: Over) -> None:
        self._told.discard(over.session)
        if not over.job:
            await self._write(over.session, "", Times(began=None, ended=time.time()), Source.HUB)
            return
        status: JobStatus | None = over.status
        pause, missing = PAUSE_S, 0
        while status is None or (status.state is not JobState.ENDED and missing < 2):
            # What still runs, or is being cleaned up, holds what it has, and so does what nobody tells of.
            if status is not over.status:
                await asyncio.sleep(pause)
                pause = min(60.0, 2 * pause)
            status = await self._ask(over.job)
            missing += status is not None and status.state is JobState.UNKNOWN
        times = _times(status)
        if times is not None:
            await self._write(over.session, over.job, times, Source.SCHEDULER)
        else:
            await self._write(over.session, over.job, Times(began=over.began, ended=time.time()), Source.HUB)

    async def _ask(self, job: str) -> JobStatus | None:
        """What the batch system says of `job`, UNKNOWN where it no longer knows it; None when it does not answer."""
        try:
            return (await self._lookup.query([job])).get(job, UNKNOWN)
        except SchedulerError as error:
            self._log.warning("Nobody can tell when job %s ended: %s", job, error)
            return None

    async def _write(self, session: str, job: str, times: Times, source: Source) -> None:
        """Settle, however long the database takes."""
        while True:
            try:
                await asyncio.to_thread(self._ledger.settle, session, job, times, source)
            except DatabaseDownError as error:
                self._log.error("Session %s waits to be settled: %s", session, error)
                await asyncio.sleep(5 * PAUSE_S)
            else:
                return

    async def _settle_lost(self, entry: Entry, now: float) -> None:
        """Settle a charge whose session is over though nobody settled it: the hub was away, or it was never registered."""
        charge, job = entry.charge, entry.job
        if not job:
            await asyncio.to_thread(self._ledger.void, charge.session, now)
            return
        times = await self._known(job)
        if times is not None and times.ended is None:
            return
        source = Source.HUB if times is None else Source.SCHEDULER
        # Nobody knows it any more: it had what was reserved for it, at most.
        longest = Times(began=charge.began, ended=min(now, charge.until or now))
        await asyncio.to_thread(self._ledger.settle, charge.session, job, times or longest, source)
        self._log.warning(
            "Session %s (job %s) was over and not settled; now it is, by the times of the %s", charge.session, job, source
        )

    async def _known(self, job: str) -> Times | None:
        """When `job` ran, by the batch system or its accounting; None where neither knows it."""
        status = await self._ask(job)
        if status is None:
            return UNTOLD
        if status.state is not JobState.UNKNOWN:
            return _times(status) or Times(began=status.starts, ended=None)
        if self._accounting is None:
            return None
        try:
            return (await self._accounting.times([job])).get(job)
        except SchedulerError as error:
            self._log.warning("The accounting does not tell when job %s ended: %s", job, error)
            return UNTOLD

    async def _every_night(self) -> None:
        """Once soon after the start, when whatever lives has been taken up; then every night."""
        wait = NEW_S
        while True:
            await asyncio.sleep(wait)
            await self._logged(self.reconcile(time.time()), "the charges could not be compared")
            wait = until_night(time.time(), self._ledger.zone)

    async def _logged(self, work: Coroutine[Any, Any, None], failure: str) -> None:
        try:
            await work
        except Exception:  # noqa: BLE001  (a loop of its own goes on)
            # It is nobody's request: the log is the only place to say so, and the next night comes.
            self._log.exception("Quotas: %s", failure)


UNTOLD = Times(began=None, ended=None)
"""Nobody answers now: it may still run."""


def _times(status: JobStatus) -> Times | None:
    """The times of a job that has ended, where `status` has them; one that was cancelled in the queue never had a node."""
    if status.state is not JobState.ENDED or status.ends is None:
        return None
    return Times(began=status.starts if status.node else None, ended=status.ends)


def until_night(now: float, zone: dt.tzinfo) -> float:
    """Seconds from `now` until the next comparison."""
    here = dt.datetime.fromtimestamp(now, zone)
    tonight = here.replace(hour=NIGHT, minute=0, second=0, microsecond=0)
    if tonight <= here:
        tonight = (tonight.replace(tzinfo=None) + dt.timedelta(days=1)).replace(tzinfo=zone)
    return tonight.timestamp() - now
