"""The end of a session: its job is seen after until the batch system agrees, whoever waits for it or not."""

import asyncio
import json
import logging

import msgspec
import pytest

from enclave.messages import Mechanism, Order, Phase, Reason, decode
from spawner import desk as desks
from spawner import launch
from spawner.desk import Desk
from spawner.schedulers.base import JobState, JobStatus, SchedulerError
from spawner.sessions import Session, State, Step
from tests.spawner.stage import DEMO, JOB, record

RUNNING = JobStatus(state=JobState.RUNNING, node="cx01")


class Stubborn:
    """A batch system that refuses the first `refusals` cancels and then lets a job run for `lingers` more questions."""

    def __init__(self, refusals: int = 0, lingers: int = 0) -> None:
        self.refusals, self.lingers = refusals, lingers
        self.cancelled = False
        self.status = RUNNING

    def know(self, account, job=""):
        pass

    async def cancel(self, job, account):
        assert (job, account) == (JOB, "rs-tanaka")
        if self.refusals:
            self.refusals -= 1
            raise SchedulerError(Reason.SCHEDULER_DOWN, "no answer")
        self.cancelled = True

    async def submit(self, script, account):
        self.script = script
        return JOB

    def apart(self, job):
        return None

    async def query(self, jobs):
        if self.cancelled and self.lingers <= 0:
            return {JOB: JobStatus(state=JobState.ENDED, ending=Reason.CANCELLED)}
        self.lingers -= self.cancelled
        return {JOB: self.status}


@pytest.fixture
def desk(tmp_path):
    made = []

    def make(scheduler) -> Desk:
        replace = msgspec.structs.replace
        hub = replace(DEMO.hub, audit_log=str(tmp_path / "audit.jsonl"), state=str(tmp_path))
        made.append(Desk(replace(DEMO, hub=hub), logging.getLogger("desk"), scheduler))
        made[-1].database.upgrade()
        return made[-1]

    yield make
    for each in made:
        each.close()


def session(state: State = State.RUNNING, job: str = JOB) -> Session:
    return Session(record(state=state, job=job))


@pytest.mark.parametrize("mechanism", Mechanism)
async def test_the_order_names_the_mechanism_of_its_resource_group(desk, mechanism):
    scheduler = Stubborn()
    hub = desk(scheduler)
    groups = tuple(msgspec.structs.replace(group, mechanism=mechanism) for group in DEMO.resource_group)
    hub.site = msgspec.structs.replace(hub.site, resource_group=groups)
    await launch.submit(hub, session(State.QUEUED, job=""))
    assert decode(scheduler.script.splitlines()[-2], Order).mechanism is mechanism


async def test_the_order_says_for_how_long_the_destination_is_waited_for(desk):
    scheduler = Stubborn()
    hub = desk(scheduler)
    minutes = {"cloud": 20, "kashiwa": 30}
    destinations = tuple(msgspec.structs.replace(each, pause_minutes=minutes[each.name]) for each in DEMO.destination)
    hub.site = msgspec.structs.replace(hub.site, destination=destinations)
    await launch.submit(hub, session(State.QUEUED, job=""))
    assert decode(scheduler.script.splitlines()[-2], Order).pause_s == 1200


async def test_the_end_is_waited_for(desk):
    scheduler = Stubborn(lingers=2)
    here, one = desk(scheduler), session()
    here.attend(one)

    assert await here.end(one, Reason.CANCELLED)
    assert one.closed
    assert here.sessions.find(one.id) is None
    assert json.loads(here.audit.path.read_text())["reason"] == "cancelled"


async def test_a_cancel_that_is_not_taken_is_said_again(desk, monkeypatch):
    scheduler = Stubborn(refusals=1)
    here, one = desk(scheduler), session()
    here.attend(one)

    assert await here.end(one, Reason.CANCELLED)
    assert scheduler.cancelled


async def test_a_job_that_does_not_end_is_seen_after_while_nobody_waits(desk, monkeypatch):
    monkeypatch.setattr(desks, "INSIST_S", 0.1)
    monkeypatch.setattr(desks, "ONE_COMMAND_S", 0.1)
    scheduler = Stubborn(refusals=2)
    here, one = desk(scheduler), session()
    here.attend(one)

    assert not await here.end(one, Reason.CANCELLED, wait_s=0)
    assert one.closed
    for _ in range(100):
        await asyncio.sleep(0.05)
        if not here._insisting:
            break
    assert scheduler.cancelled
    assert here.watcher.status(JOB).state is JobState.UNKNOWN  # asked for no more


async def test_of_two_who_end_a_session_the_first_is_named(desk):
    here, one = desk(Stubborn(lingers=3)), session()
    here.attend(one)

    owners = asyncio.ensure_future(here.end(one, Reason.REVOKED))
    await asyncio.sleep(0)
    await asyncio.gather(here.end(one, Reason.CANCELLED, wait_s=0), owners)

    assert [json.loads(line)["reason"] for line in here.audit.path.read_text().splitlines()] == ["revoked"]


async def test_a_session_without_a_job_ends_at_once(desk):
    here, one = desk(Stubborn()), session(State.QUEUED, job="")
    here.attend(one)

    assert await here.end(one, Reason.INTERNAL)


async def test_closing_again_says_nothing_again(desk):
    here, one = desk(Stubborn()), session()
    here.attend(one)
    here.close_session(one, Reason.TIME_UP)
    here.close_session(one, Reason.TIME_UP)

    assert len(here.audit.path.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("state", "status", "steps"),
    [
        (State.QUEUED, JobStatus(state=JobState.PENDING, reason="Priority", starts=5.0), [Step.QUEUED]),
        (State.QUEUED, JobStatus(state=JobState.UNKNOWN), [Step.SCHEDULER_SILENT]),
        (State.QUEUED, RUNNING, [Step.RUNNING]),
        (State.STARTING, RUNNING, []),
        (State.RUNNING, JobStatus(state=JobState.UNKNOWN), []),
    ],
)
async def test_the_person_is_told_what_the_batch_system_says_while_it_matters(desk, state, status, steps):
    scheduler = Stubborn()
    scheduler.status = status
    here, one = desk(scheduler), session(state)
    here.attend(one)
    await here.watcher.ask()
    await here.watcher.ask()

    assert [note.step for note in one.notes] == steps


def test_the_first_reason_counts():
    one = session()
    one.fail(Reason.HOST_KEY_CHANGED, "first")
    one.fail(Reason.JOB_DIED, "then")

    assert one.failure == (Reason.HOST_KEY_CHANGED, "first")


def test_only_a_session_that_proved_itself_becomes_ready():
    one = session(State.QUEUED)
    one.reached(Phase.READY)

    assert one.saved.state is State.QUEUED
