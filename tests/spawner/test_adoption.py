"""What becomes of sessions that an earlier hub process left, and of jobs whose answer was lost; a stand-in is the batch system."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from enclave.messages import Reason
from spawner import adoption as rooms
from spawner.adoption import Adoption
from spawner.schedulers.base import Found, JobState, SchedulerError
from spawner.sessions import Session, Sessions, State
from spawner.store.database import Database
from spawner.store.records import Records
from tests.spawner.stage import record


class Queue:
    """Knows jobs by name; silent while it is `down`."""

    def __init__(self) -> None:
        self.down = False
        self.jobs: list[Found] = []

    def know(self, account, job=""):
        pass

    async def find(self, names):
        if self.down:
            raise SchedulerError(Reason.SCHEDULER_DOWN, "no answer")
        return tuple(each for each in self.jobs if each.name in names)


class House:
    """An adoption with everything around it that it asks."""

    def __init__(self, folder) -> None:
        database = Database(f"sqlite:///{folder}/renkei.sqlite")
        database.upgrade()
        log = logging.getLogger("adoption")
        self.queue, self.sessions, self.records = Queue(), Sessions(), Records(database, log)
        self.ended: list[tuple[str, Reason]] = []
        self.cancelled: list[str] = []
        self.adoption = Adoption(
            sessions=self.sessions,
            records=self.records,
            scheduler=self.queue,
            attend=self.attend,
            insist=lambda job, account: self.cancelled.append(job),
            end=self.end,
            log=log,
        )

    def attend(self, session):
        session.keeper = self.records
        self.sessions.add(session)

    async def end(self, session, reason):
        self.ended.append((session.id, reason))
        self.sessions.close(session)
        session.enter(State.ENDED)
        return True

    async def begun(self, **saved) -> Session:
        """The session that a new hub process finds where the one before it left this."""
        await self.records.now(record(**saved))
        self.adoption.load()
        self.adoption.begin()
        return next(iter(self.sessions))


@pytest.fixture
def house(tmp_path, monkeypatch):
    for name, value in {"SURE_S": 0.2, "LOOK_S": 0.02, "SWEEP_S": 0.02, "CLAIM_S": 0.2}.items():
        monkeypatch.setattr(rooms, name, value)
    return House(tmp_path)


async def until(condition) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not come to that")


def named(saved, job: str = "77", uid: int | None = None, state: JobState = JobState.PENDING) -> Found:
    return Found(name=f"renkei-{saved.id}", job=job, uid=saved.uid if uid is None else uid, state=state)


async def test_a_job_is_found_by_name_and_account_after_any_silence(house):
    house.queue.down = True
    session = await house.begun(state=State.SUBMITTING, job="")
    # Somebody else calls a job of theirs the same: it is not ours.
    house.queue.jobs = [named(session.saved, "66", uid=session.saved.uid + 1), named(session.saved)]
    await asyncio.sleep(0.4)
    assert (session.saved.state, house.ended) == (State.SUBMITTING, [])

    house.queue.down = False
    await until(lambda: session.saved.job)
    assert (session.saved.state, session.saved.job) == (State.QUEUED, "77")


async def test_of_two_jobs_that_are_called_the_same_neither_is_taken_for_the_sessions(house):
    house.queue.down = True
    session = await house.begun(state=State.SUBMITTING, job="", times={State.SUBMITTING: time.time()})
    house.queue.jobs, house.queue.down = [named(session.saved, "66"), named(session.saved)], False
    assert await house.adoption.search(session, 0.1) is None
    await until(lambda: house.ended)
    house.adoption.doubt(session.saved)
    await until(lambda: len(house.cancelled) == 2)

    assert (session.saved.job, sorted(house.cancelled)) == ("", ["66", "77"])


async def test_good_answers_without_a_job_end_the_session(house):
    session = await house.begun(state=State.SUBMITTING, job="")
    await until(lambda: house.ended)

    assert house.ended == [(session.id, Reason.SCHEDULER_DOWN)]


async def test_a_start_waits_until_it_is_known_whether_there_is_a_job(house):
    house.queue.down = True
    session = await house.begun(state=State.SUBMITTING, job="")
    taking = asyncio.create_task(house.adoption.waiting_for("tanaka", ""))
    await asyncio.sleep(0.1)
    assert not taking.done()

    house.queue.jobs, house.queue.down = [named(session.saved)], False
    assert await taking is session
    assert await house.adoption.waiting_for("tanaka", "other") is None
    assert await house.adoption.waiting_for("suzuki", "") is None


@pytest.mark.parametrize("state", [State.QUEUED, State.STARTING, State.RUNNING])
async def test_what_nobody_claims_is_ended(house, state):
    session = await house.begun(state=state)
    await until(lambda: house.ended)

    assert house.ended == [(session.id, Reason.INTERNAL)]


async def test_what_is_claimed_goes_on(house):
    session = await house.begun(state=State.RUNNING)
    session.claimed = True
    await asyncio.sleep(0.4)

    assert house.ended == []


async def test_what_was_ending_is_ended_again(house):
    session = await house.begun(state=State.ENDING)
    await until(lambda: house.ended)

    assert house.ended == [(session.id, Reason.CANCELLED)]


async def test_a_job_that_appears_late_is_cancelled_if_it_is_ours_and_not_over(house):
    saved = record(job="", times={State.SUBMITTING: time.time()})
    house.adoption.doubt(saved)
    await asyncio.sleep(0.1)
    others = named(saved, "65", uid=saved.uid + 1)
    house.queue.jobs = [others, named(saved, "66", state=JobState.ENDED), named(saved, "77")]
    await until(lambda: house.cancelled)
    await asyncio.sleep(0.1)

    assert house.cancelled == ["77"]


async def test_what_was_never_handed_in_leaves_no_doubt(house):
    house.adoption.doubt(record(job="", times={State.WISH: time.time()}))
    await asyncio.sleep(0.05)

    assert house.adoption._sweeping is None
