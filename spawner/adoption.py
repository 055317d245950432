"""What a hub that has just started does with the sessions that the one before it left, and jobs whose answer was lost.

A session that waits is taken up by a new start of the same person's server; one that runs is claimed by JupyterHub's server of it.
What nobody takes is cancelled. What the batch system doesn't say is waited for: silence is no answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from logging import Logger

import msgspec

from enclave.messages import Reason
from spawner.schedulers.base import Found, JobState, Scheduler, SchedulerError
from spawner.sessions import Saved, Session, Sessions, State
from spawner.store.records import DOUBT_S, Records

SURE_S = 10.0
"""Seconds of good answers without a job after which there is none under its name."""

LOOK_S = 1.0
"""Seconds between two questions for a job by its name while somebody waits for the answer."""

SWEEP_S = 20.0
"""Seconds between two questions for jobs that may yet appear."""

CLAIM_S = 120.0
"""Seconds after its start in which JupyterHub knows whose server a running session is."""

Resume = Callable[[Session], Awaitable[None]]
"""Has JupyterHub start the server of a session that waits; returns when that is under way or can't be."""


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """A job that may exist or yet appear, and that nobody needs."""

    name: str
    account: str
    uid: int
    until: float


class Adoption:
    """One a hub process."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        records: Records,
        scheduler: Scheduler,
        attend: Callable[[Session], None],
        insist: Callable[[str, str], None],
        end: Callable[[Session, Reason], Awaitable[bool]],
        log: Logger,
    ) -> None:
        self.resume: Resume | None = None
        self._sessions = sessions
        self._records = records
        self._scheduler = scheduler
        self._attend = attend
        self._insist = insist
        self._end = end
        self._log = log
        self._doubts: dict[str, Doubt] = {}
        self._cancelled: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeping: asyncio.Task[None] | None = None
        self._unsettled: set[str] = set()

    def load(self) -> None:
        """Register every session that is not over. Blocks. Raises DatabaseDownError."""
        for saved in self._records.unfinished():
            self._attend(Session(saved))
        for saved in self._records.doubtful():
            self.doubt(saved)

    def begin(self) -> None:
        """See to each session that `load` found; returns at once."""
        for session in self._sessions:
            self._unsettled.add(session.id)
            self._log.info("Session %s of %s (%s, job %s) was there before this hub", session.id, session.saved.user,
                           session.saved.state, session.saved.job or "not known")  # fmt: skip
            self._later(self._adopt(session))

    def close(self) -> None:
        """Leave the rest to the next process."""
        for task in (*self._tasks, *filter(None, (self._sweeping,))):
            task.cancel()

    async def waiting_for(self, user: str, server: str) -> Session | None:
        """The session that waits for a start of `user`'s server, once it is known whether its job exists."""
        while (session := self.waits(user, server)) is not None and session.id in self._unsettled:
            await session.changed(LOOK_S)
        return session

    def waits(self, user: str, server: str) -> Session | None:
        """The session that waits for a start of `user`'s server, as far as is known now."""
        wanted = (each for each in self._sessions if (each.saved.user, each.saved.server) == (user, server))
        return next((each for each in wanted if each.waiting and not each.claimed), None)

    async def search(self, session: Session, patience_s: float) -> str | None:
        """The number of the session's job, found by its name; None where `patience_s` seconds bring no answer that names one."""
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            found = await self._look(session.saved)
            if found:
                return found.job
            await asyncio.sleep(LOOK_S)
        return None

    def doubt(self, saved: Saved) -> None:
        """The session is over and knows no job: should one appear that was handed in for it, it is cancelled."""
        handed_in = saved.times.get(State.SUBMITTING)
        if handed_in is not None:
            self.disown(saved.id, saved.account, saved.uid, handed_in + DOUBT_S)

    def disown(self, session_id: str, account: str, uid: int, until: float | None = None) -> None:
        """Cancel every job of `account` that is called after this session, also one that appears before `until`."""
        self._scheduler.know(account)
        doubt = Doubt(name=f"renkei-{session_id}", account=account, uid=uid, until=until or time.time() + SURE_S)
        self._doubts[doubt.name] = doubt
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = asyncio.get_running_loop().create_task(self._sweep())

    async def _adopt(self, session: Session) -> None:
        saved = session.saved
        waited = session.waiting
        try:
            if saved.state is State.ENDING:
                await self._end(session, saved.reason or Reason.CANCELLED)
            elif saved.state is State.SUBMITTING:
                await self._find(session)
        finally:
            self._unsettled.discard(session.id)
            session.wake()
        if waited and self.resume is not None:
            # Also where its job was never handed in: whoever waited goes on waiting, for another session.
            await self.resume(session)
        until = time.monotonic() + CLAIM_S
        while not session.claimed and not session.closed and time.monotonic() < until:
            await session.changed(LOOK_S)
        if not session.claimed and not session.closed:
            self._log.error("Nobody owns session %s of %s: it is ended", session.id, saved.user)
            await self._end(session, Reason.INTERNAL)

    async def _find(self, session: Session) -> None:
        """Find the job of a session that was being handed in; without one it is over."""
        sure: float | None = None
        while sure is None or time.monotonic() < sure:
            try:
                found = await self._look(session.saved, strict=True)
            except SchedulerError:
                sure = None
            else:
                if found is not None:
                    session.saved.job = found.job
                    session.enter(State.QUEUED)
                    self._attend(session)
                    return
                sure = sure or time.monotonic() + SURE_S
            await asyncio.sleep(LOOK_S)
        await self._end(session, Reason.SCHEDULER_DOWN)

    async def _look(self, saved: Saved, *, strict: bool = False) -> Found | None:
        """The one job that is called after the session and is its uid's; with `strict` raises SchedulerError where nobody answers.

        Of several none is believed: where sessions run as the person, that person can call a job of theirs the same.
        """
        try:
            found = await self._scheduler.find((f"renkei-{saved.id}",))
        except SchedulerError as error:
            self._log.warning("The job of session %s could not be looked for: %s", saved.id, error)
            if strict:
                raise
            return None
        ours = [each for each in found if each.uid == saved.uid]
        if len(ours) > 1:
            self._log.error("Session %s: several jobs are called after it: %s", saved.id, ", ".join(each.job for each in ours))
        return ours[0] if len(ours) == 1 else None

    async def _sweep(self) -> None:
        while self._doubts:
            try:
                found = await self._scheduler.find(tuple(self._doubts))
            except SchedulerError as error:
                self._log.warning("Jobs that may yet appear could not be looked for: %s", error)
            else:
                for each in found:
                    self._cancel(each)
                self._doubts = {name: each for name, each in self._doubts.items() if each.until > time.time()}
            await asyncio.sleep(SWEEP_S)

    def _cancel(self, found: Found) -> None:
        doubt = self._doubts[found.name]
        if found.uid == doubt.uid and found.state is not JobState.ENDED and found.job not in self._cancelled:
            self._cancelled.add(found.job)
            self._log.error("Job %s (%s) is nobody's: it is cancelled", found.job, found.name)
            self._insist(found.job, doubt.account)

    def _later(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
